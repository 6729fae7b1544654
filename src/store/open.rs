//! Opening the store of this machine: files, keys, tables, and this process among its owners. What is done with it then
//! is not here.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rusqlite::ErrorCode;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::ConnectionStore;
use super::owners::{Lock, Owners};
use super::private::{self, PrivateError};
use super::rows::Seals;
use super::salvage::Salvage;
use super::schema::{self, Unlocked};
use super::seal::SealError;
use super::sealing_keys::{KeyError, KeyId, KeySource};
use super::sqlite::SqliteStore;
use super::worker::{self, Handle, Worker, is_busy};
use crate::clock::{SharedClock, Timestamp};
use crate::model::ids::{Owner, ProviderId};

/// Between two tries to open a locked file.
const PAUSE: Duration = Duration::from_millis(20);

/// What the configuration says of the store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The `SQLite` file.
    pub sqlite: PathBuf,
    /// The sealing keys: the first seals, all open.
    pub sealing_keys: Vec<KeySource>,
    /// Whose rows are seen: those of no other provider.
    pub provider: ProviderId,
    /// The folder for pairs whose commit failed, and for the owners' lock files.
    pub salvage: PathBuf,
}

/// A store that is ready for use.
#[derive(Debug)]
pub struct Opened {
    /// Connections at rest.
    pub store: Arc<dyn ConnectionStore>,
    /// Which owners of this machine are dead.
    pub owners: Owners,
    /// Tells the others that this owner lives; keep it as long as it does.
    pub lock: Lock,
    /// Pairs whose commit failed.
    pub salvage: Salvage,
    /// The key that seals.
    pub sealing_key: KeyId,
}

/// Why the store was not opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its folder or file is not ours alone, or cannot be used.
    #[error("the store's files cannot be used")]
    Private(#[from] PrivateError),
    /// A sealing key cannot be had.
    #[error("the store cannot be opened without its sealing key")]
    Key(#[from] KeyError),
    /// It is sealed by a key that is not configured.
    #[error(
        "the store {path} is sealed by key {wanted}, which is not configured: name it in [store] sealing_keys",
        path = path.display()
    )]
    WrongKey {
        /// The store.
        path: PathBuf,
        /// The key that it was last used with.
        wanted: KeyId,
    },
    /// The file is no `SQLite` database, or another program's, or was changed by another hand.
    #[error(
        "{path} is no store of pleo-gateway; nothing in it was changed: name another file in [store] sqlite, or put \
         the right one back",
        path = .0.display()
    )]
    NotAStore(PathBuf),
    /// The file is damaged.
    #[error(
        "the store {path} is damaged; nothing in it was changed: put a backup back, or move it away to begin anew",
        path = path.display()
    )]
    Corrupt {
        /// The store.
        path: PathBuf,
        /// What `SQLite` says.
        #[source]
        source: rusqlite::Error,
    },
    /// Another program holds it.
    #[error("the store {path} is locked by another program", path = path.display())]
    Locked {
        /// The store.
        path: PathBuf,
        /// What `SQLite` says.
        #[source]
        source: rusqlite::Error,
    },
    /// A newer version of this program has used it.
    #[error(
        "the store {path} has version {found}, this program knows {known}: use the newer program",
        path = path.display()
    )]
    Newer {
        /// The store.
        path: PathBuf,
        /// Its version.
        found: usize,
        /// The newest version that is known.
        known: usize,
    },
    /// The device, or the machine.
    #[error("the store {path} cannot be read or written", path = path.display())]
    Sqlite {
        /// The store.
        path: PathBuf,
        /// What `SQLite` says.
        #[source]
        source: rusqlite::Error,
    },
    /// Sealing does not work on this machine.
    #[error("the store's own secrets cannot be sealed")]
    Seal(#[from] SealError),
    /// The thread that serves the store was not to be had.
    #[error("no thread for the store")]
    Thread(#[source] std::io::Error),
}

/// Whose fault it is that the store was not opened; one exit code each (contract.md section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenFault {
    /// Rights on files: 77.
    Permission,
    /// Bad data: 65.
    Damaged,
    /// Away for now: 69.
    Away,
    /// A missing or wrong key, a newer store: 78.
    Configuration,
    /// The device: 74.
    Io,
}

