//! Connect links and visits in `SQLite`. Their contents are not made here (`guests`).

use rusqlite::{OptionalExtension, Row, Transaction, params};

use crate::clock::Timestamp;
use crate::store::guests::{LinkRecord, REMEMBERED, VISITS_OF_A_LINK, VisitRecord};
use crate::store::rows::Seals;
use crate::store::{ConnectLink, StoreError, Visit};

/// The columns that [`visit`] wants, in its order.
const VISIT_COLUMNS: &str = "state, provider, link, tenant, verifier, cookie, expires_at";

pub(super) fn put_link(
    transaction: &Transaction<'_>,
    seals: &Seals,
    now: Timestamp,
    (digest, link): (&[u8; 32], &ConnectLink),
) -> Result<(), StoreError> {
    let record = LinkRecord::of(digest, link, seals);
    let past = now - REMEMBERED;
    transaction.execute("delete from links where expires_at < ?1", [past.0])?;
    transaction.execute(
        "insert into links (digest, provider, tenant, scopes, allow_shared_company, expires_at, spent_at) \
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            record.digest,
            record.provider,
            record.tenant,
            record.scopes,
            record.allow_shared_company,
            record.expires_at,
            record.spent_at,
        ],
    )?;
    Ok(())
}

pub(super) fn link(
    transaction: &Transaction<'_>,
    seals: &Seals,
    digest: &[u8; 32],
) -> Result<Option<ConnectLink>, StoreError> {
    let sql = "select digest, provider, tenant, scopes, allow_shared_company, expires_at, spent_at from links \
               where provider = ?1 and digest = ?2";
    transaction
        .query_row(sql, params![seals.provider.as_ref(), digest], |row| {
            Ok(LinkRecord {
                digest: row.get(0)?,
                provider: row.get(1)?,
                tenant: row.get(2)?,
                scopes: row.get(3)?,
                allow_shared_company: row.get(4)?,
                expires_at: row.get(5)?,
                spent_at: row.get(6)?,
            })
        })
        .optional()?
        .map(LinkRecord::open)
        .transpose()
}

/// True for the first that asks.
pub(super) fn spend_link(
    transaction: &Transaction<'_>,
    seals: &Seals,
    now: Timestamp,
    digest: &[u8; 32],
) -> Result<bool, StoreError> {
    let sql =
        "update links set spent_at = ?3 where provider = ?1 and digest = ?2 and spent_at is null";
    let spent = transaction.execute(sql, params![seals.provider.as_ref(), digest, now.0])?;
    Ok(spent == 1)
}

pub(super) fn put_visit(
    transaction: &Transaction<'_>,
    seals: &Seals,
    now: Timestamp,
    (state, visit): (&[u8; 32], &Visit),
) -> Result<(), StoreError> {
    let record = VisitRecord::seal(state, visit, seals)?;
    transaction.execute("delete from visits where expires_at < ?1", [now.0])?;
    transaction.execute(
        "insert into visits (state, provider, link, tenant, verifier, cookie, expires_at) \
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            record.state,
            record.provider,
            record.link,
            record.tenant,
            record.verifier,
            record.cookie,
            record.expires_at,
        ],
    )?;
    transaction.execute(
        "delete from visits where state in (select state from visits where provider = ?1 and link = ?2 \
         order by expires_at desc limit -1 offset ?3)",
        params![record.provider, record.link, VISITS_OF_A_LINK],
    )?;
    Ok(())
}

/// For the first that asks, if it has not ended.
pub(super) fn take_visit(
    transaction: &Transaction<'_>,
    seals: &Seals,
    now: Timestamp,
    state: &[u8; 32],
) -> Result<Option<Visit>, StoreError> {
    let sql =
        format!("delete from visits where provider = ?1 and state = ?2 returning {VISIT_COLUMNS}");
    let taken = transaction
        .query_row(&sql, params![seals.provider.as_ref(), state], visit)
        .optional()?;
    match taken {
        Some(record) => record.open(now, seals),
        None => Ok(None),
    }
}

/// Seals a verifier under the first key, unless it is so already or its browser is back.
pub(super) fn reseal(
    transaction: &Transaction<'_>,
    seals: &Seals,
    state: &[u8; 32],
) -> Result<bool, StoreError> {
    let sql = format!("select {VISIT_COLUMNS} from visits where state = ?1");
    let found = transaction
        .query_row(&sql, params![state], visit)
        .optional()?;
    let anew = found.map(|record| record.sealed_anew(seals)).transpose()?;
    let Some(verifier) = anew.flatten() else {
        return Ok(false);
    };
    let sql = "update visits set verifier = ?2 where state = ?1";
    transaction.execute(sql, params![state, verifier])?;
    Ok(true)
}

/// Takes the columns of [`VISIT_COLUMNS`].
fn visit(row: &Row<'_>) -> rusqlite::Result<VisitRecord> {
    Ok(VisitRecord {
        state: row.get(0)?,
        provider: row.get(1)?,
        link: row.get(2)?,
        tenant: row.get(3)?,
        verifier: row.get(4)?,
        cookie: row.get(5)?,
        expires_at: row.get(6)?,
    })
}
