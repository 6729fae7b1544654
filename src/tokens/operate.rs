//! What operators do to connections (contract.md section 4), the same from the command line and at the admin door.

use std::time::Duration;

use super::acting;
use super::rows::ChangeError;
use super::tend::{PROBE_LIMIT, Purpose, Tended, credential_of};
use super::undone::failed;
pub use super::undone::{Hindrance, OperateError};
use super::{House, ObtainError, Tokens};
use crate::model::connection::{Access, Connection, CredentialKind, Held, Reason, State};
use crate::model::ids::{CompanyId, TenantName};
use crate::model::ledger::LedgerLine;
use crate::model::scope::ScopeSet;
use crate::pleo::introspect::{Credential, Identity, Probe, UninstallError};
use crate::refresh::{Event, Import, Refused};
use crate::secret::Secret;
use crate::store::StoreError;

/// A pair that an operator brings.
#[derive(Debug)]
pub struct Bundle {
    /// The access token; without one the first use refreshes.
    pub access: Option<Secret>,
    /// The refresh token.
    pub refresh: Secret,
    /// Life of the access token from now on.
    pub expires_in: Option<Duration>,
    /// What was granted, if known.
    pub scopes: Option<ScopeSet>,
    /// Whose it is, if known.
    pub company: Option<CompanyId>,
}

/// How a bundle is taken.
#[derive(Clone, Debug, Default)]
pub struct ImportTerms {
    /// The company pinned by the configuration.
    pub expected_company: Option<CompanyId>,
    /// Whether another tenant may have the same company.
    pub allow_shared_company: bool,
    /// Whether an active connection may be replaced.
    pub replace: bool,
    /// Whether to ask Pleo before storing.
    pub verify: bool,
}

impl Tokens {
    /// Takes a pair from an operator.
    pub async fn import(
        &self,
        tenant: &TenantName,
        bundle: Bundle,
        terms: &ImportTerms,
    ) -> Result<Connection, OperateError> {
        let house = &self.0;
        let bundle = bundle.checked()?;
        let identity = if terms.verify {
            let access = bundle.access.as_ref();
            let access = access.ok_or(OperateError::NothingToVerify)?;
            Some(house.identify(Credential::Bearer(access)).await?)
        } else {
            None
        };
        let company = identity
            .as_ref()
            .and_then(|i| i.company.clone())
            .or_else(|| bundle.company.clone());
        check_company(terms.expected_company.as_ref(), company.as_ref())?;
        check_company(bundle.company.as_ref(), company.as_ref())?;
        let now = house.store.now().await.map_err(OperateError::Store)?;
        let access = bundle.access.map(|token| Access {
            token,
            since: now,
            expires_at: now + bundle.expires_in.unwrap_or(house.policy.default_lifetime),
            life_known: bundle.expires_in.is_some(),
        });
        let import = Import {
            credential: CredentialKind::Oauth,
            held: Held::Pair {
                access,
                refresh: bundle.refresh,
            },
            company,
            scopes: identity.and_then(|i| i.scopes).or(bundle.scopes),
            allow_shared_company: terms.allow_shared_company,
            replace: terms.replace,
        };
        house.import(tenant, import).await
    }

    /// A connect link was made: from now on the tenant exists, `pending` until somebody consents.
    pub async fn linked(&self, tenant: &TenantName) -> Result<(), OperateError> {
        let linked = self.0.apply(tenant, &Event::Link).await;
        linked.map(|_| ()).map_err(|error| failed(tenant, error))
    }

    /// Asks Pleo who we are for this tenant, and compares company (`pinned`, or the one known) and scopes with what is
    /// held; refreshes first if the access token has died.
    pub async fn verify(
        &self,
        tenant: &TenantName,
        pinned: Option<&CompanyId>,
    ) -> Result<Connection, OperateError> {
        let house = &self.0;
        house.row(tenant).await?;
        self.land(tenant, Purpose::Due).await?;
        let row = house.row(tenant).await?;
        let identity = match house.ask_introspection(&row).await {
            Some(Probe::Accepted(identity)) => identity,
            Some(Probe::Refused) if row.credential.is_key() => {
                house.reject_key(&row).await;
                return Err(OperateError::KeyRejected(tenant.clone()));
            }
            Some(Probe::Refused) => {
                let now = house.store.now().await.map_err(OperateError::Store)?;
                let alive = row.access().is_some_and(|access| now < access.expires_at);
                // Of a token that has died, or may have been replaced, that tells nothing about the authorisation.
                let tells = alive && row.state == State::Active;
                return Err(if tells {
                    OperateError::Refused
                } else {
                    house.undone(&row)
                });
            }
            Some(Probe::Silent(cause)) => return Err(OperateError::Silent(cause)),
            None => return Err(house.undone(&row)),
        };
        compare(&row, pinned, &identity)?;
        let noted = house.note_identity(&row, identity).await;
        noted.map_err(|error| failed(tenant, error))
    }

