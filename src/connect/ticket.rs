//! Random words that are good for one thing each: a link's secret part, a `state`, a browser's cookie. Only their digests
//! are stored. Not here: what each is good for.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::secret::Secret;

/// 256 bits in base64url.
const LENGTH: usize = 43;

/// A random word of 256 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket(Secret);

impl Ticket {
    #[expect(
        clippy::expect_used,
        reason = "without random numbers nothing may go on"
    )]
    pub(super) fn make() -> Self {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes).expect("the system's source of random numbers");
        Self(Secret::new(BASE64_URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// `None` if its form shows that it is not one of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.len() == LENGTH
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        fits.then(|| Self(Secret::new(text)))
    }

    /// The word itself.
    pub fn secret(&self) -> &Secret {
        &self.0
    }

    /// What is stored of it.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, self.0.expose().as_bytes()).as_ref());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requirement 85: 256 random bits.
    #[test]
    fn a_ticket_is_read_back_and_never_twice_the_same() {
        let (one, two) = (Ticket::make(), Ticket::make());
        assert_eq!(Ticket::parse(one.secret().expose()), Some(one.clone()));
        assert_ne!(one.digest(), two.digest());
        assert!(!format!("{one:?}").contains(one.secret().expose()));
    }

    #[test]
    fn what_was_never_a_ticket_is_not_looked_up() {
        let long = "a".repeat(44);
        for text in [
            "",
            "a",
            &long,
            &"ä".repeat(22),
            &"%".repeat(43),
            &"/".repeat(43),
        ] {
            assert_eq!(Ticket::parse(text), None, "{text}");
        }
    }
}
