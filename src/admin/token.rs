//! The admin token's file: created at the first start, mode 0600.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::secret::{Secret, is_open_to_others};

/// Why there is no admin token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Others can read it.
    #[error("{} can be read by others: chmod 600 {}", .0.display(), .0.display())]
    Loose(PathBuf),
    /// There is nothing in it.
    #[error("{} is empty: remove it, and the next start makes a new one", .0.display())]
    Empty(PathBuf),
    /// It can be neither read nor made.
    #[error("{} cannot be used", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Reads the token, or makes one if there is no file yet.
pub fn read_or_make(path: &Path) -> Result<Secret, TokenError> {
    let failed = |source| TokenError::Io {
        path: path.to_owned(),
        source,
    };
    match make(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        made => made.map_err(failed)?,
    }
    if is_open_to_others(&fs::metadata(path).map_err(failed)?) {
        return Err(TokenError::Loose(path.to_owned()));
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(failed)?);
    match text.trim() {
        "" => Err(TokenError::Empty(path.to_owned())),
        token => Ok(Secret::new(token)),
    }
}

/// Another process may make it at the same time: the first one wins, and nobody sees a half-written file.
fn make(path: &Path) -> io::Result<()> {
    if path.exists() {
        return Err(ErrorKind::AlreadyExists.into());
    }
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty() && !folder.exists())
    {
        fs::create_dir_all(folder)?;
    }
    let mut bytes = Zeroizing::new([0; 32]);
    SystemRandom::new()
        .fill(&mut *bytes)
        .map_err(|_| io::Error::other("no random numbers"))?;
    let token = Zeroizing::new(format!("{}\n", URL_SAFE_NO_PAD.encode(*bytes)));
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    let made = file
        .write_all(token.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::hard_link(&draft, path));
    fs::remove_file(&draft)?;
    made
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    #[test]
    fn the_token_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.token");
        let made = read_or_make(&path).unwrap();
        assert!(made.expose().len() >= 40);
        assert_eq!(read_or_make(&path).unwrap(), made);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_token_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.token");
        fs::write(&path, "t").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(read_or_make(&path), Err(TokenError::Loose(_))));
    }
}