impl OpenError {
    /// What kind of trouble it is.
    pub fn fault(&self) -> OpenFault {
        match self {
            Self::Private(error) | Self::Key(KeyError::File(error)) => {
                if error.is_permission() {
                    OpenFault::Permission
                } else {
                    OpenFault::Io
                }
            }
            Self::NotAStore(_) | Self::Corrupt { .. } => OpenFault::Damaged,
            Self::Locked { .. } => OpenFault::Away,
            Self::Key(_) | Self::WrongKey { .. } | Self::Newer { .. } => OpenFault::Configuration,
            Self::Sqlite { .. } | Self::Seal(_) | Self::Thread(_) => OpenFault::Io,
        }
    }

    /// Sorts what `SQLite` says.
    pub(super) fn sqlite(path: &Path) -> impl Fn(rusqlite::Error) -> Self + '_ {
        move |source| {
            let path = path.to_owned();
            match source.sqlite_error_code() {
                _ if is_busy(&source) => Self::Locked { path, source },
                Some(ErrorCode::NotADatabase) => Self::NotAStore(path),
                Some(
                    ErrorCode::DatabaseCorrupt
                    | ErrorCode::ConstraintViolation
                    | ErrorCode::TypeMismatch
                    | ErrorCode::Unknown,
                )
                | None => Self::Corrupt { path, source },
                Some(_) => Self::Sqlite { path, source },
            }
        }
    }
}

/// Opens the store, or makes it if there is none. Runs on a thread of its own: files block.
pub async fn open(
    options: StoreOptions,
    owner: &Owner,
    clock: SharedClock,
) -> Result<Opened, OpenError> {
    let (tell, told) = oneshot::channel();
    let owner = owner.clone();
    thread::Builder::new()
        .name("store-open".to_owned())
        .spawn(move || {
            // Nobody waits any more: what was opened closes itself.
            let _ = tell.send(open_here(&options, &owner, clock));
        })
        .map_err(OpenError::Thread)?;
    told.await.unwrap_or_else(|_| {
        Err(OpenError::Thread(std::io::Error::other(
            "it ended before the store was open",
        )))
    })
}

fn open_here(
    options: &StoreOptions,
    owner: &Owner,
    clock: SharedClock,
) -> Result<Opened, OpenError> {
    let path = own_path(&options.sqlite)?;
    let now = clock.wall();
    let unlocked = patiently(|| unlock(&path, options, now))?;
    let (sealing_key, keys) = (unlocked.sealer.first(), unlocked.sealer.ids());
    let seals = Arc::new(Seals {
        provider: options.provider.clone(),
        sealer: unlocked.sealer,
        fingerprints: unlocked.fingerprints,
    });
    let id = unlocked.id;
    let worker = |name| {
        Worker::start(name, Handle::new(path.clone(), id.clone())).map_err(OpenError::Thread)
    };
    let (writer, reader) = (worker("store-write")?, worker("store-read")?);
    let (owners, lock) = Owners::register(&options.salvage, owner, &keys, now)?;
    let salvage = Salvage::new(&options.salvage, owner, &id, Arc::clone(&seals))?;
    let store = Arc::new(SqliteStore::new(id, seals, clock, writer, reader));
    Ok(Opened {
        store,
        owners,
        lock,
        salvage,
        sealing_key,
    })
}

fn unlock(path: &Path, options: &StoreOptions, now: Timestamp) -> Result<Unlocked, OpenError> {
    let failed = OpenError::sqlite(path);
    let mut connection = worker::connect(path).map_err(&failed)?;
    schema::recognise(&connection, path)?;
    worker::prepare(&connection).map_err(&failed)?;
    schema::unlock(&mut connection, path, &options.sealing_keys, now)
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
