//! Sealing anew under the first key what another one sealed in `PostgreSQL`, place by place. A place that changes between
//! reading and writing is read again. The order, and what is reported, is not here (`rotation`).

use serde::Deserialize;
use serde_json::json;

use super::{PostgresStore, Stored, nonsense, tenant};
use crate::model::ids::{ProviderId, TenantName};
use crate::store::guests::VisitRecord;
use crate::store::rows::{Blob, signed, unsigned};
use crate::store::seal::hex;
use crate::store::{Revision, SealedPlace, StoreError};

#[derive(Deserialize)]
struct Places {
    rows: Vec<RowPlace>,
    visits: Vec<VisitPlace>,
}

#[derive(Deserialize)]
struct RowPlace {
    provider: String,
    tenant: String,
}

#[derive(Deserialize)]
struct VisitPlace {
    state: Blob,
    tenant: String,
}

/// Rows first: what matters most.
pub(super) async fn places(store: &PostgresStore) -> Result<Vec<SealedPlace>, StoreError> {
    let places: Places = store.reading("sealed_places", json!({})).await?;
    let rows = places.rows.into_iter().map(|row| {
        Ok(SealedPlace::Row {
            provider: ProviderId::new(row.provider),
            tenant: tenant(&row.tenant)?,
        })
    });
    let visits = places.visits.into_iter().map(|visit| {
        Ok(SealedPlace::Visit {
            state: visit.state.0.try_into().map_err(|_| nonsense())?,
            tenant: tenant(&visit.tenant)?,
        })
    });
    rows.chain(visits).collect()
}

/// It stays the same row of the same revision.
pub(super) async fn row(
    store: &PostgresStore,
    provider: &ProviderId,
    tenant: &TenantName,
) -> Result<bool, StoreError> {
    let seals = store.seals.of(provider);
    loop {
        let (_, Some((revision, record))) = store.record(provider, tenant).await? else {
            return Ok(false);
        };
        let is_sealed = record.is_sealed_by(seals.sealer.first());
        let made_from = Revision(unsigned(record.sealed_revision).unwrap_or(0));
        let row = record
            .open(&seals)
            .map_err(|_| StoreError::Sealed(tenant.clone()))?;
        if is_sealed {
            return Ok(false);
        }
        let asked = json!({
            "row": Stored::seal(&row, made_from, &seals)?,
            "revision": signed(revision.0),
        });
        if store.writing("reseal", asked).await? {
            return Ok(true);
        }
    }
}

/// Unless its browser is back.
pub(super) async fn visit(store: &PostgresStore, state: &[u8; 32]) -> Result<bool, StoreError> {
    loop {
        let asked = json!({ "state": hex(state) });
        let found: Option<VisitRecord> = store.reading("visit", asked).await?;
        let Some(record) = found else {
            return Ok(false);
        };
        let Some(anew) = record.sealed_anew(&store.seals)? else {
            return Ok(false);
        };
        let asked = json!({ "state": hex(state), "sealed": record.verifier, "anew": anew });
        if store.writing("reseal_visit", asked).await? {
            return Ok(true);
        }
    }
}
