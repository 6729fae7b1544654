//! Sealing: AES-256-GCM under a key of its own for every tenant (HKDF-SHA-256), bound to the place where the secret belongs;
//! and fingerprints. Where keys come from is not here (`sealing_keys`).
//!
//! A sealed record is `version (1) | key id (4) | nonce (12) | ciphertext | tag (16)`.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, hmac};
use zeroize::Zeroizing;

use super::sealing_keys::{KeyId, SealingKey};
use crate::model::ids::{Epoch, Generation, ProviderId};
use crate::secret::Secret;

/// The record's format.
const VERSION: u8 = 1;
/// Version, key id and nonce.
const HEAD: usize = 1 + 4 + NONCE_LEN;

/// Where a sealed secret belongs. It opens nowhere else.
#[derive(Clone, Copy, Debug)]
pub struct Label<'a> {
    /// Whose secret it is.
    pub provider: &'a ProviderId,
    /// Empty for what is the store's own.
    pub tenant: &'a str,
    /// Of the row.
    pub epoch: Epoch,
    /// Of the row.
    pub generation: Generation,
    /// Which secret of the row.
    pub field: &'a str,
}

/// Why something was not sealed or opened.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It was sealed by a key that is not configured.
    #[error("sealed by key {0}, which is not configured")]
    UnknownKey(KeyId),
    /// It was changed, or belongs elsewhere.
    #[error("changed since it was sealed, or sealed for another place")]
    Refused,
    /// The machine gave no random bytes.
    #[error("no random bytes to seal with")]
    Random,
}

/// Seals with the first of its keys, opens with all.
#[derive(Clone, Debug)]
pub struct Sealer {
    first: SealingKey,
    others: Vec<SealingKey>,
}

impl Sealer {
    /// `None` without a key.
    pub fn new(keys: Vec<SealingKey>) -> Option<Self> {
        let mut keys = keys.into_iter();
        Some(Self {
            first: keys.next()?,
            others: keys.collect(),
        })
    }

    /// The key that seals.
    pub(super) fn first(&self) -> KeyId {
        self.first.id()
    }

    /// All its keys, in their order.
    pub(super) fn ids(&self) -> Vec<KeyId> {
        let all = std::iter::once(&self.first).chain(&self.others);
        all.map(SealingKey::id).collect()
    }

    /// Seals for one place.
    pub fn seal(&self, label: &Label<'_>, secret: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| SealError::Random)?;
        let key = tenant_key(&self.first, label)?;
        let mut text = Zeroizing::new(secret.to_vec());
        let tag = key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                associated(self.first.id(), label),
                &mut text,
            )
            .map_err(|_| SealError::Refused)?;
        Ok([
            &[VERSION],
            &self.first.id().0[..],
            &nonce,
            &text,
            tag.as_ref(),
        ]
        .concat())
    }

    /// Opens what was sealed for this place.
    pub fn open(&self, label: &Label<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (nonce, text) = sealed
            .split_at_checked(HEAD)
            .and_then(|(head, text)| {
                Some((Nonce::try_assume_unique_for_key(&head[5..]).ok()?, text))
            })
            .ok_or(SealError::Refused)?;
        let id = key_of(sealed).ok_or(SealError::Refused)?;
        let key = std::iter::once(&self.first)
            .chain(&self.others)
            .find(|key| key.id() == id)
            .ok_or(SealError::UnknownKey(id))?;
        let mut text = Zeroizing::new(text.to_vec());
        let length = tenant_key(key, label)?
            .open_in_place(nonce, associated(id, label), &mut text)
            .map_err(|_| SealError::Refused)?
            .len();
        text.truncate(length);
        Ok(text)
    }

    /// Opens a text.
    pub(super) fn open_text(&self, label: &Label<'_>, sealed: &[u8]) -> Result<Secret, SealError> {
        let bytes = self.open(label, sealed)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| SealError::Refused)?;
        Ok(Secret::new(text))
    }
}

/// Which key a record names; `None` if it is no record of a known version.
pub(super) fn key_of(sealed: &[u8]) -> Option<KeyId> {
    match sealed {
        [VERSION, a, b, c, d, ..] => Some(KeyId([*a, *b, *c, *d])),
        _ => None,
    }
}

/// One key for every tenant of a provider, so that random nonces cannot meet.
fn tenant_key(key: &SealingKey, label: &Label<'_>) -> Result<LessSafeKey, SealError> {
    let mut place = Vec::new();
    prefixed(&mut place, label.provider.as_ref().as_bytes());
    prefixed(&mut place, label.tenant.as_bytes());
    hkdf::Salt::new(hkdf::HKDF_SHA256, b"pleo-gateway seal v1")
        .extract(key.bytes())
        .expand(&[&place], &AES_256_GCM)
        .map(|key| LessSafeKey::new(UnboundKey::from(key)))
        .map_err(|_| SealError::Refused)
}

