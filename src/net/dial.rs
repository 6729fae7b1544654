//! Dialling an origin: resolve, check each address, connect to exactly what was checked, TLS; one deadline covers it all.
//! Not here: keeping links (`net::pool`) and what is said over them.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::address;
use super::link::Link;
use super::origin::{Origin, Scheme};
use super::tls::Alpn;

/// Makes links to origins.
pub struct Dialer {
    http1: TlsConnector,
    http2: TlsConnector,
    allow_private: bool,
    connect_timeout: Duration,
}

/// Why there is no link. Nothing of a request has left in any of these cases.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name could not be looked up.
    #[error("the name could not be resolved")]
    Resolve(#[source] io::Error),
    /// The name has no address.
    #[error("the name has no address")]
    NoAddress,
    /// The name leads into a private network, and that is not allowed.
    #[error("the name leads to {0}, which is not an address of the public internet")]
    AddressRefused(IpAddr),
    /// A name of this machine leads to another one, and none is spoken to without TLS.
    #[error("the name leads to {0}, which is not this machine: without TLS no other is spoken to")]
    NotLoopback(IpAddr),
    /// No address accepted the connection.
    #[error("the connection was not accepted")]
    Connect(#[source] io::Error),
    /// The TLS handshake failed, or the certificate is not to be trusted.
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
    /// The link was made, but HTTP/2 could not begin on it.
    #[error("HTTP/2 could not begin on the link")]
    Http2(#[source] hyper::Error),
    /// Not done within `connect_timeout`.
    #[error("no link within the connect timeout")]
    Timeout,
}

impl Dialer {
    /// `http1` and `http2` are the TLS settings for [`Alpn::Http1`] and [`Alpn::Http2OrHttp1`]; `connect_timeout` covers
    /// resolving, connecting and TLS together.
    pub fn new(
        http1: Arc<rustls::ClientConfig>,
        http2: Arc<rustls::ClientConfig>,
        allow_private: bool,
        connect_timeout: Duration,
    ) -> Self {
        Self {
            http1: http1.into(),
            http2: http2.into(),
            allow_private,
            connect_timeout,
        }
    }

    /// The limit for one [`Dialer::dial`].
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// A new link to `origin`, ready for the first byte of HTTP. Dropping the future gives the attempt up.
    pub async fn dial(&self, origin: &Origin, alpn: Alpn) -> Result<Link, DialError> {
        let deadline = Instant::now() + self.connect_timeout;
        let made = async {
            let link = Link::Tcp(self.connect(origin, deadline).await?);
            match origin.scheme() {
                Scheme::Http => Ok(link),
                Scheme::Https => self.secure(link, origin, alpn).await,
            }
        };
        timeout_at(deadline, made)
            .await
            .unwrap_or(Err(DialError::Timeout))
    }

    async fn secure(&self, link: Link, origin: &Origin, alpn: Alpn) -> Result<Link, DialError> {
        let connector = match alpn {
            Alpn::Http1 => &self.http1,
            Alpn::Http2OrHttp1 => &self.http2,
        };
        let stream = connector
            .connect(origin.server_name().clone(), link)
            .await
            .map_err(DialError::Tls)?;
        Ok(Link::Tls(Box::new(stream.into())))
    }

    /// Tries one address after the other, each with its share of what is left of the time.
    async fn connect(&self, origin: &Origin, deadline: Instant) -> Result<TcpStream, DialError> {
        let addresses = self.addresses(origin).await?;
        let mut failure = DialError::NoAddress;
        for (tried, address) in addresses.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true).map_err(DialError::Connect)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => failure = DialError::Connect(error),
                Err(_) => failure = DialError::Timeout,
            }
        }
        Err(failure)
    }

    async fn addresses(&self, origin: &Origin) -> Result<Vec<SocketAddr>, DialError> {
        let found: Vec<_> = lookup_host((origin.host(), origin.port()))
            .await
            .map_err(DialError::Resolve)?
            .collect();
        dialable(found, origin.scheme(), self.allow_private)
    }
}

/// Those of a name's addresses that may be dialled. Whoever answers for a name, or writes a hosts file, can lead
/// `localhost` to any of them.
fn dialable(
    mut found: Vec<SocketAddr>,
    scheme: Scheme,
    allow_private: bool,
) -> Result<Vec<SocketAddr>, DialError> {
    let first = found.first().ok_or(DialError::NoAddress)?.ip();
    found.retain(|found| allow_private || address::is_public(found.ip()));
    if found.is_empty() {
        return Err(DialError::AddressRefused(first));
    }
    found.retain(|found| scheme == Scheme::Https || found.ip().is_loopback());
    if found.is_empty() {
        return Err(DialError::NotLoopback(first));
    }
    Ok(found)
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer")
            .field("allow_private", &self.allow_private)
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_tls_a_name_of_this_machine_leads_nowhere_else() {
        let [here, near, far] =
            ["127.0.0.1:1", "10.9.9.9:1", "8.8.8.8:1"].map(|text| text.parse().unwrap());
        let dialled = |found: &[SocketAddr], scheme| dialable(found.to_vec(), scheme, true);
        assert_eq!(dialled(&[near, here, far], Scheme::Http).unwrap(), [here]);
        for elsewhere in [near, far] {
            let error = dialled(&[elsewhere], Scheme::Http).unwrap_err();
            assert!(matches!(error, DialError::NotLoopback(ip) if ip == elsewhere.ip()));
            assert_eq!(dialled(&[elsewhere], Scheme::Https).unwrap(), [elsewhere]);
        }
    }
}
