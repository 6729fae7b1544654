//! The ledger and the audit in `SQLite`: lines that are only ever appended. Their contents are not made here (`lines`).

use rusqlite::{Row, Transaction, params};

use super::columns::unknown;
use crate::model::connection::Connection;
use crate::model::ids::TenantName;
use crate::model::ledger::{AuditEntry, LedgerEntry, LedgerLine};
use crate::store::StoreError;
use crate::store::lines::{AuditLine, Line};
use crate::store::rows::Seals;

/// Adds a line about the row as it is written.
pub(super) fn ledger(
    transaction: &Transaction<'_>,
    seals: &Seals,
    row: &Connection,
    entry: &LedgerEntry,
) -> Result<(), StoreError> {
    let line = Line::of(entry, row, seals);
    transaction
        .prepare_cached(
            "insert into ledger (provider, tenant, at, epoch, generation, attempt, replica, phase, outcome, \
             access_fingerprint, refresh_fingerprint) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            line.provider,
            line.tenant,
            line.at,
            line.epoch,
            line.generation,
            line.attempt,
            line.replica,
            line.phase,
            line.outcome,
            line.access_fingerprint,
            line.refresh_fingerprint,
        ])?;
    Ok(())
}

/// Adds a line to the audit.
pub(super) fn audit(
    transaction: &Transaction<'_>,
    seals: &Seals,
    entry: &AuditEntry,
) -> Result<(), StoreError> {
    let line = AuditLine::of(entry, seals);
    transaction
        .prepare_cached(
            "insert into audit (provider, tenant, at, who, what, detail) values (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            line.provider,
            line.tenant,
            line.at,
            line.who,
            line.what,
            line.detail,
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
        "select provider, tenant, at, epoch, generation, attempt, replica, phase, outcome, access_fingerprint, \
         refresh_fingerprint from ledger where provider = ?1 and tenant = ?2 order by number",
    )?;
    let lines = statement.query_map([seals.provider.as_ref(), tenant.as_ref()], |row| {
        line(row)?.open().ok_or_else(|| unknown(0))
    })?;
    Ok(lines.collect::<rusqlite::Result<_>>()?)
}

fn line(row: &Row<'_>) -> rusqlite::Result<Line> {
    Ok(Line {
        provider: row.get(0)?,
        tenant: row.get(1)?,
        at: row.get(2)?,
        epoch: row.get(3)?,
        generation: row.get(4)?,
        attempt: row.get(5)?,
        replica: row.get(6)?,
        phase: row.get(7)?,
        outcome: row.get(8)?,
        access_fingerprint: row.get(9)?,
        refresh_fingerprint: row.get(10)?,
    })
}
