//! The one type that holds secrets: tokens, keys, passwords. It prints as `[redacted]`, compares in constant time and is
//! wiped on drop. Here too: who may read a file that holds one. Sealing at rest is not here (`store::seal`).

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Deserializer};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A secret text. There is no `Display` and no `Serialize`: the only way out is [`Secret::expose`], easy to grep for.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes ownership of the text; the caller keeps no copy.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself, for the place that has to send, seal or digest it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// True if nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// True if the world, or our group, may read a secret's file. One of another user that we read through our group (how
/// Kubernetes hands out secrets) is as closed as it can be.
pub fn is_open_to_others(file: &Metadata) -> bool {
    let ours = file.uid() == rustix::process::geteuid().as_raw();
    is_open(file.mode(), ours)
}

fn is_open(mode: u32, ours: bool) -> bool {
    let refused = if ours { 0o077 } else { 0o037 };
    mode & refused != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secrets_file_is_for_us_or_for_the_group_through_which_we_read_it() {
        for mode in [0o600, 0o400] {
            assert!(!is_open(mode, true), "{mode:o}");
        }
        for mode in [0o640, 0o604, 0o620, 0o666] {
            assert!(is_open(mode, true), "{mode:o}");
        }
        for mode in [0o440, 0o640, 0o600] {
            assert!(!is_open(mode, false), "{mode:o}");
        }
        for mode in [0o444, 0o460, 0o441] {
            assert!(is_open(mode, false), "{mode:o}");
        }
    }

    #[test]
    fn a_secret_prints_as_redacted() {
        let secret = Secret::new("canary");
        assert_eq!(format!("{secret:?}"), "[redacted]");
        assert_eq!(format!("{:?}", Some(&secret)), "Some([redacted])");
    }

    #[test]
    fn secrets_compare_by_content() {
        assert_eq!(Secret::new("a"), Secret::new("a"));
        assert_ne!(Secret::new("a"), Secret::new("b"));
        assert_ne!(Secret::new("a"), Secret::new("aa"));
    }
}
