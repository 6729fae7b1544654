//! The cookie that binds a consent to the browser that began it (requirement 85). Not here: what is bound by it.

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

use super::ticket::Ticket;

/// As long as a browser may be under way, in seconds.
const MAX_AGE: u64 = 600;

/// The cookie's name and flags, by how browsers reach us.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binding {
    secure: bool,
}

impl Binding {
    /// `__Host-` and `Secure` under https; a browser takes neither over http.
    pub(super) fn new(secure: bool) -> Self {
        Self { secure }
    }

    fn name(self) -> &'static str {
        if self.secure {
            "__Host-pleo-connect"
        } else {
            "pleo-connect"
        }
    }

    /// The browser's ticket if it holds one, so that two tabs can be under way at once; else a new one.
    pub(super) fn ticket(self, headers: &HeaderMap) -> Ticket {
        self.read(headers).next().unwrap_or_else(Ticket::make)
    }

    /// True if this browser holds the ticket of that digest.
    pub(super) fn holds(self, headers: &HeaderMap, digest: &[u8; 32]) -> bool {
        self.read(headers).any(|ticket| ticket.digest() == *digest)
    }

    /// The `Set-Cookie` that gives it out.
    pub(super) fn give(self, ticket: &Ticket) -> Option<HeaderValue> {
        let (name, value) = (self.name(), ticket.secret().expose());
        let secure = if self.secure { "; Secure" } else { "" };
        let text =
            format!("{name}={value}; Path=/; Max-Age={MAX_AGE}; HttpOnly; SameSite=Lax{secure}");
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    fn read(self, headers: &HeaderMap) -> impl Iterator<Item = Ticket> {
        headers
            .get_all(COOKIE)
            .into_iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(move |pair| pair.trim().strip_prefix(self.name())?.strip_prefix('='))
            .filter_map(Ticket::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brought(cookies: &str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(cookies).unwrap())])
    }

    /// Requirement 85.
    #[test]
    fn under_https_the_cookie_is_bound_to_the_host() {
        let given = Binding::new(true).give(&Ticket::make()).unwrap();
        let text = given.to_str().unwrap();
        assert!(text.starts_with("__Host-pleo-connect="));
        for flag in [
            "; Path=/;",
            "; HttpOnly;",
            "; SameSite=Lax",
            "; Secure",
            "; Max-Age=600;",
        ] {
            assert!(text.contains(flag), "{flag}");
        }
        let plain = Binding::new(false).give(&Ticket::make()).unwrap();
        assert!(!plain.to_str().unwrap().contains("Secure"));
    }

    #[test]
    fn only_the_browser_that_holds_it_passes() {
        let (mine, other) = (Ticket::make(), Ticket::make());
        let text = mine.secret().expose();
        let binding = Binding::new(true);
        let browser = brought(&format!("a=b; __Host-pleo-connect={text}"));
        assert!(binding.holds(&browser, &mine.digest()));
        assert!(!binding.holds(&browser, &other.digest()));
        assert!(!binding.holds(&HeaderMap::new(), &mine.digest()));
        let wrong_name = brought(&format!("pleo-connect={text}; x__Host-pleo-connect={text}"));
        assert!(!binding.holds(&wrong_name, &mine.digest()));
        assert_eq!(binding.ticket(&browser), mine);
    }
}
