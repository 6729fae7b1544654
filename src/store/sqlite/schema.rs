//! The version of the tables in `SQLite`, and where the store's own secrets are. What those are is not here (`own`), nor
//! what the tables hold (`columns`).

use std::path::Path;

use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::clock::Timestamp;
use crate::store::OpenError;
use crate::store::own::{self, FINGERPRINT_KEY, KEY_CHECK, Own, OwnError, STORE_ID, Unlocked};
use crate::store::sealing_keys::{self, KeySource};

/// Tells our files from other programs' ("PLGW").
const APPLICATION_ID: i64 = 0x504c_4757;

/// One step of the tables' history; never changed once released.
const MIGRATIONS: [&str; 2] = [
    include_str!("../migrations/sqlite/0001_start.sql"),
    include_str!("../migrations/sqlite/0002_met_tokens.sql"),
];

/// Refuses what is not ours before anything is written.
pub(super) fn recognise(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let sql = "select (select * from pragma_application_id), (select count(*) from sqlite_schema)";
    let (application, tables): (i64, i64) = connection
        .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(OpenError::sqlite(path))?;
    if application == APPLICATION_ID || (application == 0 && tables == 0) {
        Ok(())
    } else {
        Err(OpenError::NotAStore(path.to_owned()))
    }
}

/// Brings the tables up to date and proves the key, in one transaction: if anything is wrong nothing has changed. A
/// store that is new gets its id, and its key if the key's file is missing.
pub(super) fn unlock(
    connection: &mut Connection,
    path: &Path,
    sources: &[KeySource],
    now: Timestamp,
) -> Result<Unlocked, OpenError> {
    let failed = OpenError::sqlite(path);
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(&failed)?;
    let applied = applied(&transaction).map_err(&failed)?;
    if applied > MIGRATIONS.len() {
        return Err(OpenError::Newer {
            store: path.display().to_string(),
            found: applied,
            known: MIGRATIONS.len(),
        });
    }
    migrate(&transaction, applied, now).map_err(&failed)?;
    let unlocked = match value(&transaction, STORE_ID).map_err(&failed)? {
        Some(id) => prove(&transaction, path, id, sources)?,
        None => found(&transaction, path, sources)?,
    };
    transaction.commit().map_err(&failed)?;
    Ok(unlocked)
}

/// The id of the store behind a handle.
pub(super) fn store_id(connection: &Connection) -> rusqlite::Result<Option<String>> {
    value(connection, STORE_ID)
}

fn applied(transaction: &Transaction<'_>) -> rusqlite::Result<usize> {
    transaction.execute_batch(
        "create table if not exists migrations (number integer primary key, applied_at integer not null) strict",
    )?;
    let sql = "select coalesce(max(number), 0) from migrations";
    let number: u32 = transaction.query_row(sql, [], |row| row.get(0))?;
    Ok(usize::try_from(number).unwrap_or(usize::MAX))
}

fn migrate(transaction: &Transaction<'_>, applied: usize, now: Timestamp) -> rusqlite::Result<()> {
    for (number, sql) in (1..).zip(MIGRATIONS).skip(applied) {
        transaction.execute_batch(sql)?;
        transaction.execute(
            "insert into migrations values (?1, ?2)",
            params![number, now.0],
        )?;
    }
    if applied == 0 {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    Ok(())
}

/// A new store.
fn found(
    transaction: &Transaction<'_>,
    path: &Path,
    sources: &[KeySource],
) -> Result<Unlocked, OpenError> {
    let failed = OpenError::sqlite(path);
    let sealer = own::sealer(sealing_keys::load_or_make(sources)?)?;
    let (unlocked, own) = own::found(sealer)?;
    put(transaction, STORE_ID, &own.id).map_err(&failed)?;
    put(transaction, "revision", 0).map_err(&failed)?;
    put_own(transaction, &own).map_err(&failed)?;
    Ok(unlocked)
}

/// A store that is in use.
fn prove(
    transaction: &Transaction<'_>,
    path: &Path,
    id: String,
    sources: &[KeySource],
) -> Result<Unlocked, OpenError> {
    let sealer = own::sealer(sealing_keys::load(sources)?)?;
    let own = Own {
        id,
        key_check: sealed(transaction, path, KEY_CHECK)?,
        fingerprint_key: sealed(transaction, path, FINGERPRINT_KEY)?,
    };
    let (unlocked, anew) = own::prove(&own, sealer).map_err(|error| match error {
        OwnError::WrongKey(wanted) => OpenError::WrongKey {
            store: path.display().to_string(),
            wanted,
        },
        OwnError::NotOurs => OpenError::NotAStore(path.to_owned()),
        OwnError::Seal(error) => error.into(),
    })?;
    if let Some(own) = anew {
        put_own(transaction, &own).map_err(OpenError::sqlite(path))?;
    }
    Ok(unlocked)
}

fn put_own(transaction: &Transaction<'_>, own: &Own) -> rusqlite::Result<()> {
    put(transaction, KEY_CHECK, &own.key_check)?;
    put(transaction, FINGERPRINT_KEY, &own.fingerprint_key)
}

fn sealed(transaction: &Transaction<'_>, path: &Path, name: &str) -> Result<Vec<u8>, OpenError> {
    value(transaction, name)
        .map_err(OpenError::sqlite(path))?
        .ok_or_else(|| OpenError::NotAStore(path.to_owned()))
}

fn value<T: FromSql>(connection: &Connection, name: &str) -> rusqlite::Result<Option<T>> {
    connection
        .query_row("select value from meta where name = ?1", [name], |row| {
            row.get(0)
        })
        .optional()
}

fn put(
    transaction: &Transaction<'_>,
    name: &str,
    value: impl rusqlite::ToSql,
) -> rusqlite::Result<()> {
    transaction
        .execute(
            "insert or replace into meta (name, value) values (?1, ?2)",
            params![name, value],
        )
        .map(drop)
}
