//! The tables' versions, and the store's own row of secrets: its id, the check value of the sealing key, the key of the
//! fingerprints. What the tables hold is not here (`rows`).

use std::path::Path;

use aws_lc_rs::rand;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::open::OpenError;
use super::seal::{Fingerprints, Label, SealError, Sealer, key_of};
use super::sealing_keys::{self, KeySource};
use crate::clock::Timestamp;
use crate::model::ids::{Epoch, Generation, ProviderId};

/// Tells our files from other programs' ("PLGW").
const APPLICATION_ID: i64 = 0x504c_4757;

/// One step of the tables' history; never changed once released.
const MIGRATIONS: [&str; 1] = [include_str!("migrations/0001_start.sql")];

const KEY_CHECK: &str = "key_check";
const FINGERPRINT_KEY: &str = "fingerprint_key";

/// A store whose sealing key fits.
#[derive(Debug)]
pub(super) struct Unlocked {
    pub(super) id: String,
    pub(super) sealer: Sealer,
    pub(super) fingerprints: Fingerprints,
}

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
            path: path.to_owned(),
            found: applied,
            known: MIGRATIONS.len(),
        });
    }
    migrate(&transaction, applied, now).map_err(&failed)?;
    let unlocked = match text(&transaction, "store_id").map_err(&failed)? {
        Some(id) => prove(&transaction, path, id, sources)?,
        None => found(&transaction, path, sources)?,
    };
    transaction.commit().map_err(&failed)?;
    Ok(unlocked)
}

/// The id of the store behind a handle.
pub(super) fn store_id(connection: &Connection) -> rusqlite::Result<Option<String>> {
    text(connection, "store_id")
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
    let sealer = sealer(sealing_keys::load_or_make(sources)?)?;
    let id = Uuid::new_v4().to_string();
    let mut key = Zeroizing::new([0; 32]);
    rand::fill(key.as_mut_slice()).map_err(|_| SealError::Random)?;
    put(transaction, "store_id", &id).map_err(&failed)?;
    put(transaction, "revision", 0).map_err(&failed)?;
    put_sealed(transaction, path, &sealer, (&id, key.as_slice()))?;
    Ok(Unlocked {
        fingerprints: Fingerprints::new(key.as_slice(), &id),
        sealer,
        id,
    })
}

/// A store that is in use: the keys must open what it keeps for that. If another key seals by now, that one seals the
/// store's own secrets too.
fn prove(
    transaction: &Transaction<'_>,
    path: &Path,
    id: String,
    sources: &[KeySource],
) -> Result<Unlocked, OpenError> {
    let sealer = sealer(sealing_keys::load(sources)?)?;
    let check = sealed(transaction, path, KEY_CHECK)?;
    let known = open(&sealer, path, (&id, KEY_CHECK), &check)?;
    if known.as_slice() != id.as_bytes() {
        return Err(OpenError::NotAStore(path.to_owned()));
    }
    let key = sealed(transaction, path, FINGERPRINT_KEY)?;
    let key = open(&sealer, path, (&id, FINGERPRINT_KEY), &key)?;
    if key_of(&check) != Some(sealer.first()) {
        put_sealed(transaction, path, &sealer, (&id, &key))?;
    }
    Ok(Unlocked {
        fingerprints: Fingerprints::new(&key, &id),
        sealer,
        id,
    })
}

fn sealer(keys: Vec<sealing_keys::SealingKey>) -> Result<Sealer, OpenError> {
    Sealer::new(keys).ok_or(OpenError::Key(sealing_keys::KeyError::NoneNamed))
}

fn put_sealed(
    transaction: &Transaction<'_>,
    path: &Path,
    sealer: &Sealer,
    (id, key): (&str, &[u8]),
) -> Result<(), OpenError> {
    for (name, secret) in [(KEY_CHECK, id.as_bytes()), (FINGERPRINT_KEY, key)] {
        let record = in_place(id, name, |label| sealer.seal(label, secret))?;
        put(transaction, name, record).map_err(OpenError::sqlite(path))?;
    }
    Ok(())
}

fn open(
    sealer: &Sealer,
    path: &Path,
    (id, name): (&str, &str),
    record: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    in_place(id, name, |label| sealer.open(label, record)).map_err(|source| match source {
        SealError::UnknownKey(wanted) => OpenError::WrongKey {
            path: path.to_owned(),
            wanted,
        },
        SealError::Refused => OpenError::NotAStore(path.to_owned()),
        SealError::Random => OpenError::Seal(source),
    })
}

/// The place of one of the store's own secrets.
fn in_place<T>(id: &str, name: &str, work: impl FnOnce(&Label<'_>) -> T) -> T {
    work(&Label {
        provider: &ProviderId::new(id),
        tenant: "",
        epoch: Epoch(0),
        generation: Generation(0),
        field: name,
    })
}

fn sealed(transaction: &Transaction<'_>, path: &Path, name: &str) -> Result<Vec<u8>, OpenError> {
    transaction
        .query_row("select value from meta where name = ?1", [name], |row| {
            row.get(0)
        })
        .optional()
        .map_err(OpenError::sqlite(path))?
        .ok_or_else(|| OpenError::NotAStore(path.to_owned()))
}

fn text(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
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
