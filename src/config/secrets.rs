//! Where secrets are, and fetching them: files, variables, systemd credentials. Which keys are secrets is not here (`keys`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::file::{Node, Value};
use super::report::{Finding, ProblemKind};
use super::settings::SecretSource;
use super::sources::Environment;
use crate::secret::{Secret, is_open_to_others};

/// Why a secret's file was not read.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// Others can read it too: the operator has to fix that.
    #[error("{} can be read by others", .0.display())]
    OpenToOthers(PathBuf),
    /// It is a folder.
    #[error("{} is a folder", .0.display())]
    Folder(PathBuf),
    /// Nothing is in it.
    #[error("{} is empty", .0.display())]
    Empty(PathBuf),
    /// It cannot be read, or is not text.
    #[error("cannot read {}", .0.display())]
    Io(PathBuf, #[source] io::Error),
}

/// Reads a secret from a file that others cannot read, without the newline at its end; `None` if there is no file.
pub fn read_secret_file(path: &Path) -> Result<Option<Secret>, SecretFileError> {
    if !check_secret_file(path)? {
        return Ok(None);
    }
    let text = fs::read_to_string(path).map_err(|e| SecretFileError::Io(path.to_owned(), e))?;
    trimmed(text)
        .map(Some)
        .ok_or_else(|| SecretFileError::Empty(path.to_owned()))
}

/// True if the file is there, be it a pipe; an error if others can read it.
pub(super) fn check_secret_file(path: &Path) -> Result<bool, SecretFileError> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(SecretFileError::Folder(path.to_owned())),
        Ok(found) if is_open_to_others(&found) => {
            Err(SecretFileError::OpenToOthers(path.to_owned()))
        }
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(SecretFileError::Io(path.to_owned(), error)),
    }
}

fn trimmed(text: String) -> Option<Secret> {
    let secret = Secret::new(text);
    let kept = secret.expose().trim_end_matches(['\n', '\r']);
    (!kept.trim().is_empty()).then(|| Secret::new(kept))
}

/// A file that whoever needs it makes if it is missing: one that is there is closed to others and holds something.
pub(super) fn file(path: PathBuf) -> Result<SecretSource, Finding> {
    // What is in a pipe comes once, and is for whoever needs it.
    let is_kept = path.is_file();
    let checked = if is_kept {
        read_secret_file(&path).map(drop)
    } else {
        check_secret_file(&path).map(drop)
    };
    let closed_to_us = |cause: &io::Error| cause.kind() == io::ErrorKind::PermissionDenied;
    match checked {
        // The gateway's user may be another one: this one asks what a reload would change.
        Err(SecretFileError::Io(_, cause)) if is_kept && closed_to_us(&cause) => {}
        Err(error) => return Err(finding(&error)),
        Ok(()) => {}
    }
    Ok(SecretSource::File(path))
}

/// Finds the secrets of one configuration.
pub(super) struct Secrets<'a> {
    pub(super) base: &'a Path,
    pub(super) environment: &'a Environment,
}

