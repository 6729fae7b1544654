//! Opening the store: keys, tables, and this process's place among its owners on this machine. How a database is unlocked is
//! not here (`sqlite`, `postgres`), nor what is done with it then.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use rusqlite::ErrorCode;
use tokio::sync::oneshot;

use super::ConnectionStore;
use super::own::Unlocked;
use super::owners::{Lock, Owners};
use super::postgres::{self, PostgresStore, ServerAddress, ServerError};
use super::private::PrivateError;
use super::rows::Seals;
use super::salvage::Salvage;
use super::seal::SealError;
use super::sealing_keys::{KeyError, KeyId, KeySource};
use super::sqlite::{self, SqliteStore, is_busy};
use crate::clock::{SharedClock, Timestamp};
use crate::model::ids::{Owner, ProviderId};
use crate::net::tls::TlsError;

/// Where connections are kept.
#[derive(Clone, Debug)]
pub enum Database {
    /// A file of this machine.
    Sqlite(PathBuf),
    /// A server, shared by replicas.
    Postgres(ServerAddress),
}

/// What the configuration says of the store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Where the rows are.
    pub database: Database,
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
    /// A sealing key is not available.
    #[error("the store cannot be opened without its sealing key")]
    Key(#[from] KeyError),
    /// It is sealed by a key that is not configured.
    #[error(
        "the store {store} is sealed by key {wanted}, which is not configured: name it in [store] sealing_keys"
    )]
    WrongKey {
        /// The store.
        store: String,
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
    /// The database's schema is another program's, or was changed by another hand.
    #[error(
        "{0}: its schema pleo_gateway is not of pleo-gateway; nothing in it was changed: name another database in \
         [store] postgres, or put the right one back"
    )]
    Foreign(String),
    /// The server is away, or does not let us in, or does not let us do what we must.
    #[error("{store} cannot be used{remedy}", remedy = remedy(source))]
    Server {
        /// The store.
        store: String,
        /// What it says.
        #[source]
        source: ServerError,
    },
    /// TLS to the server cannot be set up.
    #[error("TLS to the database cannot be set up")]
    Tls(#[from] TlsError),
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
        "the store {store} has version {found}, this program knows {known}: use the newer program"
    )]
    Newer {
        /// The store.
        store: String,
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
    /// The thread that serves the store could not be started.
    #[error("no thread for the store")]
    Thread(#[source] std::io::Error),
}

/// Whose fault it is that the store was not opened; one exit code each (contract.md section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenFault {
    /// Permissions of files: 77.
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
            Self::NotAStore(_) | Self::Foreign(_) | Self::Corrupt { .. } => OpenFault::Damaged,
            Self::Locked { .. } => OpenFault::Away,
            Self::Key(_) | Self::WrongKey { .. } | Self::Newer { .. } | Self::Tls(_) => {
                OpenFault::Configuration
            }
            Self::Server { source, .. } => source.fault(),
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

/// What an operator can do about a server.
fn remedy(error: &ServerError) -> &'static str {
    match error.fault() {
        OpenFault::Configuration => {
            ": see the URL in [store] postgres: user, password, database, and sslrootcert for a server with an authority \
             of its own"
        }
        OpenFault::Permission => {
            ": its user needs the right to create in the database, or to own the schema pleo_gateway"
        }
        OpenFault::Away | OpenFault::Damaged | OpenFault::Io => "",
    }
}

/// True if there is a store already. Makes none.
pub async fn is_founded(database: &Database) -> Result<bool, OpenError> {
    match database {
        Database::Sqlite(file) => Ok(file.try_exists().map_err(PrivateError::io(file))?),
        Database::Postgres(address) => postgres::is_founded(address).await,
    }
}

/// Opens the store, or makes it if there is none.
pub async fn open(
    options: StoreOptions,
    owner: &Owner,
    clock: SharedClock,
) -> Result<Opened, OpenError> {
    match options.database.clone() {
        Database::Sqlite(file) => open_file(file, options, owner, clock).await,
        Database::Postgres(address) => open_server(&address, &options, owner, &clock).await,
    }
}

async fn open_server(
    address: &ServerAddress,
    options: &StoreOptions,
    owner: &Owner,
    clock: &SharedClock,
) -> Result<Opened, OpenError> {
    let (server, unlocked) = postgres::unlock(address, &options.sealing_keys).await?;
    let found = Found::of(unlocked, options);
    let store = PostgresStore::new(found.id.clone(), Arc::clone(&found.seals), server);
    found.opened(Arc::new(store), options, owner, clock.wall())
}

/// Runs on a thread of its own: files block.
async fn open_file(
    file: PathBuf,
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
            let _ = tell.send(open_here(&file, &options, &owner, clock));
        })
        .map_err(OpenError::Thread)?;
    told.await.unwrap_or_else(|_| {
        Err(OpenError::Thread(std::io::Error::other(
            "it ended before the store was open",
        )))
    })
}

fn open_here(
    file: &Path,
    options: &StoreOptions,
    owner: &Owner,
    clock: SharedClock,
) -> Result<Opened, OpenError> {
    let now = clock.wall();
    let (path, unlocked) = sqlite::unlock(file, &options.sealing_keys, now)?;
    let found = Found::of(unlocked, options);
    let seals = Arc::clone(&found.seals);
    let store = SqliteStore::start(&path, found.id.clone(), seals, clock)?;
    found.opened(Arc::new(store), options, owner, now)
}

/// A store that was unlocked, before its place on this machine is made.
struct Found {
    id: String,
    sealing_key: KeyId,
    seals: Arc<Seals>,
}

impl Found {
    fn of(unlocked: Unlocked, options: &StoreOptions) -> Self {
        Self {
            id: unlocked.id,
            sealing_key: unlocked.sealer.first(),
            seals: Arc::new(Seals {
                provider: options.provider.clone(),
                sealer: unlocked.sealer,
                fingerprints: unlocked.fingerprints,
            }),
        }
    }

    fn opened(
        self,
        store: Arc<dyn ConnectionStore>,
        options: &StoreOptions,
        owner: &Owner,
        now: Timestamp,
    ) -> Result<Opened, OpenError> {
        let keys = self.seals.sealer.ids();
        let (owners, lock) = Owners::register(&options.salvage, owner, &keys, now)?;
        let salvage = Salvage::new(&options.salvage, owner, &self.id, self.seals)?;
        Ok(Opened {
            store,
            owners,
            lock,
            salvage,
            sealing_key: self.sealing_key,
        })
    }
}
