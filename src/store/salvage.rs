//! Salvage (design.md R1, R6): a pair whose commit failed, sealed in a file of this machine until it is committed or
//! superseded. When that is so is not decided here (`tokens`).

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::private::{self, PrivateError};
use super::rows::Seals;
use super::seal::{Label, SealError};
use crate::clock::Timestamp;
use crate::model::connection::Access;
use crate::model::ids::{AttemptId, Epoch, Generation, Owner, TenantName};
use crate::model::scope::ScopeSet;
use crate::secret::Secret;

/// The file's format.
const VERSION: u32 = 1;
/// More than any record needs.
const PROOF: [u8; 16 * 1024] = [0; 16 * 1024];

/// A pair that Pleo gave and the store did not take.
#[derive(Clone, Debug, PartialEq)]
pub struct SalvageRecord {
    /// Whose it is.
    pub tenant: TenantName,
    /// The authorisation it belongs to.
    pub epoch: Epoch,
    /// The generation that it succeeds: it is to be committed as the next.
    pub generation: Generation,
    /// The attempt that brought it.
    pub attempt: AttemptId,
    /// The new access token.
    pub access: Access,
    /// The new refresh token.
    pub refresh: Secret,
    /// What was granted, if Pleo said.
    pub scopes: Option<ScopeSet>,
}

/// A file in salvage.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SalvageFile(PathBuf);

impl SalvageFile {
    /// Where it is, for messages.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// What lies in salvage for this store and provider.
#[derive(Debug, Default)]
pub struct Found {
    /// Pairs.
    pub pairs: Vec<(SalvageFile, SalvageRecord)>,
    /// Files that cannot be read or opened, with the reason. They are kept.
    pub damaged: Vec<(SalvageFile, SalvageError)>,
}

/// Why salvage did not work.
#[derive(Debug, thiserror::Error)]
pub enum SalvageError {
    /// A file or folder cannot be used.
    #[error("salvage cannot be used")]
    File(#[from] PrivateError),
    /// A pair cannot be sealed or opened.
    #[error("a pair in salvage cannot be sealed or opened")]
    Seal(#[from] SealError),
    /// A file does not say what ours say.
    #[error("a file in salvage is no pair of ours")]
    Malformed,
}

/// This machine's salvage folder, with a folder for every owner. Its calls block on the device: one file, one fsync.
#[derive(Clone, Debug)]
pub struct Salvage {
    root: PathBuf,
    own: PathBuf,
    store: String,
    seals: Arc<Seals>,
}

/// What stands in the file in clear: whose file it is. The seal is bound to all of it.
#[derive(Serialize, Deserialize)]
struct Envelope {
    version: u32,
    store: String,
    provider: String,
    tenant: String,
    epoch: Epoch,
    generation: Generation,
    sealed: Vec<u8>,
}

/// What is sealed.
#[derive(Serialize)]
struct Outgoing<'a> {
    attempt: AttemptId,
    access: &'a str,
    since: Timestamp,
    expires_at: Timestamp,
    life_known: bool,
    refresh: &'a str,
    scopes: Option<&'a ScopeSet>,
}

/// What was sealed.
#[derive(Deserialize)]
struct Incoming {
    attempt: AttemptId,
    access: Secret,
    since: Timestamp,
    expires_at: Timestamp,
    life_known: bool,
    refresh: Secret,
    scopes: Option<ScopeSet>,
}

impl Salvage {
    pub(super) fn new(
        root: &Path,
        owner: &Owner,
        store: &str,
        seals: Arc<Seals>,
    ) -> Result<Self, PrivateError> {
        private::own_folder(root)?;
        Ok(Self {
            root: root.to_owned(),
            own: root.join(owner.as_ref()),
            store: store.to_owned(),
            seals,
        })
    }

    /// Proves that a pair could be kept now (R1): a file is made, filled, made durable and removed.
    pub fn ready(&self) -> Result<(), SalvageError> {
        private::own_folder(&self.own)?;
        self.proof().map_err(PrivateError::io(&self.own))?;
        Ok(())
    }

