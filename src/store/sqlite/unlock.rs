//! A database file and the files beside it: private to us, and unlocked for the first time in this process. What its tables
//! hold is not here (`schema`).

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use super::{schema, worker};
use crate::clock::Timestamp;
use crate::store::OpenError;
use crate::store::own::Unlocked;
use crate::store::private::{self, PrivateError};
use crate::store::sealing_keys::KeySource;

/// Between two tries to open a locked file.
const PAUSE: Duration = Duration::from_millis(20);

/// Makes the file if there is none. With its absolute path.
pub(in crate::store) fn unlock(
    file: &Path,
    keys: &[KeySource],
    now: Timestamp,
) -> Result<(PathBuf, Unlocked), OpenError> {
    let path = own_path(file)?;
    let unlocked = patiently(|| unlock_once(&path, keys, now))?;
    Ok((path, unlocked))
}

fn unlock_once(path: &Path, keys: &[KeySource], now: Timestamp) -> Result<Unlocked, OpenError> {
    let failed = OpenError::sqlite(path);
    let mut connection = worker::connect(path).map_err(&failed)?;
    schema::recognise(&connection, path)?;
    worker::prepare(&connection).map_err(&failed)?;
    schema::unlock(&mut connection, path, keys, now)
}

/// Tries again while the file is locked: `SQLite` refuses some of what opening needs without waiting, while another
/// process opens or closes the file.
fn patiently<T>(mut work: impl FnMut() -> Result<T, OpenError>) -> Result<T, OpenError> {
    let end = Instant::now() + worker::PATIENCE;
    loop {
        match work() {
            Err(OpenError::Locked { .. }) if Instant::now() < end => thread::sleep(PAUSE),
            done => return done,
        }
    }
}

/// The file with its folder, ours alone, by its absolute path. What is beside it must be ours alone too.
fn own_path(path: &Path) -> Result<PathBuf, OpenError> {
    let folder = private::folder_of(path);
    private::own_folder(folder)?;
    private::own_file(path)?;
    for suffix in ["-wal", "-shm"] {
        let mut beside = path.as_os_str().to_owned();
        beside.push(suffix);
        let beside = Path::new(&beside);
        if let Ok(seen) = fs::metadata(beside) {
            private::refuse_loose(beside, &seen, "600")?;
        }
    }
    fs::canonicalize(path).map_err(|error| PrivateError::io(path)(error).into())
}
