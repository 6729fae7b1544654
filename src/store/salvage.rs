//! Salvage (design.md R1, R6): a pair whose commit failed, sealed in a file on this machine until it is committed or
//! superseded. When that is so is not decided here (`tokens`).

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::private::{self, PrivateError};
use super::rows::Seals;
use super::seal::{Label, SealError, key_of};
use crate::clock::Timestamp;
use crate::model::connection::Access;
use crate::model::ids::{AttemptId, Epoch, Generation, Owner, ProviderId, TenantName};
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
    /// A file is not in our format.
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
        write(&path, &self.envelope(record)?)
            .and_then(|()| private::sync_folder(&self.root))
            .map_err(PrivateError::io(&path))?;
        Ok(SalvageFile(path))
    }

    /// All that owners of this machine have kept, dead or alive. Other stores' and providers' files are left out.
    pub fn found(&self) -> Result<Found, SalvageError> {
        let mut found = Found::default();
        for file in self.files()? {
            self.sort(file, &mut found);
        }
        Ok(found)
    }

    /// Every file, whoever's it is.
    pub fn files(&self) -> Result<Vec<SalvageFile>, SalvageError> {
        let mut files = Vec::new();
        for folder in entries(&self.root)?
            .into_iter()
            .filter(|path| path.is_dir())
        {
            let pairs = entries(&folder)?.into_iter();
            let pairs = pairs.filter(|path| path.extension().is_some_and(|end| end == "pair"));
            files.extend(pairs.map(SalvageFile));
        }
        Ok(files)
    }

    /// Seals a file of this store under the first key. False if there is nothing to do: sealed so already, another
    /// store's, or gone. One that its owner removes at this very moment may come back: it is superseded then, and found
    /// and removed as such.
    pub fn reseal(&self, file: &SalvageFile) -> Result<bool, SalvageError> {
        let mut envelope = match Envelope::read(&file.0) {
            Ok(envelope) if envelope.store == self.store => envelope,
            Ok(_) => return Ok(false),
            Err(error) if error.is_gone() => return Ok(false),
            Err(error) => return Err(error),
        };
        if key_of(&envelope.sealed) == Some(self.seals.sealer.first()) {
            return Ok(false);
        }
        let sealer = &self.seals.sealer;
        let secret = envelope.labelled(|label| sealer.open(label, &envelope.sealed))?;
        envelope.sealed = envelope.labelled(|label| sealer.seal(label, &secret))?;
        let text = serde_json::to_vec(&envelope).map_err(|_| SalvageError::Malformed)?;
        let is_there = file.0.try_exists().unwrap_or(true);
        if is_there {
            write(&file.0, &text).map_err(PrivateError::io(&file.0))?;
        }
        Ok(is_there)
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
            Err(error) if error.is_gone() => {}
            Err(error) => found.damaged.push((file, error)),
        }
    }

    fn read(&self, path: &Path) -> Result<Option<SalvageRecord>, SalvageError> {
        let envelope = Envelope::read(path)?;
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
        envelope.sealed = envelope.labelled(|label| self.seals.sealer.seal(label, &secret))?;
        serde_json::to_vec(&envelope).map_err(|_| SalvageError::Malformed)
    }

    fn open(&self, envelope: &Envelope) -> Result<SalvageRecord, SalvageError> {
        let secret = envelope.labelled(|label| self.seals.sealer.open(label, &envelope.sealed))?;
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
}

impl Envelope {
    fn read(path: &Path) -> Result<Self, SalvageError> {
        let file = File::open(path).map_err(PrivateError::io(path))?;
        let seen = file.metadata().map_err(PrivateError::io(path))?;
        private::refuse_loose(path, &seen, "600")?;
        let text = io::read_to_string(file).map_err(PrivateError::io(path))?;
        let envelope: Self = serde_json::from_str(&text).map_err(|_| SalvageError::Malformed)?;
        if envelope.version != VERSION {
            return Err(SalvageError::Malformed);
        }
        Ok(envelope)
    }

    fn labelled<T>(&self, work: impl FnOnce(&Label<'_>) -> T) -> T {
        work(&Label {
            provider: &ProviderId::new(self.provider.as_str()),
            tenant: &self.tenant,
            epoch: self.epoch,
            generation: self.generation,
            field: &format!("salvage of {}", self.store),
        })
    }
}

impl SalvageError {
    /// True if the file is not there any more.
    fn is_gone(&self) -> bool {
        matches!(self, Self::File(PrivateError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound)
    }
}

/// The whole file or nothing of it, over the one that was there; durable once this returns.
fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let folder = private::folder_of(path);
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|lost| lost.error)?;
    private::sync_folder(folder)
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
pub(super) mod tests;
