//! The ledger and the audit in `SQLite`: lines that are only ever appended. Their contents are not made here (`lines`).

use rusqlite::{Row, Transaction, params};

use super::columns::{tenants, unknown};
use crate::model::connection::Connection;
use crate::model::ids::TenantName;
use crate::model::ledger::{AuditEntry, LedgerEntry, LedgerLine};
use crate::secret::Secret;
use crate::store::lines::{AuditLine, Line};
use crate::store::rows::Seals;
use crate::store::{StoreError, Taken};

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

/// What stands against a refresh token that is brought for a tenant: another tenant holds it, or it was presented before
/// and neither did that come to nothing nor was it kept (RFC 6749 section 6). That it was not applied is evidence, which an
/// answer that came late outweighs (design.md R12).
pub(super) fn met(
    transaction: &Transaction<'_>,
    seals: &Seals,
    tenant: &TenantName,
    refresh: &Secret,
) -> Result<Option<Taken>, StoreError> {
    let (provider, fingerprint) = (seals.provider.as_ref(), seals.fingerprints.of(refresh));
    let sql = "select c.tenant from ledger l join connections c using (provider, tenant, epoch, generation) \
               where provider = ?1 and l.refresh_fingerprint = ?2 and c.refresh is not null and c.tenant <> ?3 \
               order by c.tenant limit 1";
    let asked = params![provider, fingerprint, tenant.as_ref()];
    if let Some(holder) = tenants(transaction, sql, asked)?.into_iter().next() {
        return Ok(Some(Taken::Token(holder)));
    }
    let sql = "select exists (select 1 from ledger sent \
               where sent.provider = ?1 and sent.refresh_fingerprint = ?2 and sent.phase = 'begun' \
               and not exists (select 1 from ledger ended \
                 where ended.provider = sent.provider and ended.tenant = sent.tenant \
                 and ended.number > sent.number and ended.attempt = sent.attempt and ended.outcome in \
                 ('not_sent', 'refused_for_now', 'client_rejected', 'resolved_not_applied') \
                 and not exists (select 1 from ledger late \
                   where late.provider = sent.provider and late.tenant = sent.tenant \
                   and late.number > sent.number and late.attempt = sent.attempt \
                   and (late.phase = 'committed' or late.outcome = 'rejected'))) \
               and not exists (select 1 from ledger kept \
                 where kept.provider = sent.provider and kept.refresh_fingerprint = ?2 \
                 and kept.tenant = sent.tenant and kept.epoch = sent.epoch \
                 and kept.generation = sent.generation + 1))";
    let spent = transaction.query_row(sql, params![provider, fingerprint], |row| row.get(0))?;
    Ok(Some(Taken::SpentToken).filter(|_| spent))
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
