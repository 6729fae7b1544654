//! Numbers and ids that follow from a seed, always the same; and tokens, which never are.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::secret::Secret;

/// A source of numbers that follows from its seed alone (`SplitMix64`).
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// From a seed and what the numbers are for.
    pub(super) fn new(seed: u64, purpose: &[&str]) -> Self {
        // FNV-1a, with a mark between words
        let mut state = 0xcbf2_9ce4_8422_2325 ^ seed;
        for byte in purpose.iter().flat_map(|word| word.bytes().chain([0xff])) {
            state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Self(state)
    }

    /// The next number.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// One of several.
    pub(super) fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        let place = usize::try_from(self.below(choices.len() as u64)).unwrap_or(0);
        choices[place]
    }

    /// An id in the form of a random UUID.
    pub(super) fn uuid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        let bytes = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
        uuid::Builder::from_random_bytes(bytes)
            .into_uuid()
            .to_string()
    }
}

/// True if the text is a UUID in the usual form, and not the empty one.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 36 && Uuid::try_parse(text).is_ok_and(|id| !id.is_nil())
}

/// A new opaque token; `mark` says which kind it is to whoever finds one in a log.
pub(super) fn token(mark: &str) -> Secret {
    let mut bytes = [0; 32];
    #[expect(clippy::expect_used, reason = "aws-lc aborts rather than fails here")]
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has randomness");
    Secret::new(format!("{mark}_{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// What is kept of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Digest([u8; 32]);

/// The SHA-256 of a text.
pub(super) fn sha256(text: &str) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    Digest(bytes)
}

impl Digest {
    /// As PKCE writes it (RFC 7636 section 4.2).
    pub(super) fn challenge(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_ids() {
        let ids = |seed| Dice::new(seed, &["vendor", "3"]).uuid();
        assert_eq!(ids(7), ids(7));
        assert_ne!(ids(7), ids(8));
        assert_ne!(
            Dice::new(7, &["ab", "c"]).uuid(),
            Dice::new(7, &["a", "bc"]).uuid()
        );
        assert!(is_id(&ids(7)));
    }

    #[test]
    fn a_challenge_is_what_rfc_7636_appendix_b_says() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(
            sha256(verifier).challenge(),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }
}