    /// Forces one refresh, under the same protocol as every other.
    pub async fn refresh(&self, tenant: &TenantName) -> Result<Connection, OperateError> {
        let before = self.0.refreshable(tenant).await?;
        self.land(tenant, Purpose::Operator(before.generation))
            .await?;
        let after = self.0.row(tenant).await?;
        if after.epoch == before.epoch && after.generation > before.generation {
            return Ok(after);
        }
        Err(self.0.undone(&after))
    }

    /// Ends a connection: tokens erased, a tombstone left. With `uninstall` Pleo is told first; what it has ended then is
    /// ended here too, also if whoever asked goes away.
    pub async fn disconnect(
        &self,
        tenant: &TenantName,
        uninstall: bool,
    ) -> Result<Connection, OperateError> {
        if !uninstall {
            return self.0.end(tenant).await;
        }
        let (tokens, tenant) = (self.clone(), tenant.clone());
        let ended = acting::handed_on(async move {
            tokens.uninstall(&tenant).await?;
            tokens.0.end(&tenant).await
        });
        let ended = self.0.tasks.spawn(ended).await;
        ended.unwrap_or(Err(OperateError::Panicked))
    }

    async fn uninstall(&self, tenant: &TenantName) -> Result<(), OperateError> {
        let house = &self.0;
        if house.row(tenant).await?.state == State::Disconnected {
            return Ok(());
        }
        self.land(tenant, Purpose::Due).await?;
        let row = house.row(tenant).await?;
        let Some(credential) = credential_of(&row) else {
            return Err(match row.state {
                State::ReauthorizationRequired => OperateError::NotInstalled(tenant.clone()),
                _ => house.undone(&row),
            });
        };
        let told = house.pleo.uninstall(credential, PROBE_LIMIT * 2).await;
        told.map_err(|error| match error {
            UninstallError::Status(401) => OperateError::NotInstalled(tenant.clone()),
            error => OperateError::Uninstall(error),
        })
    }

    /// Decides for an uncertain connection: present the token again, as the deadlines of R4 allow, or give the answer up.
    pub async fn resolve(
        &self,
        tenant: &TenantName,
        retry: bool,
    ) -> Result<Connection, OperateError> {
        self.0.refreshable(tenant).await?;
        let event = if retry { Event::Retry } else { Event::GiveUp };
        // A process that has just begun has to watch the attempts' deadlines pass itself (R2).
        match self.0.apply_once_settled(tenant, &event).await {
            Err(ChangeError::Refused(Refused::State)) => {
                let row = self.0.row(tenant).await?;
                let is_restored =
                    row.state == State::Uncertain && row.reason == Some(Reason::Restored);
                Err(if is_restored {
                    OperateError::Restored(tenant.clone())
                } else {
                    OperateError::NotUncertain(tenant.clone())
                })
            }
            done => done.map_err(|error| failed(tenant, error)),
        }
    }

    /// One connection.
    pub async fn show(&self, tenant: &TenantName) -> Result<Connection, OperateError> {
        self.0.row(tenant).await
    }

    /// Every connection; where one cannot be shown, whose it is and why.
    pub async fn list(
        &self,
    ) -> Result<Vec<Result<Connection, (TenantName, OperateError)>>, OperateError> {
        let house = &self.0;
        let rows = house.store.list().await.map_err(OperateError::Store)?;
        let mut shown = Vec::with_capacity(rows.len());
        for row in rows {
            shown.push(match row {
                Ok(row) => house.as_known(row).await,
                Err(tenant) => {
                    let sealed = StoreError::Sealed(tenant.clone());
                    Err((tenant, OperateError::Store(sealed)))
                }
            });
        }
        Ok(shown)
    }