    /// Keeps a pair; durable once this returns.
    pub fn put(&self, record: &SalvageRecord) -> Result<SalvageFile, SalvageError> {
        private::own_folder(&self.own)?;
        let path = self.own.join(format!("{}.pair", record.attempt));
        let text = self.envelope(record)?;
        let written = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.own)?;
            file.write_all(&text)?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|lost| lost.error)?;
            private::sync_folder(&self.own)?;
            private::sync_folder(&self.root)
        };
        written().map_err(PrivateError::io(&path))?;
        Ok(SalvageFile(path))
    }

    /// All that owners of this machine have kept, dead or alive. Other stores' and providers' files are left out.
    pub fn found(&self) -> Result<Found, SalvageError> {
        let mut found = Found::default();
        for folder in entries(&self.root)?
            .into_iter()
            .filter(|path| path.is_dir())
        {
            for path in entries(&folder)? {
                if path.extension().is_some_and(|end| end == "pair") {
                    self.sort(SalvageFile(path), &mut found);
                }
            }
        }
        Ok(found)
    }

    /// True if this owner's pair for the attempt lies here; also where that cannot be seen.
    pub fn keeps(&self, owner: &Owner, attempt: AttemptId) -> bool {
        let path = self
            .root
            .join(owner.as_ref())
            .join(format!("{attempt}.pair"));
        path.try_exists().unwrap_or(true)
    }

    /// Removes a file whose pair is committed or superseded. One that is gone is well.
    pub fn remove(&self, file: &SalvageFile) -> Result<(), SalvageError> {
        let removed = match fs::remove_file(&file.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => private::sync_folder(private::folder_of(&file.0)),
        };
        removed.map_err(|error| PrivateError::io(&file.0)(error).into())
    }

    fn proof(&self) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.own)?;
        file.write_all(&PROOF)?;
        file.as_file().sync_all()?;
        file.close()
    }

    fn sort(&self, file: SalvageFile, found: &mut Found) {
        match self.read(&file.0) {
            Ok(Some(record)) => found.pairs.push((file, record)),
            Ok(None) => {}
            Err(SalvageError::File(PrivateError::Io { source, .. }))
                if source.kind() == io::ErrorKind::NotFound => {}
            Err(error) => found.damaged.push((file, error)),
        }
    }

    fn read(&self, path: &Path) -> Result<Option<SalvageRecord>, SalvageError> {
        let file = File::open(path).map_err(PrivateError::io(path))?;
        let seen = file.metadata().map_err(PrivateError::io(path))?;
        private::refuse_loose(path, &seen, "600")?;
        let text = io::read_to_string(file).map_err(PrivateError::io(path))?;
        let envelope: Envelope =
            serde_json::from_str(&text).map_err(|_| SalvageError::Malformed)?;
        if envelope.version != VERSION {
            return Err(SalvageError::Malformed);
        }
        if envelope.store != self.store || envelope.provider != self.seals.provider.as_ref() {
            return Ok(None);
        }
        self.open(&envelope).map(Some)
    }

    fn envelope(&self, record: &SalvageRecord) -> Result<Vec<u8>, SalvageError> {
        // Room for all of it, so that growing leaves no copies behind.
        let mut secret = Zeroizing::new(Vec::with_capacity(PROOF.len()));
        let outgoing = Outgoing {
            attempt: record.attempt,
            access: record.access.token.expose(),
            since: record.access.since,
            expires_at: record.access.expires_at,
            life_known: record.access.life_known,
            refresh: record.refresh.expose(),
            scopes: record.scopes.as_ref(),
        };
        serde_json::to_writer(&mut *secret, &outgoing).map_err(|_| SalvageError::Malformed)?;
        let mut envelope = Envelope {
            version: VERSION,
            store: self.store.clone(),
            provider: self.seals.provider.to_string(),
            tenant: record.tenant.to_string(),
            epoch: record.epoch,
            generation: record.generation,
            sealed: Vec::new(),
        };
        envelope.sealed =
            self.labelled(&envelope, |label| self.seals.sealer.seal(label, &secret))?;
        serde_json::to_vec(&envelope).map_err(|_| SalvageError::Malformed)
    }

    fn open(&self, envelope: &Envelope) -> Result<SalvageRecord, SalvageError> {
        let secret = self.labelled(envelope, |label| {
            self.seals.sealer.open(label, &envelope.sealed)
        })?;
        let incoming: Incoming =
            serde_json::from_slice(&secret).map_err(|_| SalvageError::Malformed)?;
        Ok(SalvageRecord {
            tenant: TenantName::parse(&envelope.tenant).map_err(|_| SalvageError::Malformed)?,
            epoch: envelope.epoch,
            generation: envelope.generation,
            attempt: incoming.attempt,
            access: Access {
                token: incoming.access,
                since: incoming.since,
                expires_at: incoming.expires_at,
                life_known: incoming.life_known,
            },
            refresh: incoming.refresh,
            scopes: incoming.scopes,
        })
    }

    fn labelled<T>(&self, envelope: &Envelope, work: impl FnOnce(&Label<'_>) -> T) -> T {
        work(&Label {
            provider: &self.seals.provider,
            tenant: &envelope.tenant,
            epoch: envelope.epoch,
            generation: envelope.generation,
            field: &format!("salvage of {}", envelope.store),
        })
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, PrivateError> {
    let listed = || -> io::Result<Vec<PathBuf>> {
        let mut paths: Vec<PathBuf> = fs::read_dir(folder)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<_>>()?;
        paths.sort();
        Ok(paths)
    };
    match listed() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other.map_err(PrivateError::io(folder)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use tempfile::TempDir;

    use super::super::rows::Seals;
    use super::super::seal::{Fingerprints, Sealer};
    use super::super::sealing_keys::{KeySource, load, make_key_file};
    use super::*;
    use crate::model::ids::ProviderId;

    /// A pair to keep.
    pub(in super::super) fn record(tenant: &str) -> SalvageRecord {
        SalvageRecord {
            tenant: TenantName::parse(tenant).unwrap(),
            epoch: Epoch(1),
            generation: Generation(4),
            attempt: AttemptId::make(),
            access: Access {
                token: Secret::new("access-canary"),
                since: Timestamp(7),
                expires_at: Timestamp(7) + Duration::from_mins(15),
                life_known: true,
            },
            refresh: Secret::new("refresh-canary"),
            scopes: Some(ScopeSet::parse("a b").unwrap()),
        }
    }

    fn salvage(place: &TempDir, provider: &str, owner: &str, store: &str) -> Salvage {
        let path = place.path().join("key");
        if !path.exists() {
            make_key_file(&path).unwrap();
        }
        let seals = Seals {
            provider: ProviderId::new(provider),
            sealer: Sealer::new(load(&[KeySource::File(path)]).unwrap()).unwrap(),
            fingerprints: Fingerprints::new(b"", ""),
        };
        let root = place.path().join("salvage");
        Salvage::new(&root, &Owner::new(owner), store, Arc::new(seals)).unwrap()
    }

    #[test]
    fn a_pair_is_found_by_every_owner_of_the_machine_until_it_is_removed() {
        let place = tempfile::tempdir().unwrap();
        let record = record("acme");
        salvage(&place, "p", "dead", "s").put(&record).unwrap();
        let heir = salvage(&place, "p", "heir", "s");
        heir.ready().unwrap();
        let found = heir.found().unwrap();
        assert!(found.damaged.is_empty());
        let [(file, pair)] = found.pairs.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!(*pair, record);
        heir.remove(file).unwrap();
        heir.remove(file).unwrap();
        assert!(heir.found().unwrap().pairs.is_empty());
    }

    #[test]
    fn another_store_s_or_provider_s_pairs_are_left_out() {
        let place = tempfile::tempdir().unwrap();
        salvage(&place, "p", "a", "s").put(&record("acme")).unwrap();
        for (provider, store) in [("q", "s"), ("p", "t")] {
            let found = salvage(&place, provider, "b", store).found().unwrap();
            assert!(found.pairs.is_empty() && found.damaged.is_empty());
        }
    }

    #[test]
    fn a_damaged_file_is_kept_and_told() {
        let place = tempfile::tempdir().unwrap();
        let salvage = salvage(&place, "p", "a", "s");
        let good = salvage.put(&record("good")).unwrap();
        let moved = salvage.put(&record("acme")).unwrap();
        let text = fs::read_to_string(moved.path()).unwrap();
        fs::write(moved.path(), text.replace("acme", "evil")).unwrap();
        let cut = salvage.put(&record("cut")).unwrap();
        fs::write(cut.path(), "{").unwrap();
        let found = salvage.found().unwrap();
        assert_eq!(found.pairs.len(), 1);
        assert_eq!(found.pairs[0].0, good);
        let damaged: Vec<_> = found.damaged.iter().map(|(file, _)| file).collect();
        assert_eq!(damaged, [&moved, &cut]);
        assert!(moved.path().exists() && cut.path().exists());
    }
}