impl Secrets<'_> {
    /// The secret, or the file that may not be there yet. `None`: the check has already said what is wrong.
    pub(super) fn source(&self, node: &Node) -> Option<Result<SecretSource, Finding>> {
        Some(self.place(node)?.and_then(|source| match source {
            SecretSource::File(path) => file(path),
            given @ SecretSource::Given(_) => Ok(given),
        }))
    }

    /// The secret, or its file, unseen.
    fn place(&self, node: &Node) -> Option<Result<SecretSource, Finding>> {
        let Value::Table(table) = &node.value else {
            return None;
        };
        let (name, (_, node)) = table.0.iter().next()?;
        let (Value::Text(text), 1) = (&node.value, table.0.len()) else {
            return None;
        };
        match name.as_str() {
            _ if text.is_empty() => None,
            "file" => Some(Ok(SecretSource::File(self.base.join(text)))),
            "env" => Some(self.variable(text)),
            "credential" => Some(self.credential(text)),
            _ => None,
        }
    }

    /// The secret itself: its file has to be there.
    pub(super) fn read(&self, node: &Node) -> Option<Result<Secret, Finding>> {
        Some(self.place(node)?.and_then(|source| match source {
            SecretSource::Given(secret) => Ok(secret),
            SecretSource::File(path) => match read_secret_file(&path) {
                Ok(Some(secret)) => Ok(secret),
                Ok(None) => Err(missing(format!("there is no file {}", path.display()))),
                Err(error) => Err(finding(&error)),
            },
        }))
    }

    fn variable(&self, name: &str) -> Result<SecretSource, Finding> {
        if self.environment.is_unreadable(name) {
            return Err(missing(format!("the variable {name} is not UTF-8")));
        }
        let text = (self.environment.var(name))
            .ok_or_else(|| missing(format!("the variable {name} is not set")))?;
        trimmed(text.to_owned())
            .map(SecretSource::Given)
            .ok_or_else(|| missing(format!("the variable {name} is empty")))
    }

    /// systemd keeps its folder closed, whatever the modes in it.
    fn credential(&self, name: &str) -> Result<SecretSource, Finding> {
        let Some(folder) = self.environment.var("CREDENTIALS_DIRECTORY") else {
            let message = "CREDENTIALS_DIRECTORY is not set";
            let remedy = "run under systemd with LoadCredential=, or write { file = \"…\" }";
            return Err(Finding::new(ProblemKind::Missing, message, remedy));
        };
        if name.contains('/') || name == ".." {
            let remedy = "write the name that LoadCredential= gives it";
            return Err(Finding::invalid("a credential's name is no path", remedy));
        }
        let path = Path::new(folder).join(name);
        let text = fs::read_to_string(&path)
            .map_err(|error| missing(format!("the credential {name} cannot be read: {error}")))?;
        trimmed(text)
            .map(SecretSource::Given)
            .ok_or_else(|| missing(format!("the credential {name} is empty")))
    }
}

fn missing(message: String) -> Finding {
    Finding::new(
        ProblemKind::Missing,
        message,
        "put the secret there, or name another place",
    )
}

/// What to say of a file that was not read.
pub(super) fn finding(error: &SecretFileError) -> Finding {
    match error {
        SecretFileError::OpenToOthers(path) => {
            let remedy = format!("chmod 600 {}", path.display());
            Finding::new(ProblemKind::Permission, error.to_string(), remedy)
        }
        SecretFileError::Folder(_) => Finding::invalid(error.to_string(), "name a file"),
        SecretFileError::Empty(_) => missing(error.to_string()),
        SecretFileError::Io(_, cause) => {
            let kind = match cause.kind() {
                io::ErrorKind::PermissionDenied => ProblemKind::Permission,
                _ => ProblemKind::Invalid,
            };
            let remedy = "make it a text file that the gateway's user can read";
            Finding::new(kind, format!("{error}: {cause}"), remedy)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn written(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn the_newline_at_the_end_is_not_part_of_a_secret() {
        let (_folder, path) = written("canary \r\n", 0o600);
        assert_eq!(
            read_secret_file(&path).unwrap(),
            Some(Secret::new("canary "))
        );
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        for mode in [0o604, 0o640, 0o660] {
            let (_folder, path) = written("canary", mode);
            let error = read_secret_file(&path).unwrap_err();
            assert!(
                matches!(error, SecretFileError::OpenToOthers(_)),
                "{mode:o}"
            );
        }
    }

    #[test]
    fn an_empty_file_is_refused_and_a_missing_one_is_none() {
        let (folder, path) = written("\n", 0o600);
        let error = read_secret_file(&path).unwrap_err();
        assert!(matches!(error, SecretFileError::Empty(_)));
        assert_eq!(read_secret_file(&folder.path().join("none")).unwrap(), None);
    }
}