    /// A connection's ledger, oldest first.
    pub async fn history(&self, tenant: &TenantName) -> Result<Vec<LedgerLine>, OperateError> {
        let lines = self.0.store.history(tenant).await;
        let lines = lines.map_err(OperateError::Store)?;
        if lines.is_empty() {
            self.0.row(tenant).await?;
        }
        Ok(lines)
    }

    async fn land(&self, tenant: &TenantName, purpose: Purpose) -> Result<(), OperateError> {
        let landed = loop {
            let seat = self.0.board(tenant, purpose);
            let is_first = seat.is_first;
            let landed = seat.landed().await;
            // A flight that was in the air for something else was not asked for this.
            if is_first || landed != Some(Tended::Settled) {
                break landed;
            }
        };
        match landed {
            Some(Tended::Settled) => Ok(()),
            Some(Tended::Failed(ObtainError::NotConnected { .. })) => {
                Err(OperateError::NotConnected(tenant.clone()))
            }
            Some(Tended::Failed(_)) => Err(OperateError::StoreAway),
            None => Err(OperateError::Panicked),
        }
    }
}

impl House {
    async fn row(&self, tenant: &TenantName) -> Result<Connection, OperateError> {
        let (seen, _) = self.look(tenant).await.map_err(OperateError::Store)?;
        seen.row
            .ok_or_else(|| OperateError::NotConnected(tenant.clone()))
    }

    /// A row as it was listed, unless a newer one was seen before (R14).
    async fn as_known(&self, row: Connection) -> Result<Connection, (TenantName, OperateError)> {
        let pair = (row.epoch, row.generation);
        if self.high_water.above(&row.tenant, pair).is_none() {
            return Ok(row);
        }
        let known = self.row(&row.tenant).await;
        known.map_err(|error| (row.tenant, error))
    }

    async fn end(&self, tenant: &TenantName) -> Result<Connection, OperateError> {
        let ended = match self.row(tenant).await {
            // Nothing is left to tell Pleo with, but it can be ended.
            Err(OperateError::Store(StoreError::Sealed(_))) => self.end_unreadable(tenant).await,
            row => {
                row?;
                self.apply(tenant, &Event::Disconnect).await
            }
        };
        match ended {
            Err(ChangeError::Refused(Refused::State)) => self.row(tenant).await,
            done => done.map_err(|error| failed(tenant, error)),
        }
    }

    /// The row of a connection that can be refreshed, or was; an API key cannot.
    async fn refreshable(&self, tenant: &TenantName) -> Result<Connection, OperateError> {
        let row = self.row(tenant).await?;
        if row.credential.is_key() && row.state != State::Disconnected {
            return Err(OperateError::NotRefreshed(tenant.clone()));
        }
        Ok(row)
    }

    pub(super) async fn import(
        &self,
        tenant: &TenantName,
        import: Import,
    ) -> Result<Connection, OperateError> {
        let event = Event::Import(Box::new(import));
        let imported = self.apply_once_settled(tenant, &event).await;
        imported.map_err(|error| failed(tenant, error))
    }

    /// Asks Pleo whose a credential is that an operator brings.
    pub(super) async fn identify(
        &self,
        credential: Credential<'_>,
    ) -> Result<Identity, OperateError> {
        match self.pleo.who_am_i(credential, PROBE_LIMIT * 2).await {
            Probe::Accepted(identity) => Ok(identity),
            Probe::Refused => Err(OperateError::Refused),
            Probe::Silent(cause) => Err(OperateError::Silent(cause)),
        }
    }
}

/// Refuses a company other than the expected one, where both are known.
pub(super) fn check_company(
    expected: Option<&CompanyId>,
    got: Option<&CompanyId>,
) -> Result<(), OperateError> {
    match (expected, got) {
        (Some(expected), Some(got)) if expected != got => Err(OperateError::WrongCompany {
            expected: expected.clone(),
            got: got.clone(),
        }),
        _ => Ok(()),
    }
}

/// Company and scopes as Pleo says, against what is held.
fn compare(
    row: &Connection,
    pinned: Option<&CompanyId>,
    identity: &Identity,
) -> Result<(), OperateError> {
    check_company(pinned.or(row.company.as_ref()), identity.company.as_ref())?;
    let lost = match (&row.scopes, &identity.scopes) {
        (Some(held), Some(granted)) => held.missing_from(granted),
        _ => ScopeSet::default(),
    };
    if lost.is_empty() {
        return Ok(());
    }
    Err(OperateError::ScopesLost(lost))
}
