//! Secrets that a test planted, looked for in what a program left behind: as they are, in base64, hexadecimal and
//! percent-encoded.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::gateway::{KEY, OFFICE_KEY};
use crate::stand::hex;

/// Fails if a gateway said one of the secrets that these tests work with.
pub(crate) fn search(said: &str) {
    for (name, secret) in [
        ("the sandbox's access token", "sandbox_access_"),
        ("the sandbox's refresh token", "sandbox_refresh_"),
        ("an access token", "access-canary"),
        ("a refresh token", "refresh-canary"),
        ("the client's secret", "sandbox-secret"),
        ("a caller's key", KEY),
        ("a caller's key", OFFICE_KEY),
    ] {
        let canary = Canary::new(name, secret.as_bytes());
        assert!(!canary.is_said(said), "{name} was said:\n{said}");
    }
}

/// What is looked for, and under which name it is told.
pub(crate) struct Canary {
    pub(crate) name: &'static str,
    forms: Vec<Vec<u8>>,
}

impl Canary {
    pub(crate) fn new(name: &'static str, secret: &[u8]) -> Self {
        let lower = hex(secret);
        let percent = |hex: &str| {
            let pairs = hex.as_bytes().chunks(2);
            pairs.fold(String::new(), |text, pair| {
                text + "%" + &String::from_utf8_lossy(pair)
            })
        };
        let upper = lower.to_uppercase();
        let mut forms = vec![secret.to_vec()];
        forms.extend([percent(&lower), percent(&upper), lower, upper].map(String::into_bytes));
        forms.extend((0..3).flat_map(|offset| base64_inside(secret, offset)));
        Self { name, forms }
    }

    /// The same in text, of which there may be much.
    fn is_said(&self, text: &str) -> bool {
        let is_in = |form: &Vec<u8>| str::from_utf8(form).is_ok_and(|form| text.contains(form));
        self.forms.iter().any(is_in)
    }

    pub(crate) fn is_in(&self, text: &[u8]) -> bool {
        let is_in = |form: &Vec<u8>| text.windows(form.len()).any(|window| window == form);
        self.forms.iter().any(is_in)
    }
}

/// The letters of base64 that a secret surely brings about, `offset` bytes into what was encoded.
fn base64_inside(secret: &[u8], offset: usize) -> [Vec<u8>; 2] {
    let padded = [&vec![0; offset][..], secret].concat();
    let (from, to) = ((offset * 8).div_ceil(6), padded.len() * 8 / 6);
    [STANDARD.encode(&padded), URL_SAFE.encode(&padded)]
        .map(|letters| letters.as_bytes()[from..to].to_vec())
}
