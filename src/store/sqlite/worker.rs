//! A thread that owns one `SQLite` handle and does what it is asked, one thing at a time. After trouble the handle is not
//! trusted: it is dropped and opened anew. What is asked is not here (`sqlite`).

use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io, thread};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::sync::{mpsc, oneshot, watch};

use super::schema;
use crate::store::StoreError;

/// How long another process's write is waited for, and a place in the queue.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How many orders may wait.
const ORDERS: usize = 256;

type Work = Box<dyn FnOnce(&mut Handle) + Send>;

enum Order {
    Do(Work),
    Close,
}

/// The thread, from outside. Dropping it lets the thread finish what it was asked.
#[derive(Debug)]
pub(super) struct Worker {
    orders: mpsc::Sender<Order>,
    /// The thread holds the other end until it has let go of the file.
    holds: watch::Sender<()>,
}

/// Why a worker cannot serve.
#[derive(Debug, thiserror::Error)]
enum Away {
    #[error("the store was closed")]
    Closed,
    #[error("the store has too much to do")]
    Crowded,
    #[error("the store's file was replaced by another store")]
    Replaced,
    #[error("the request ended in a panic")]
    Panicked,
}

impl Worker {
    /// Starts the thread.
    pub(super) fn start(name: &str, mut handle: Handle) -> io::Result<Self> {
        let (orders, mut inbox) = mpsc::channel(ORDERS);
        let (holds, held) = watch::channel(());
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                while let Some(order) = inbox.blocking_recv() {
                    match order {
                        Order::Do(work) => handle.obey(work),
                        Order::Close => inbox.close(),
                    }
                }
                drop(handle);
                drop(held);
            })?;
        Ok(Self { orders, holds })
    }

    /// Has something done. Once it has its place in the queue it is done, even if the caller does not wait for it.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Handle) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (tell, told) = oneshot::channel();
        let work: Work = Box::new(move |handle| {
            // Nobody waits any more: what was done stays done.
            let _ = tell.send(work(handle));
        });
        let ordered = self.orders.send_timeout(Order::Do(work), PATIENCE).await;
        ordered.map_err(|refused| {
            StoreError::Unavailable(match refused {
                SendTimeoutError::Timeout(_) => Away::Crowded.into(),
                SendTimeoutError::Closed(_) => Away::Closed.into(),
            })
        })?;
        told.await
            .unwrap_or_else(|_| Err(StoreError::Unknown(Away::Panicked.into())))
    }

    /// Ends the thread after what it was asked already, and waits for that.
    pub(super) async fn close(&self) {
        // An error says that it has ended.
        let _ = self.orders.send(Order::Close).await;
        self.holds.closed().await;
    }
}

/// One `SQLite` handle, made anew when it is missing.
pub(super) struct Handle {
    path: PathBuf,
    store_id: String,
    /// The file that the handle is open on.
    file: Option<(u64, u64)>,
    connection: Option<Connection>,
}

impl Handle {
    /// For a store that was opened before.
    pub(super) fn new(path: PathBuf, store_id: String) -> Self {
        Self {
            path,
            store_id,
            file: None,
            connection: None,
        }
    }

    /// Reads in one transaction, so that all it sees is of one moment.
    pub(super) fn read<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.trusted(|connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
            work(&transaction)
        })
    }

    /// Writes in one transaction, durable once this returns. An error of `work` undoes all of it.
    pub(super) fn write<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.trusted(|connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            match transaction.commit() {
                Ok(()) => Ok(done),
                Err(error) if is_busy(&error) => Err(StoreError::Unavailable(error.into())),
                Err(error) => Err(StoreError::Unknown(error.into())),
            }
        })
    }

    fn trusted<T>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let result = self.ready().and_then(work);
        match &result {
            Ok(_) | Err(StoreError::Sealed(_)) => {}
            Err(_) => self.connection = None,
        }
        result
    }

    /// The handle, on the file that is there now: one that was moved away no longer keeps anything.
    fn ready(&mut self) -> Result<&mut Connection, StoreError> {
        let seen =
            fs::metadata(&self.path).map_err(|error| StoreError::Unavailable(error.into()))?;
        let file = Some((seen.dev(), seen.ino()));
        if self.file != file {
            self.connection = None;
        }
        if self.connection.is_none() {
            let connection = connect(&self.path)?;
            prepare(&connection)?;
            if schema::store_id(&connection)?.as_ref() != Some(&self.store_id) {
                return Err(StoreError::Unavailable(Away::Replaced.into()));
            }
            self.connection = Some(connection);
            self.file = file;
        }
        self.connection
            .as_mut()
            .ok_or_else(|| StoreError::Unavailable(Away::Closed.into()))
    }

    fn obey(&mut self, work: Work) {
        if catch_unwind(AssertUnwindSafe(|| work(self))).is_err() {
            self.connection = None;
        }
    }
}

/// Opens a file that exists, and changes nothing in it.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    Ok(connection)
}

