//! Files and folders that only we may access: created so whatever the umask, refused if looser. What they hold is not here.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Why a file or folder is not used.
#[derive(Debug, thiserror::Error)]
pub enum PrivateError {
    /// Group or others have rights on it.
    #[error("others can reach {path}: run `chmod {mode} {path}`", path = path.display())]
    Loose {
        /// What is too open.
        path: PathBuf,
        /// The mode it needs, for `chmod`.
        mode: &'static str,
    },
    /// Another user owns it.
    #[error(
        "{path} belongs to user {owner}, not to us: run as that user, or `chown` it (then `chmod go= {path}`)",
        path = path.display()
    )]
    Foreign {
        /// What is another's.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// The file system refused.
    #[error("cannot use {path}", path = path.display())]
    Io {
        /// What was asked for.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl PrivateError {
    /// Keeps which path the file system spoke of.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    /// True if rights are the trouble, not the device.
    pub fn is_permission(&self) -> bool {
        match self {
            Self::Loose { .. } | Self::Foreign { .. } => true,
            Self::Io { source, .. } => source.kind() == io::ErrorKind::PermissionDenied,
        }
    }
}

/// The folder that a path lies in.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

/// Makes a folder 0700 with all above it, if it is missing. One that exists is left as it is.
pub(super) fn make_folder(path: &Path) -> Result<(), PrivateError> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o700)))
        .and_then(|()| sync_folder(folder_of(path)))
        .map_err(PrivateError::io(path))
}

/// A folder that is ours alone, made if it is missing.
pub(super) fn own_folder(path: &Path) -> Result<(), PrivateError> {
    make_folder(path)?;
    let seen = fs::metadata(path).map_err(PrivateError::io(path))?;
    refuse_loose(path, &seen, "700")
}

/// A file that is ours alone, made empty if it is missing.
pub(super) fn own_file(path: &Path) -> Result<(), PrivateError> {
    match create_new(path) {
        Ok(_) => sync_folder(folder_of(path)).map_err(PrivateError::io(path)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let seen = fs::metadata(path).map_err(PrivateError::io(path))?;
            refuse_loose(path, &seen, "600")
        }
        Err(error) => Err(PrivateError::io(path)(error)),
    }
}

/// A new file, 0600; an error if there is one.
pub(super) fn create_new(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

/// Refuses what group, others or another owner have rights on.
pub(super) fn refuse_loose(
    path: &Path,
    seen: &Metadata,
    mode: &'static str,
) -> Result<(), PrivateError> {
    let path = path.to_owned();
    if seen.uid() != rustix::process::geteuid().as_raw() {
        let owner = seen.uid();
        return Err(PrivateError::Foreign { path, owner });
    }
    if seen.mode() & 0o077 != 0 {
        return Err(PrivateError::Loose { path, mode });
    }
    Ok(())
}

/// Makes names in a folder durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_looser_folder_is_refused_with_its_remedy() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("data");
        own_folder(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o750)).unwrap();
        let error = own_folder(&path).unwrap_err();
        assert!(error.is_permission());
        assert!(error.to_string().contains("chmod 700"), "{error}");
    }

    /// Requirement 111.
    #[test]
    fn what_belongs_to_another_user_is_refused_with_its_remedy() {
        let place = tempfile::tempdir().unwrap();
        let mut path = place.path().join("file");
        own_file(&path).unwrap();
        if std::os::unix::fs::chown(&path, Some(65534), None).is_err() {
            path = "/".into();
        }
        let seen = fs::metadata(&path).unwrap();
        let error = refuse_loose(&path, &seen, "600").unwrap_err();
        assert!(matches!(error, PrivateError::Foreign { .. }), "{error}");
        assert!(error.is_permission());
        assert!(error.to_string().contains("chown"), "{error}");
    }

    /// Requirement 111.
    #[test]
    fn a_looser_file_is_refused_with_its_remedy() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        own_file(&path).unwrap();
        own_file(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let error = own_file(&path).unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
}
