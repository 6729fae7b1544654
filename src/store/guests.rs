//! Connect links and the browsers under way with them, as they are in their tables. Who may use them is not decided here
//! (`connect`), nor are they kept here (`sqlite`, `postgres`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::rows::{Blob, Seals, unsealed};
use super::seal::{Label, hex, key_of};
use super::{ConnectLink, StoreError, Visit};
use crate::clock::Timestamp;
use crate::model::ids::{Epoch, Generation, ProviderId, TenantName};
use crate::model::scope::ScopeSet;

/// How long a link is remembered after its end, to be told apart from one that never was.
pub(super) const REMEMBERED: Duration = Duration::from_hours(24);

/// How many visits of one link are kept. Whoever holds it may press its button as often as they like: the oldest give way.
pub(super) const VISITS_OF_A_LINK: u32 = 32;

/// A link, by its digest.
#[derive(Serialize, Deserialize)]
pub(super) struct LinkRecord {
    pub(super) digest: Blob,
    pub(super) provider: String,
    pub(super) tenant: String,
    pub(super) scopes: String,
    pub(super) allow_shared_company: bool,
    pub(super) expires_at: i64,
    pub(super) spent_at: Option<i64>,
}

/// A visit, by its state. Its verifier is sealed.
#[derive(Serialize, Deserialize)]
pub(super) struct VisitRecord {
    pub(super) state: Blob,
    pub(super) provider: String,
    pub(super) link: Blob,
    pub(super) tenant: String,
    pub(super) verifier: Blob,
    pub(super) cookie: Blob,
    pub(super) expires_at: i64,
}

/// A link or a visit that cannot be one of ours.
#[derive(Debug, thiserror::Error)]
#[error("a link or a visit is not as it was written")]
struct Changed;

impl LinkRecord {
    pub(super) fn of(digest: &[u8; 32], link: &ConnectLink, seals: &Seals) -> Self {
        Self {
            digest: Blob(digest.to_vec()),
            provider: seals.provider.to_string(),
            tenant: link.tenant.to_string(),
            scopes: link.scopes.to_string(),
            allow_shared_company: link.allow_shared_company,
            expires_at: link.expires_at.0,
            spent_at: link.spent_at.map(|at| at.0),
        }
    }

    pub(super) fn open(self) -> Result<ConnectLink, StoreError> {
        Ok(ConnectLink {
            tenant: TenantName::parse(&self.tenant).map_err(|_| changed())?,
            scopes: ScopeSet::parse(&self.scopes).map_err(|_| changed())?,
            allow_shared_company: self.allow_shared_company,
            expires_at: Timestamp(self.expires_at),
            spent_at: self.spent_at.map(Timestamp),
        })
    }
}

impl VisitRecord {
    pub(super) fn seal(state: &[u8; 32], visit: &Visit, seals: &Seals) -> Result<Self, StoreError> {
        let verifier = in_place(seals, &visit.tenant, state, |label| {
            seals.sealer.seal(label, visit.verifier.expose().as_bytes())
        });
        Ok(Self {
            state: Blob(state.to_vec()),
            provider: seals.provider.to_string(),
            link: Blob(visit.link.to_vec()),
            tenant: visit.tenant.to_string(),
            verifier: Blob(verifier.map_err(unsealed)?),
            cookie: Blob(visit.cookie.to_vec()),
            expires_at: visit.expires_at.0,
        })
    }

    /// `None` if it has ended.
    pub(super) fn open(self, now: Timestamp, seals: &Seals) -> Result<Option<Visit>, StoreError> {
        let expires_at = Timestamp(self.expires_at);
        if expires_at <= now {
            return Ok(None);
        }
        let tenant = TenantName::parse(&self.tenant).map_err(|_| changed())?;
        let state = digest(self.state)?;
        let verifier = in_place(seals, &tenant, &state, |label| {
            seals.sealer.open_text(label, &self.verifier.0)
        })
        .map_err(|_| StoreError::Sealed(tenant.clone()))?;
        Ok(Some(Visit {
            link: digest(self.link)?,
            tenant,
            verifier,
            cookie: digest(self.cookie)?,
            expires_at,
        }))
    }

    /// Its verifier, sealed under the first key; `None` if it is so already.
    pub(super) fn sealed_anew(&self, seals: &Seals) -> Result<Option<Blob>, StoreError> {
        let tenant = TenantName::parse(&self.tenant).map_err(|_| changed())?;
        let state = digest(self.state.clone())?;
        let seals = seals.of(&ProviderId::new(self.provider.as_str()));
        in_place(&seals, &tenant, &state, |label| {
            let verifier = seals.sealer.open(label, &self.verifier.0);
            let verifier = verifier.map_err(|_| StoreError::Sealed(tenant.clone()))?;
            if key_of(&self.verifier.0) == Some(seals.sealer.first()) {
                return Ok(None);
            }
            let anew = seals.sealer.seal(label, &verifier).map_err(unsealed)?;
            Ok(Some(Blob(anew)))
        })
    }
}

fn digest(bytes: Blob) -> Result<[u8; 32], StoreError> {
    bytes.0.try_into().map_err(|_| changed())
}

fn changed() -> StoreError {
    StoreError::Corrupt(Changed.into())
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
