//! A record in the columns of `SQLite`. Its contents are not made here (`rows`).

use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, Type, ValueRef};
use rusqlite::{Row, Transaction, params};

use crate::model::ids::TenantName;
use crate::store::StoreError;
use crate::store::rows::{Blob, Record, Seals};

/// The columns that [`read`] wants, in its order.
pub(super) const COLUMNS: &str = "tenant, revision, state, reason, credential, company_id, shared_company, scopes, \
     epoch, generation, access, access_since, access_expires_at, access_life_known, refresh, api_key, verdict, \
     attempts, evidence, next_try_at, failures, refreshed_at, consented_at, seal, consent_until, candidate";

impl FromSql for Blob {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Vec::column_result(value).map(Self)
    }
}

impl ToSql for Blob {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

/// Takes the columns of [`COLUMNS`].
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record {
        tenant: row.get(0)?,
        sealed_revision: row.get(1)?,
        state: row.get(2)?,
        reason: row.get(3)?,
        credential: row.get(4)?,
        company_id: row.get(5)?,
        shared_company: row.get(6)?,
        scopes: row.get(7)?,
        epoch: row.get(8)?,
        generation: row.get(9)?,
        access: row.get(10)?,
        access_since: row.get(11)?,
        access_expires_at: row.get(12)?,
        access_life_known: row.get(13)?,
        refresh: row.get(14)?,
        api_key: row.get(15)?,
        verdict: row.get(16)?,
        attempts: row.get(17)?,
        evidence: row.get(18)?,
        next_try_at: row.get(19)?,
        failures: row.get(20)?,
        refreshed_at: row.get(21)?,
        consented_at: row.get(22)?,
        seal: row.get(23)?,
        consent_until: row.get(24)?,
        candidate: row.get(25)?,
    })
}

/// Puts the row in its place, over the one that was there.
pub(super) fn put(
    transaction: &Transaction<'_>,
    seals: &Seals,
    record: &Record,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(&format!(
            "insert or replace into connections (provider, sealed_by, {COLUMNS}) values (?27, ?28, \
             ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, \
             ?22, ?23, ?24, ?25, ?26)"
        ))?
        .execute(params![
            record.tenant, record.sealed_revision, record.state, record.reason, record.credential, record.company_id,
            record.shared_company, record.scopes, record.epoch, record.generation, record.access, record.access_since,
            record.access_expires_at, record.access_life_known, record.refresh, record.api_key, record.verdict,
            record.attempts, record.evidence, record.next_try_at, record.failures, record.refreshed_at,
            record.consented_at, record.seal, record.consent_until, record.candidate, seals.provider.as_ref(), seals.sealer.first().to_string(),
        ])
        .map(drop)
}

/// A column whose text says nothing we know.
pub(super) fn unknown(column: usize) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(column, "text".to_owned(), Type::Text)
}

/// Tenants by a query that selects their names; a name that breaks the rule was not written by us.
pub(super) fn tenants(
    transaction: &Transaction<'_>,
    sql: &str,
    held: &[&dyn ToSql],
) -> Result<Vec<TenantName>, StoreError> {
    let mut statement = transaction.prepare_cached(sql)?;
    let names = statement.query_map(held, |row| row.get::<_, String>(0))?;
    names
        .map(|name| TenantName::parse(&name?).map_err(|error| StoreError::Corrupt(error.into())))
        .collect()
}