/// All that a record is bound to; every text is told with its length, so that no two places read the same.
fn associated(key: KeyId, label: &Label<'_>) -> Aad<Vec<u8>> {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&key.0);
    prefixed(&mut bytes, label.provider.as_ref().as_bytes());
    prefixed(&mut bytes, label.tenant.as_bytes());
    bytes.extend_from_slice(&label.epoch.0.to_be_bytes());
    bytes.extend_from_slice(&label.generation.0.to_be_bytes());
    prefixed(&mut bytes, label.field.as_bytes());
    Aad::from(bytes)
}

fn prefixed(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
    bytes.extend_from_slice(part);
}

/// Tells tokens apart in the ledger without telling what they are. The same token has the same fingerprint in one store
/// for ever, whatever the sealing key, and another in every other store.
#[derive(Clone, Debug)]
pub(super) struct Fingerprints {
    key: hmac::Key,
    store: String,
}

impl Fingerprints {
    /// `key` is the store's own secret.
    pub(super) fn new(key: &[u8], store: &str) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            store: store.to_owned(),
        }
    }

    /// 16 hex digits.
    pub(super) fn of(&self, secret: &Secret) -> String {
        let mut bytes = Zeroizing::new(Vec::new());
        prefixed(&mut bytes, self.store.as_bytes());
        prefixed(&mut bytes, secret.expose().as_bytes());
        hex(&hmac::sign(&self.key, &bytes).as_ref()[..8])
    }
}

/// Lower-case hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::sealing_keys::{KeySource, load, make_key_file};
    use super::*;

    fn key() -> SealingKey {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("key");
        make_key_file(&path).unwrap();
        load(&[KeySource::File(path)]).unwrap().remove(0)
    }

    fn sealer(keys: &[&SealingKey]) -> Sealer {
        Sealer::new(keys.iter().map(|&key| key.clone()).collect()).unwrap()
    }

    fn label<'a>(provider: &'a ProviderId, tenant: &'a str, field: &'a str) -> Label<'a> {
        Label {
            provider,
            tenant,
            epoch: Epoch(3),
            generation: Generation(7),
            field,
        }
    }

    proptest! {
        /// Requirement 109.
        #[test]
        fn what_was_sealed_opens_in_its_place_only(
            secret in proptest::collection::vec(any::<u8>(), 0..200),
            tenant in "[a-z]{1,8}", field in "[a-z]{1,8}", flip in any::<prop::sample::Index>(),
        ) {
            let provider = ProviderId::new("here");
            let sealer = sealer(&[&key()]);
            let here = label(&provider, &tenant, &field);
            let mut sealed = sealer.seal(&here, &secret).unwrap();
            prop_assert_eq!(&*sealer.open(&here, &sealed).unwrap(), &secret);

            let elsewhere = ProviderId::new("there");
            let moved = format!("{tenant}{field}");
            let others = [
                Label { provider: &elsewhere, ..here },
                Label { tenant: &moved, field: "", ..here },
                Label { epoch: Epoch(4), ..here },
                Label { generation: Generation(8), ..here },
                Label { field: "other-field", ..here },
            ];
            for other in &others {
                prop_assert_eq!(sealer.open(other, &sealed).unwrap_err(), SealError::Refused);
            }
            let at = flip.index(sealed.len());
            sealed[at] ^= 1;
            prop_assert!(sealer.open(&here, &sealed).is_err());
            prop_assert!(sealer.open(&here, &sealed[..at]).is_err());
        }
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let provider = ProviderId::new("p");
        let here = label(&provider, "acme", "refresh");
        let (old, new) = (key(), key());
        let sealed = sealer(&[&old]).seal(&here, b"token").unwrap();
        let both = sealer(&[&new, &old]);
        assert_eq!(&**both.open(&here, &sealed).unwrap(), b"token");
        assert_eq!(key_of(&both.seal(&here, b"token").unwrap()), Some(new.id()));
        assert_eq!(
            sealer(&[&new]).open(&here, &sealed).unwrap_err(),
            SealError::UnknownKey(old.id())
        );
    }

    #[test]
    fn a_fingerprint_is_the_store_s_own() {
        let token = Secret::new("token");
        let print = Fingerprints::new(&[1; 32], "a").of(&token);
        assert_eq!(print.len(), 16);
        assert_eq!(print, Fingerprints::new(&[1; 32], "a").of(&token));
        assert_ne!(print, Fingerprints::new(&[1; 32], "b").of(&token));
        assert_ne!(print, Fingerprints::new(&[2; 32], "a").of(&token));
    }
}
