//! Creating a unix socket at a path: never with wider permissions than asked for, and never in place of one that still
//! answers.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;

/// Listens at `path` with `mode`. A socket file that nobody answers on is replaced; anything else there is an error:
/// `AddrInUse` if it is in use, `AlreadyExists` if it is no socket, `InvalidInput` if
/// no client could connect to it: an address is 107 bytes at most.
pub(super) fn listen(path: &Path, mode: u32) -> io::Result<UnixListener> {
    SocketAddr::from_pathname(path)?;
    check_free(path)?;
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    // Made in a folder that only we can enter, and moved into place when its mode is right.
    let folder = tempfile::Builder::new().prefix(".").tempdir_in(folder)?;
    let hidden = folder.path().join("s");
    // By its descriptor where there is /proc: its path is longer than the one asked for, perhaps too long for an address.
    let opened = File::open(folder.path())?;
    let short = format!("/proc/self/fd/{}/s", opened.as_raw_fd());
    let listener = UnixListener::bind(short).or_else(|_| UnixListener::bind(&hidden))?;
    fs::set_permissions(&hidden, Permissions::from_mode(mode))?;
    fs::rename(&hidden, path)?;
    Ok(listener)
}

fn check_free(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(ErrorKind::AlreadyExists.into());
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("door");
        let first = listen(&path, 0o600).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            listen(&path, 0o600).unwrap_err().kind(),
            ErrorKind::AddrInUse
        );
        drop(first);
        listen(&path, 0o666).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o666);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_longest_path_that_can_be_connected_to_can_be_listened_at() {
        let folder = tempfile::tempdir().unwrap();
        let rest = 107 - folder.path().as_os_str().len() - 1;
        let path = folder.path().join("x".repeat(rest));
        let _listener = listen(&path, 0o600).unwrap();
        UnixStream::connect(&path).unwrap();
        let longer = listen(&path.with_extension("y"), 0o600);
        assert_eq!(longer.unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "kept").unwrap();
        let error = listen(&path, 0o600).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"kept");
    }
}
