//! The store's own secrets: its id, the check value of the sealing key, the fingerprint key. Where they are kept is not
//! decided here (`sqlite`, `postgres`).

use aws_lc_rs::rand;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::seal::{Fingerprints, Label, SealError, Sealer, key_of};
use super::sealing_keys::{KeyError, KeyId, SealingKey};
use crate::model::ids::{Epoch, Generation, ProviderId};

pub(super) const STORE_ID: &str = "store_id";
pub(super) const KEY_CHECK: &str = "key_check";
pub(super) const FINGERPRINT_KEY: &str = "fingerprint_key";

/// A store whose sealing key fits.
#[derive(Debug)]
pub(super) struct Unlocked {
    pub(super) id: String,
    pub(super) sealer: Sealer,
    pub(super) fingerprints: Fingerprints,
}

/// The secrets as they lie in the store, sealed.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) id: String,
    pub(super) key_check: Vec<u8>,
    pub(super) fingerprint_key: Vec<u8>,
}

/// Why a store was not unlocked.
#[derive(Debug)]
pub(super) enum OwnError {
    WrongKey(KeyId),
    /// Changed by another hand, or never ours.
    NotOurs,
    Seal(SealError),
}

/// The sealer of these keys.
pub(super) fn sealer(keys: Vec<SealingKey>) -> Result<Sealer, KeyError> {
    Sealer::new(keys).ok_or(KeyError::NoneNamed)
}

/// Secrets for a new store.
pub(super) fn found(sealer: Sealer) -> Result<(Unlocked, Own), SealError> {
    let id = Uuid::new_v4().to_string();
    let mut key = Zeroizing::new([0; 32]);
    rand::fill(key.as_mut_slice()).map_err(|_| SealError::Random)?;
    let own = seal(&id, &sealer, key.as_slice())?;
    let fingerprints = Fingerprints::new(key.as_slice(), &id);
    let unlocked = Unlocked {
        id,
        sealer,
        fingerprints,
    };
    Ok((unlocked, own))
}

/// A store that is in use: the keys must open what it keeps for that. If another key seals by now, the secrets are given
/// back sealed by that one, to be put in place of the old.
pub(super) fn prove(own: &Own, sealer: Sealer) -> Result<(Unlocked, Option<Own>), OwnError> {
    let known = open(&sealer, &own.id, KEY_CHECK, &own.key_check)?;
    if known.as_slice() != own.id.as_bytes() {
        return Err(OwnError::NotOurs);
    }
    let key = open(&sealer, &own.id, FINGERPRINT_KEY, &own.fingerprint_key)?;
    let anew = if key_of(&own.key_check) == Some(sealer.first()) {
        None
    } else {
        Some(seal(&own.id, &sealer, &key).map_err(OwnError::Seal)?)
    };
    let unlocked = Unlocked {
        id: own.id.clone(),
        fingerprints: Fingerprints::new(&key, &own.id),
        sealer,
    };
    Ok((unlocked, anew))
}

fn seal(id: &str, sealer: &Sealer, key: &[u8]) -> Result<Own, SealError> {
    let one = |name, secret: &[u8]| in_place(id, name, |label| sealer.seal(label, secret));
    Ok(Own {
        id: id.to_owned(),
        key_check: one(KEY_CHECK, id.as_bytes())?,
        fingerprint_key: one(FINGERPRINT_KEY, key)?,
    })
}

fn open(
    sealer: &Sealer,
    id: &str,
    name: &str,
    record: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OwnError> {
    in_place(id, name, |label| sealer.open(label, record)).map_err(|error| match error {
        SealError::UnknownKey(wanted) => OwnError::WrongKey(wanted),
        SealError::Refused => OwnError::NotOurs,
        SealError::Random => OwnError::Seal(error),
    })
}

/// The place of one of the store's own secrets.
fn in_place<T>(id: &str, name: &str, work: impl FnOnce(&Label<'_>) -> T) -> T {
    work(&Label {
        provider: &ProviderId::new(id),
        tenant: "",
        epoch: Epoch(0),
        generation: Generation(0),
        field: name,
    })
}
