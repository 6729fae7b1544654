//! The ledger and the audit: lines that are only ever added. Their words are not made here (`tokens`, `connect`).

use rusqlite::{Row, Transaction, params};
use uuid::Uuid;

use super::StoreError;
use super::rows::{Seals, from_word, signed, unknown, unsigned, word};
use crate::clock::Timestamp;
use crate::model::connection::Connection;
use crate::model::ids::{AttemptId, Epoch, Generation, Owner, TenantName};
use crate::model::ledger::{AuditEntry, LedgerEntry, LedgerLine};

/// Adds a line about the row as it is written, with the fingerprints of its pair if the line speaks of that.
pub(super) fn ledger(
    transaction: &Transaction<'_>,
    seals: &Seals,
    row: &Connection,
    entry: &LedgerEntry,
) -> Result<(), StoreError> {
    let same = (entry.epoch, entry.generation) == (row.epoch, row.generation);
    let access = row.access().filter(|_| same);
    let refresh = row.refresh_token().filter(|_| same);
    transaction
        .prepare_cached(
            "insert into ledger (provider, tenant, at, epoch, generation, attempt, replica, phase, outcome, \
             access_fingerprint, refresh_fingerprint) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            seals.provider.as_ref(),
            row.tenant.as_ref(),
            entry.at.0,
            signed(entry.epoch.0),
            signed(entry.generation.0),
            entry.attempt.map(|attempt| attempt.to_string()),
            entry.replica.as_ref(),
            word(&entry.phase),
            entry.outcome.map(|outcome| word(&outcome)),
            access.map(|access| seals.fingerprints.of(&access.token)),
            refresh.map(|refresh| seals.fingerprints.of(refresh)),
        ])?;
    Ok(())
}

/// Adds a line to the audit.
pub(super) fn audit(
    transaction: &Transaction<'_>,
    seals: &Seals,
    entry: &AuditEntry,
) -> Result<(), StoreError> {
    transaction
        .prepare_cached(
            "insert into audit (provider, tenant, at, who, what, detail) values (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            seals.provider.as_ref(),
            entry.tenant.as_ref().map_or("", AsRef::as_ref),
            entry.at.0,
            entry.who,
            word(&entry.what),
            entry.detail,
        ])?;
    Ok(())
}

/// A tenant's ledger, oldest first.
pub(super) fn history(
    transaction: &Transaction<'_>,
    seals: &Seals,
    tenant: &TenantName,
) -> Result<Vec<LedgerLine>, StoreError> {
    let mut statement = transaction.prepare_cached(
        "select at, epoch, generation, attempt, replica, phase, outcome, access_fingerprint, refresh_fingerprint \
         from ledger where provider = ?1 and tenant = ?2 order by number",
    )?;
    let lines = statement.query_map([seals.provider.as_ref(), tenant.as_ref()], line)?;
    Ok(lines.collect::<rusqlite::Result<_>>()?)
}

fn line(row: &Row<'_>) -> rusqlite::Result<LedgerLine> {
    let number = |column: usize| -> rusqlite::Result<u64> {
        unsigned(row.get(column)?).ok_or_else(|| unknown(column))
    };
    let attempt: Option<String> = row.get(3)?;
    let outcome: Option<String> = row.get(6)?;
    Ok(LedgerLine {
        entry: LedgerEntry {
            at: Timestamp(row.get(0)?),
            epoch: Epoch(number(1)?),
            generation: Generation(number(2)?),
            attempt: attempt
                .map(|text| {
                    Uuid::parse_str(&text)
                        .map(AttemptId)
                        .map_err(|_| unknown(3))
                })
                .transpose()?,
            replica: Owner::new(row.get::<_, String>(4)?),
            phase: from_word(&row.get::<_, String>(5)?).ok_or_else(|| unknown(5))?,
            outcome: outcome
                .map(|text| from_word(&text).ok_or_else(|| unknown(6)))
                .transpose()?,
        },
        access_fingerprint: row.get(7)?,
        refresh_fingerprint: row.get(8)?,
    })
}
