//! Connect links and the browsers under way with them. Who may use them is not decided here (`connect`).

use std::time::Duration;

use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::rows::{Seals, unknown};
use super::seal::{Label, SealError, hex, key_of};
use super::sqlite::unsealed;
use super::{ConnectLink, SealedPlace, StoreError, Visit};
use crate::clock::Timestamp;
use crate::model::ids::{Epoch, Generation, ProviderId, TenantName};
use crate::model::scope::ScopeSet;

/// How long a link is remembered after its end, to be told apart from one that never was.
const REMEMBERED: Duration = Duration::from_hours(24);

pub(super) fn put_link(
    transaction: &Transaction<'_>,
    seals: &Seals,
    now: Timestamp,
    (digest, link): (&[u8; 32], &ConnectLink),
) -> Result<(), StoreError> {
    let past = now - REMEMBERED;
    transaction.execute("delete from links where expires_at < ?1", [past.0])?;
    transaction.execute(
        "insert into links (digest, provider, tenant, scopes, allow_shared_company, expires_at, spent_at) \
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            digest,
            seals.provider.as_ref(),
            link.tenant.as_ref(),
            link.scopes.to_string(),
            link.allow_shared_company,
            link.expires_at.0,
            link.spent_at.map(|at| at.0),
        ],
    )?;
    Ok(())
}

pub(super) fn link(
    transaction: &Transaction<'_>,
    seals: &Seals,
    digest: &[u8; 32],
) -> Result<Option<ConnectLink>, StoreError> {
    let sql = "select tenant, scopes, allow_shared_company, expires_at, spent_at from links \
               where provider = ?1 and digest = ?2";
    let found = transaction
        .query_row(sql, params![seals.provider.as_ref(), digest], |row| {
            let scopes: String = row.get(1)?;
            Ok(ConnectLink {
                tenant: tenant(row, 0)?,
                scopes: ScopeSet::parse(&scopes).map_err(|_| unknown(1))?,
                allow_shared_company: row.get(2)?,
                expires_at: Timestamp(row.get(3)?),
                spent_at: row.get::<_, Option<i64>>(4)?.map(Timestamp),
            })
        })
        .optional()?;
    Ok(found)
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
    let verifier = in_place(seals, &visit.tenant, state, |label| {
        seals.sealer.seal(label, visit.verifier.expose().as_bytes())
    });
    transaction.execute("delete from visits where expires_at < ?1", [now.0])?;
    transaction.execute(
        "insert into visits (state, provider, link, tenant, verifier, cookie, expires_at) \
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            state,
            seals.provider.as_ref(),
            visit.link,
            visit.tenant.as_ref(),
            verifier.map_err(unsealed)?,
            visit.cookie,
            visit.expires_at.0,
        ],
    )?;
    Ok(())
}

/// The visit, for the first that asks in time.
pub(super) fn take_visit(
    transaction: &Transaction<'_>,
    seals: &Seals,
    now: Timestamp,
    state: &[u8; 32],
) -> Result<Option<Visit>, StoreError> {
    let sql = "delete from visits where provider = ?1 and state = ?2 \
               returning link, tenant, verifier, cookie, expires_at";
    let taken = transaction
        .query_row(sql, params![seals.provider.as_ref(), state], |row| {
            let sealed: Vec<u8> = row.get(2)?;
            Ok((
                row.get(0)?,
                tenant(row, 1)?,
                sealed,
                row.get(3)?,
                Timestamp(row.get(4)?),
            ))
        })
        .optional()?;
    let Some((link, tenant, sealed, cookie, expires_at)) = taken else {
        return Ok(None);
    };
    if expires_at <= now {
        return Ok(None);
    }
    let verifier = in_place(seals, &tenant, state, |label| {
        seals.sealer.open_text(label, &sealed)
    })
    .map_err(|_| StoreError::Sealed(tenant.clone()))?;
    Ok(Some(Visit {
        link,
        tenant,
        verifier,
        cookie,
        expires_at,
    }))
}

/// Every visit that has not ended, of every provider.
pub(super) fn places(
    transaction: &Transaction<'_>,
    now: Timestamp,
) -> Result<Vec<SealedPlace>, StoreError> {
    let sql = "select state, tenant from visits where expires_at > ?1 order by state";
    let mut statement = transaction.prepare(sql)?;
    let visits = statement.query_map([now.0], |row| {
        Ok(SealedPlace::Visit {
            state: row.get(0)?,
            tenant: tenant(row, 1)?,
        })
    })?;
    Ok(visits.collect::<rusqlite::Result<_>>()?)
}

/// Seals a verifier under the first key, unless it is so already or its browser is back.
pub(super) fn reseal(
    transaction: &Transaction<'_>,
    seals: &Seals,
    state: &[u8; 32],
) -> Result<bool, StoreError> {
    let sql = "select provider, tenant, verifier from visits where state = ?1";
    let found = transaction
        .query_row(sql, params![state], |row| {
            let provider: String = row.get(0)?;
            Ok((ProviderId::new(provider), tenant(row, 1)?, row.get(2)?))
        })
        .optional()?;
    let Some((provider, tenant, sealed)): Option<(ProviderId, TenantName, Vec<u8>)> = found else {
        return Ok(false);
    };
    if key_of(&sealed) == Some(seals.sealer.first()) {
        return Ok(false);
    }
    let again = in_place(&seals.of(&provider), &tenant, state, |label| {
        let verifier = seals.sealer.open(label, &sealed)?;
        seals.sealer.seal(label, &verifier)
    });
    let again = again.map_err(|error| match error {
        SealError::Random => unsealed(error),
        SealError::UnknownKey(_) | SealError::Refused => StoreError::Sealed(tenant),
    })?;
    let sql = "update visits set verifier = ?2 where state = ?1";
    transaction.execute(sql, params![state, again])?;
    Ok(true)
}

fn tenant(row: &Row<'_>, column: usize) -> rusqlite::Result<TenantName> {
    TenantName::parse(&row.get::<_, String>(column)?).map_err(|_| unknown(column))
}

/// The place of a visit's verifier.
fn in_place<T>(
    seals: &Seals,
    tenant: &TenantName,
    state: &[u8; 32],
    work: impl FnOnce(&Label<'_>) -> T,
) -> T {
    work(&Label {
        provider: &seals.provider,
        tenant: tenant.as_ref(),
        epoch: Epoch(0),
        generation: Generation(0),
        field: &format!("verifier of visit {}", hex(state)),
    })
}
