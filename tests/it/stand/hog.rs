//! Somebody who holds the write lock of the stand's `SQLite` store: every write waits, or fails.

use rusqlite::Connection;

use super::{SOON, Stand};

pub(crate) struct Hog(Connection);

impl Hog {
    pub(crate) fn of(stand: &Stand) -> Self {
        let database = Connection::open(stand.home().join("data/gateway.db")).unwrap();
        database.busy_timeout(SOON).unwrap();
        database.execute_batch("begin immediate").unwrap();
        Self(database)
    }

    pub(crate) fn let_go(self) {
        self.0.execute_batch("rollback").unwrap();
    }
}