/// Sets a handle on a store of ours to what we promise: durable commits, nothing outside the file's folder.
pub(super) fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.execute_batch(
        "pragma journal_mode = wal;
         pragma synchronous = full;
         pragma foreign_keys = on;
         pragma temp_store = memory;
         pragma secure_delete = on;
         pragma trusted_schema = off;",
    )
}

pub(in crate::store) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

/// True for damage, and for what cannot happen in a store that only we write.
fn is_damage(error: &rusqlite::Error) -> bool {
    !matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::PermissionDenied
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::SystemIoFailure
                | ErrorCode::DiskFull
                | ErrorCode::OutOfMemory
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::OperationInterrupted
                | ErrorCode::OperationAborted
                | ErrorCode::SchemaChanged
        )
    )
}

/// An error before any commit: nothing was changed.
impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        if is_damage(&error) {
            Self::Corrupt(error.into())
        } else {
            Self::Unavailable(error.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle(folder: &Path) -> Handle {
        let path = folder.join("test.db");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(
                "create table meta (name text, value any); insert into meta values ('store_id', 'x');
                 create table parent (id integer primary key);
                 create table child (id integer references parent (id) deferrable initially deferred);
                 create table big (bytes blob);",
            )
            .unwrap();
        Handle::new(path, "x".to_owned())
    }

    #[test]
    fn a_full_disk_changes_nothing_and_the_handle_is_made_anew() {
        let place = tempfile::tempdir().unwrap();
        let mut handle = handle(place.path());
        let error = handle
            .write(|transaction| {
                transaction.query_row("pragma max_page_count = 8", [], |_| Ok(()))?;
                transaction.execute("insert into big values (zeroblob(1000000))", [])?;
                Ok(())
            })
            .unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        assert!(handle.connection.is_none());
        let kept =
            handle.write(|transaction| {
                transaction.execute("insert into big values (zeroblob(1000000))", [])?;
                Ok(transaction
                    .query_row("select count(*) from big", [], |row| row.get::<_, i64>(0))?)
            });
        assert_eq!(kept.unwrap(), 1);
    }

    #[test]
    fn a_commit_that_fails_is_of_unknown_outcome() {
        let place = tempfile::tempdir().unwrap();
        let mut handle = handle(place.path());
        let error = handle
            .write(|transaction| Ok(transaction.execute("insert into child values (1)", [])?))
            .unwrap_err();
        assert!(matches!(error, StoreError::Unknown(_)), "{error:?}");
        assert!(handle.connection.is_none());
    }

    #[test]
    fn a_file_that_was_replaced_by_another_store_is_not_written() {
        let place = tempfile::tempdir().unwrap();
        let mut handle = handle(place.path());
        handle.read(|_| Ok(())).unwrap();
        let other = place.path().join("other.db");
        fs::copy(place.path().join("test.db"), &other).unwrap();
        Connection::open(&other)
            .unwrap()
            .execute("update meta set value = 'y'", [])
            .unwrap();
        fs::rename(&other, place.path().join("test.db")).unwrap();
        let error = handle.write(|_| Ok(())).unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    }

    #[tokio::test]
    async fn closing_finishes_what_was_asked() {
        let place = tempfile::tempdir().unwrap();
        let worker = Worker::start("test", handle(place.path())).unwrap();
        let insert = worker.ask(|handle| {
            handle
                .write(|transaction| Ok(transaction.execute("insert into parent values (7)", [])?))
        });
        let (inserted, ()) = tokio::join!(insert, worker.close());
        assert_eq!(inserted.unwrap(), 1);
        let late = worker.ask(|_| Ok(())).await.unwrap_err();
        assert!(matches!(late, StoreError::Unavailable(_)));
    }

    /// Requirement 117: a store that hangs does not gather orders without end.
    #[tokio::test(start_paused = true)]
    async fn orders_that_find_no_place_are_refused_in_time() {
        let place = tempfile::tempdir().unwrap();
        let worker = std::sync::Arc::new(Worker::start("test", handle(place.path())).unwrap());
        let (release, held) = std::sync::mpsc::channel::<()>();
        let mut asked = tokio::task::JoinSet::new();
        let hangs = worker.clone();
        asked.spawn(async move {
            let hang = move |_: &mut Handle| {
                let _ = held.recv();
                Ok(())
            };
            hangs.ask(hang).await
        });
        for _ in 0..=ORDERS {
            let worker = worker.clone();
            asked.spawn(async move { worker.ask(|_| Ok(())).await });
        }
        let refused = asked.join_next().await.unwrap().unwrap().unwrap_err();
        assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
        drop(release);
        let rest = asked.join_all().await;
        assert!(rest.iter().filter(|done| done.is_ok()).count() >= ORDERS);
    }

    #[tokio::test]
    async fn a_panic_costs_one_request() {
        let place = tempfile::tempdir().unwrap();
        let worker = Worker::start("test", handle(place.path())).unwrap();
        let lost: Result<(), _> = worker.ask(|_| panic!("planned")).await;
        assert!(matches!(lost.unwrap_err(), StoreError::Unknown(_)));
        worker.ask(|handle| handle.read(|_| Ok(()))).await.unwrap();
    }
}
