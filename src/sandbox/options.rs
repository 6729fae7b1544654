//! The sandbox's options. The command line that sets them is in `cli`.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{SharedClock, SystemClock};

/// The one OAuth client that the sandbox knows.
pub const CLIENT_ID: &str = "sandbox";
/// Its secret: no secret, as the sandbox guards nothing.
pub const CLIENT_SECRET: &str = "sandbox-secret";

/// What can be set.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Life of an access token.
    pub access_ttl: Duration,
    /// Life of a refresh token.
    pub refresh_ttl: Duration,
    /// The entities are made from it.
    pub seed: u64,
    /// API calls a minute per authorisation or key; none: no limit.
    pub requests_per_minute: Option<u32>,
    /// Redirect URIs beside the loopback ones that end in `/oauth/callback`.
    pub redirect_uris: Vec<String>,
    /// Where the time comes from.
    pub clock: SharedClock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9400)),
            access_ttl: Duration::from_mins(15),
            refresh_ttl: Duration::from_hours(60 * 24),
            seed: 1,
            requests_per_minute: Some(600),
            redirect_uris: Vec::new(),
            clock: Arc::new(SystemClock),
        }
    }
}

impl Options {
    /// True if a client may be sent back to `uri`: one that is registered, or a loopback one with the gateway's path.
    pub(super) fn allows_redirect(&self, uri: &str) -> bool {
        self.redirect_uris.iter().any(|known| known == uri) || is_loopback_callback(uri)
    }
}

fn is_loopback_callback(uri: &str) -> bool {
    let Ok(parsed) = url::Url::parse(uri) else {
        return false;
    };
    let loopback = match parsed.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let bare = parsed.query().is_none()
        && parsed.fragment().is_none()
        && parsed.username().is_empty()
        && parsed.password().is_none();
    loopback && bare && parsed.path() == "/oauth/callback" && parsed.scheme().starts_with("http")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_registered_and_loopback_redirects_are_allowed() {
        let options = Options {
            redirect_uris: vec!["https://gateway.example.com/oauth/callback".to_owned()],
            ..Options::default()
        };
        for good in [
            "http://127.0.0.1:8081/oauth/callback",
            "https://localhost/oauth/callback",
            "http://[::1]:1/oauth/callback",
            "https://gateway.example.com/oauth/callback",
        ] {
            assert!(options.allows_redirect(good), "{good}");
        }
        for bad in [
            "",
            "https://gateway.example.com/oauth/callback/",
            "http://127.0.0.1:8081/oauth/callback?x=1",
            "http://127.0.0.1:8081/oauth/callback#x",
            "http://user@127.0.0.1/oauth/callback",
            "http://127.0.0.1.example.com/oauth/callback",
            "http://127.0.0.1/callback",
            "javascript:alert(1)",
        ] {
            assert!(!options.allows_redirect(bad), "{bad}");
        }
    }
}
