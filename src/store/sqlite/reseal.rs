//! Sealing anew under the first key what another one sealed in `SQLite`, place by place: one transaction each, so that an
//! interruption loses nothing. The order, and what is reported, is not here (`rotation`).

use rusqlite::Transaction;

use super::columns::unknown;
use super::{put, record, visits};
use crate::clock::Timestamp;
use crate::model::ids::{ProviderId, TenantName};
use crate::store::rows::Seals;
use crate::store::{SealedPlace, StoreError};

/// Rows first: what matters most.
pub(super) fn places(
    transaction: &Transaction<'_>,
    now: Timestamp,
) -> Result<Vec<SealedPlace>, StoreError> {
    let name = |text: String| TenantName::parse(&text).map_err(|_| unknown(1));
    let mut rows = transaction
        .prepare("select provider, tenant from connections order by provider, tenant")?;
    let rows = rows.query_map([], |row| {
        Ok(SealedPlace::Row {
            provider: ProviderId::new(row.get::<_, String>(0)?),
            tenant: name(row.get(1)?)?,
        })
    })?;
    let mut visits = transaction
        .prepare("select state, tenant from visits where expires_at > ?1 order by state")?;
    let visits = visits.query_map([now.0], |row| {
        Ok(SealedPlace::Visit {
            state: row.get(0)?,
            tenant: name(row.get(1)?)?,
        })
    })?;
    Ok(rows.chain(visits).collect::<rusqlite::Result<_>>()?)
}

pub(super) fn reseal(
    transaction: &Transaction<'_>,
    seals: &Seals,
    place: &SealedPlace,
) -> Result<bool, StoreError> {
    match place {
        SealedPlace::Row { provider, tenant } => {
            reseal_row(transaction, &seals.of(provider), tenant)
        }
        SealedPlace::Visit { state, .. } => visits::reseal(transaction, seals, state),
    }
}

/// It stays the same row of the same revision.
fn reseal_row(
    transaction: &Transaction<'_>,
    seals: &Seals,
    tenant: &TenantName,
) -> Result<bool, StoreError> {
    let Some(record) = record(transaction, seals, tenant)? else {
        return Ok(false);
    };
    let revision = record.sealed_revision;
    let is_sealed = record.is_sealed_by(seals.sealer.first());
    let row = record
        .open(seals)
        .map_err(|_| StoreError::Sealed(tenant.clone()))?;
    if !is_sealed {
        put(transaction, seals, (&row, revision))?;
    }
    Ok(!is_sealed)
}
