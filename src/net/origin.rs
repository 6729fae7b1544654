//! Where requests go: scheme, host and port, with everything a request needs of them prepared in advance. Not here: paths
//! and queries, and whether the host may be dialled (`net::address`).

use std::fmt;
use std::net::IpAddr;

use http::HeaderValue;
use http::uri::Authority;
use rustls::pki_types::ServerName;
use url::{Host, Url};

/// Plaintext or TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plaintext.
    Http,
    /// Over TLS, verified.
    Https,
}

/// An HTTP origin (RFC 6454).
#[derive(Clone, Debug)]
pub struct Origin {
    scheme: Scheme,
    host: String,
    port: u16,
    authority: Authority,
    header: HeaderValue,
    server_name: ServerName<'static>,
}

/// Why a URL names no origin that we could dial.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OriginError {
    /// Neither http nor https.
    #[error("the scheme must be http or https")]
    Scheme,
    /// There is no host in it.
    #[error("a host is missing")]
    NoHost,
    /// User name or password in the URL.
    #[error("a user name or password does not belong into this URL")]
    UserInfo,
    /// The host can be neither a name in a certificate nor an address.
    #[error("the host is not a valid name")]
    Name,
}

impl Origin {
    /// The origin of `url`. Path and query are the caller's affair.
    pub fn from_url(url: &Url) -> Result<Self, OriginError> {
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(OriginError::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(OriginError::UserInfo);
        }
        let (host, shown) = match url.host().ok_or(OriginError::NoHost)? {
            Host::Domain(name) => (name.to_owned(), name.to_owned()),
            Host::Ipv4(address) => (address.to_string(), address.to_string()),
            Host::Ipv6(address) => (address.to_string(), format!("[{address}]")),
        };
        let shown = match url.port() {
            Some(port) => format!("{shown}:{port}"),
            None => shown,
        };
        Ok(Self {
            scheme,
            port: url.port_or_known_default().ok_or(OriginError::Scheme)?,
            authority: shown.parse().map_err(|_| OriginError::Name)?,
            header: HeaderValue::try_from(shown).map_err(|_| OriginError::Name)?,
            server_name: ServerName::try_from(host.clone()).map_err(|_| OriginError::Name)?,
            host,
        })
    }

    /// Plaintext or TLS.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Name or address, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port that is dialled.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host[:port]` as a `Host` header has it: the port only where it is not the scheme's own.
    pub fn authority(&self) -> &HeaderValue {
        &self.header
    }

    /// The same for the `:authority` of HTTP/2.
    pub(super) fn uri_authority(&self) -> &Authority {
        &self.authority
    }

    /// `http` or `https`.
    pub fn uri_scheme(&self) -> http::uri::Scheme {
        match self.scheme {
            Scheme::Http => http::uri::Scheme::HTTP,
            Scheme::Https => http::uri::Scheme::HTTPS,
        }
    }

    /// Who the certificate must name.
    pub(super) fn server_name(&self) -> &ServerName<'static> {
        &self.server_name
    }

    /// True for `localhost`, names below it, and loopback addresses: the only places for http without TLS.
    pub fn is_loopback_name(&self) -> bool {
        let name = self.host.trim_end_matches('.');
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => name == "localhost" || name.ends_with(".localhost"),
        }
    }
}

impl PartialEq for Origin {
    fn eq(&self, other: &Self) -> bool {
        (self.scheme, &self.host, self.port) == (other.scheme, &other.host, other.port)
    }
}

impl Eq for Origin {}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.uri_scheme(), self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(url: &str) -> Result<Origin, OriginError> {
        Origin::from_url(&Url::parse(url).unwrap())
    }

    #[test]
    fn the_authority_leaves_the_default_port_out() {
        let plain = origin("https://api.pleo.io/v1?x=y").unwrap();
        assert_eq!(plain.authority(), "api.pleo.io");
        assert_eq!(plain.port(), 443);
        assert_eq!(origin("http://[::1]:81").unwrap().authority(), "[::1]:81");
        assert_eq!(origin("http://[::1]:81").unwrap().host(), "::1");
        assert_eq!(plain.to_string(), "https://api.pleo.io");
    }

    #[test]
    fn only_web_urls_without_user_are_origins() {
        assert_eq!(origin("ftp://host/").unwrap_err(), OriginError::Scheme);
        assert_eq!(
            origin("https://me@host/").unwrap_err(),
            OriginError::UserInfo
        );
    }

    #[test]
    fn loopback_names_are_known() {
        for url in [
            "http://localhost",
            "http://a.localhost:1",
            "http://127.8.8.8",
            "http://[::1]",
        ] {
            assert!(origin(url).unwrap().is_loopback_name(), "{url}");
        }
        assert!(
            !origin("http://localhost.example")
                .unwrap()
                .is_loopback_name()
        );
    }
}
