//! Sealing under the first key what another one sealed, place by place: one transaction each, so that an end in the middle
//! loses nothing. In which order, and what is said of it, is not here (`rotation`).

use rusqlite::Transaction;

use super::rows::{Seals, unknown};
use super::sqlite::{put, record, sealed};
use super::{SealedPlace, StoreError, visits};
use crate::clock::Timestamp;
use crate::model::ids::{ProviderId, TenantName};

/// Rows first: what matters most.
pub(super) fn places(
    transaction: &Transaction<'_>,
    now: Timestamp,
) -> Result<Vec<SealedPlace>, StoreError> {
    let mut statement = transaction
        .prepare("select provider, tenant from connections order by provider, tenant")?;
    let rows = statement.query_map([], |row| {
        let tenant: String = row.get(1)?;
        Ok(SealedPlace::Row {
            provider: ProviderId::new(row.get::<_, String>(0)?),
            tenant: TenantName::parse(&tenant).map_err(|_| unknown(1))?,
        })
    })?;
    let mut places = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    places.extend(visits::places(transaction, now)?);
    Ok(places)
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
    let revision = record.revision;
    let is_sealed = record.is_sealed_by(seals.sealer.first());
    let row = record.open(seals).map_err(|error| sealed(&error, tenant))?;
    if !is_sealed {
        put(transaction, seals, (&row, revision))?;
    }
    Ok(!is_sealed)
}
