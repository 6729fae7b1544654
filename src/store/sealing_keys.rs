//! Sealing keys: where they come from, what a key file looks like, and how the first one is made. What they seal is not here
//! (`seal`).

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::private::{self, PrivateError};
use crate::secret::{Secret, is_open_to_others};

/// What a key's one line begins with.
const PREFIX: &str = "pleo-gateway-sealing-key-v1:";

/// No key's line is longer.
const LONGEST: u64 = 256;

/// Where a sealing key is found.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// In a file that others may not read.
    File(PathBuf),
    /// In a secret that the configuration has read already.
    Secret {
        /// What it is called there, for messages.
        name: String,
        /// The key's line.
        value: Secret,
    },
}

/// A sealing key's public name: the first 32 bits of its SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyId(pub(super) [u8; 4]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

/// A sealing key. Prints its id only; wiped on drop.
#[derive(Clone)]
pub struct SealingKey {
    id: KeyId,
    bytes: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", self.id)
    }
}

/// Why a sealing key is not available.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The configuration names none.
    #[error("no sealing key is configured: name one in [store] sealing_keys")]
    NoneNamed,
    /// Its file does not exist.
    #[error(
        "there is no sealing key at {path}: put it back, or, if it is to be a new one, run `pleo-gateway keys new`",
        path = .0.display()
    )]
    Missing(PathBuf),
    /// A file is there already: it is never overwritten.
    #[error("{path} exists already", path = .0.display())]
    Exists(PathBuf),
    /// It is not one line as `keys new` writes it.
    #[error("{0} is no sealing key: one line `{PREFIX}…` is expected")]
    Malformed(String),
    /// The machine gave no random bytes.
    #[error("no random bytes for a sealing key")]
    Random,
    /// Others may read its file, or it cannot be used.
    #[error("the sealing key's file cannot be used")]
    File(#[from] PrivateError),
}

impl SealingKey {
    /// Reads a key's line.
    fn parse(name: &str, line: &str) -> Result<Self, KeyError> {
        let malformed = || KeyError::Malformed(name.to_owned());
        let text = line.trim_end_matches(['\r', '\n']);
        let text = text.strip_prefix(PREFIX).ok_or_else(malformed)?;
        let mut bytes = Zeroizing::new([0; 32]);
        match URL_SAFE_NO_PAD.decode_slice(text, bytes.as_mut_slice()) {
            Ok(32) => Ok(Self::new(bytes)),
            Ok(_) | Err(_) => Err(malformed()),
        }
    }

    fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        let mut id = [0; 4];
        id.copy_from_slice(&digest(&SHA256, bytes.as_slice()).as_ref()[..4]);
        Self {
            id: KeyId(id),
            bytes,
        }
    }

    fn make() -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(bytes.as_mut_slice()).map_err(|_| KeyError::Random)?;
        Ok(Self::new(bytes))
    }

    fn line(&self) -> Zeroizing<String> {
        let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(self.bytes.as_slice()));
        Zeroizing::new(format!("{PREFIX}{}\n", text.as_str()))
    }

    /// Its public name.
    pub fn id(&self) -> KeyId {
        self.id
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }
}

/// All keys in the order of their sources: the first seals.
pub fn load(sources: &[KeySource]) -> Result<Vec<SealingKey>, KeyError> {
    if sources.is_empty() {
        return Err(KeyError::NoneNamed);
    }
    sources.iter().map(read).collect()
}

/// As [`load`], for a store in which nothing is sealed yet: the first key's file is made if it is missing. If another
/// process makes it meanwhile, that one is taken.
pub(super) fn load_or_make(sources: &[KeySource]) -> Result<Vec<SealingKey>, KeyError> {
    if let Some(KeySource::File(path)) = sources.first()
        && !path.exists()
    {
        match make_key_file(path) {
            Ok(_) | Err(KeyError::Exists(_)) => {}
            Err(error) => return Err(error),
        }
    }
    load(sources)
}

/// Makes a new key in a new file, 0600, durable once this returns. It appears whole or not at all, and never over
/// another file.
pub fn make_key_file(path: &Path) -> Result<KeyId, KeyError> {
    let folder = private::folder_of(path);
    private::make_folder(folder)?;
    let key = SealingKey::make()?;
    let written = || -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(key.line().as_bytes())?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path).map_err(|lost| lost.error)?;
        private::sync_folder(folder)
    };
    match written() {
        Ok(()) => Ok(key.id),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(KeyError::Exists(path.to_owned()))
        }
        Err(error) => Err(PrivateError::io(path)(error).into()),
    }
}

fn read(source: &KeySource) -> Result<SealingKey, KeyError> {
    match source {
        KeySource::Secret { name, value } => SealingKey::parse(name, value.expose()),
        KeySource::File(path) => read_file(path),
    }
}

fn read_file(path: &Path) -> Result<SealingKey, KeyError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(KeyError::Missing(path.to_owned()));
        }
        Err(error) => return Err(PrivateError::io(path)(error).into()),
    };
    let seen = file.metadata().map_err(PrivateError::io(path))?;
    if is_open_to_others(&seen) {
        let (path, mode) = (path.to_owned(), "600");
        return Err(PrivateError::Loose { path, mode }.into());
    }
    let mut line = Zeroizing::new(String::with_capacity(256));
    match file.take(LONGEST).read_to_string(&mut line) {
        Ok(_) => SealingKey::parse(&path.display().to_string(), &line),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(KeyError::Malformed(path.display().to_string()))
        }
        Err(error) => Err(PrivateError::io(path)(error).into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_that_was_made_is_loaded_again() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("deep/sealing.key");
        let id = make_key_file(&path).unwrap();
        let keys = load(&[KeySource::File(path.clone())]).unwrap();
        assert_eq!(keys[0].id(), id);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let value = Secret::new(fs::read_to_string(&path).unwrap());
        let name = "env KEY".to_owned();
        assert_eq!(
            load(&[KeySource::Secret { name, value }]).unwrap()[0].id(),
            id
        );
    }

    #[test]
    fn a_key_file_is_never_overwritten() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("sealing.key");
        make_key_file(&path).unwrap();
        let before = fs::read(&path).unwrap();
        assert!(matches!(make_key_file(&path), Err(KeyError::Exists(_))));
        assert_eq!(fs::read(&path).unwrap(), before);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("sealing.key");
        make_key_file(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o604)).unwrap();
        let Err(KeyError::File(error)) = load(&[KeySource::File(path)]) else {
            panic!("it was taken");
        };
        assert!(error.is_permission());
        assert!(error.to_string().contains("chmod 600"));
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_shown() {
        for bad in [
            "",
            "canary",
            &format!("{PREFIX}Y2FuYXJ5"),
            &format!("{PREFIX}!canary"),
        ] {
            let error = SealingKey::parse("name", bad).unwrap_err();
            assert!(matches!(error, KeyError::Malformed(_)), "{bad}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }

    #[test]
    fn a_missing_file_names_its_remedy() {
        let error = load(&[KeySource::File("none".into())]).unwrap_err();
        assert!(error.to_string().contains("keys new"));
    }
}
