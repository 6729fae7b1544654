//! What operators do to connections (contract.md section 4): the same from the command line and the admin door.

use std::time::Duration;

use super::api_key::NotAKey;
use super::rows::ChangeError;
use super::tend::{PROBE_LIMIT, Purpose, Tended, credential_of};
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

/// What Pleo says of a connection, beside what we hold.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The connection as it is now.
    pub connection: Connection,
    /// What Pleo says.
    pub identity: Identity,
}

/// Why an operator's wish was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum OperateError {
    /// There is no such connection.
    #[error("tenant {0} has no connection")]
    NotConnected(TenantName),
    /// The connection is active and `--replace` was not given.
    #[error("tenant {0} has an active connection")]
    WouldReplace(TenantName),
    /// Another tenant has this company.
    #[error("tenant {0} is connected to this company already")]
    CompanyTaken(TenantName),
    /// The tokens belong to another company than expected.
    #[error("the tokens belong to company {got}, expected was {expected}")]
    WrongCompany {
        /// Expected.
        expected: CompanyId,
        /// Pleo's or the bundle's word.
        got: CompanyId,
    },
    /// `--verify` without an access token to verify with.
    #[error("there is no access token to verify with")]
    NothingToVerify,
    /// Pleo refused the credential.
    #[error("Pleo refuses the credential")]
    Refused,
    /// Pleo did not answer usefully.
    #[error("Pleo does not say whose the credential is")]
    Silent,
    /// Pleo does not say which company the credential belongs to.
    #[error("Pleo does not say which company the credential belongs to")]
    NoCompany,
    /// What was brought is no API key.
    #[error("what was brought is no API key")]
    NotAKey(#[from] NotAKey),
    /// Keys have no refresh.
    #[error("tenant {0} is connected by an API key: keys are not refreshed")]
    NotRefreshed(TenantName),
    /// Pleo refused the tenant's API key.
    #[error("Pleo refuses the API key of tenant {0}: replace it with `connections set-key {0}`")]
    KeyRejected(TenantName),
    /// There is nothing to decide.
    #[error("the connection of tenant {0} is not uncertain")]
    NotUncertain(TenantName),
    /// The row was put back from a backup.
    #[error(
        "the connection of tenant {0} was put back from a backup: its refresh token may be spent, and presenting it would \
         end the authorisation. Pleo is being asked; `resolve {0} --give-up` ends the wait, a new consent or \
         `import {0} --replace` replaces the old tokens"
    )]
    Restored(TenantName),
    /// A person has to consent again.
    #[error("a person has to consent again")]
    ReauthorizationRequired,
    /// It did not work for now, or its outcome is not known yet.
    #[error("the connection is {}: try again", .state.as_str())]
    TryAgain {
        /// Where it stands.
        state: State,
    },
    /// Pleo refused to uninstall.
    #[error("Pleo could not be told to uninstall")]
    Uninstall(#[source] UninstallError),
    /// The store failed.
    #[error("the store failed")]
    Store(#[source] StoreError),
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
        let identity = if terms.verify {
            Some(house.identify(bundle.access.as_ref()).await?)
        } else {
            None
        };
        let company = identity
            .as_ref()
            .and_then(|i| i.company.clone())
            .or(bundle.company);
        if let (Some(expected), Some(got)) = (&terms.expected_company, &company)
            && expected != got
        {
            return Err(OperateError::WrongCompany {
                expected: expected.clone(),
                got: got.clone(),
            });
        }
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
        house
            .apply_once_settled(tenant, &Event::Import(Box::new(import)))
            .await
            .map_err(|error| failed(tenant, error))
    }

    /// A connect link was made: from now on the tenant exists, `pending` until somebody consents.
    pub async fn linked(&self, tenant: &TenantName) -> Result<(), OperateError> {
        let linked = self.0.apply(tenant, &Event::Link).await;
        linked.map(|_| ()).map_err(|error| failed(tenant, error))
    }

    /// Asks Pleo who we are for this tenant; refreshes first if the access token has died.
    pub async fn verify(&self, tenant: &TenantName) -> Result<Verified, OperateError> {
        let house = &self.0;
        self.land(tenant, Purpose::Due).await?;
        let row = house.row(tenant).await?;
        match house.ask_introspection(&row).await {
            Some(Probe::Accepted(identity)) => {
                let learn = Event::Learn {
                    epoch: row.epoch,
                    generation: row.generation,
                    company: identity.company.clone(),
                    scopes: identity.scopes.clone(),
                };
                let connection = house
                    .apply(tenant, &learn)
                    .await
                    .map_err(|error| failed(tenant, error))?;
                Ok(Verified {
                    connection,
                    identity,
                })
            }
            Some(Probe::Refused) if row.credential.is_key() => {
                house.reject_key(&row).await;
                Err(OperateError::KeyRejected(tenant.clone()))
            }
            Some(Probe::Refused) => Err(OperateError::Refused),
            Some(Probe::Silent(_)) => Err(OperateError::Silent),
            None => Err(stands(tenant, &row)),
        }
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
        Err(stands(tenant, &after))
    }

    /// Ends a connection: tokens erased, a tombstone left. With `uninstall` Pleo is told first.
    pub async fn disconnect(
        &self,
        tenant: &TenantName,
        uninstall: bool,
    ) -> Result<Connection, OperateError> {
        let house = &self.0;
        let row = match house.row(tenant).await {
            // Nothing is left to tell Pleo with, but it can be ended.
            Err(OperateError::Store(StoreError::Sealed(_))) if !uninstall => {
                let ended = house.end_unreadable(tenant).await;
                return ended.map_err(|error| failed(tenant, error));
            }
            row => row?,
        };
        if uninstall && row.state != State::Disconnected {
            self.land(tenant, Purpose::Due).await?;
            let row = house.row(tenant).await?;
            let credential = credential_of(&row).ok_or_else(|| stands(tenant, &row))?;
            house
                .pleo
                .uninstall(credential, PROBE_LIMIT * 2)
                .await
                .map_err(OperateError::Uninstall)?;
        }
        match house.apply(tenant, &Event::Disconnect).await {
            Err(ChangeError::Refused(Refused::State)) => house.row(tenant).await,
            done => done.map_err(|error| failed(tenant, error)),
        }
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

    /// Every connection; a tenant's name where its row cannot be opened.
    pub async fn list(&self) -> Result<Vec<Result<Connection, TenantName>>, OperateError> {
        let house = &self.0;
        let mut rows = house.store.list().await.map_err(OperateError::Store)?;
        for row in rows.iter_mut().flatten() {
            let pair = (row.epoch, row.generation);
            if house.high_water.above(&row.tenant, pair).is_some() {
                *row = house.row(&row.tenant).await?;
            }
        }
        Ok(rows)
    }

    /// A connection's ledger, oldest first.
    pub async fn history(&self, tenant: &TenantName) -> Result<Vec<LedgerLine>, OperateError> {
        self.0
            .store
            .history(tenant)
            .await
            .map_err(OperateError::Store)
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
            Some(Tended::Failed(_)) | None => Err(OperateError::TryAgain {
                state: State::Active,
            }),
        }
    }
}

impl House {
    async fn row(&self, tenant: &TenantName) -> Result<Connection, OperateError> {
        let (seen, _) = self.look(tenant).await.map_err(OperateError::Store)?;
        seen.row
            .ok_or_else(|| OperateError::NotConnected(tenant.clone()))
    }

    /// The row of a connection that can be refreshed, or was; an API key cannot.
    async fn refreshable(&self, tenant: &TenantName) -> Result<Connection, OperateError> {
        let row = self.row(tenant).await?;
        if row.credential.is_key() && row.state != State::Disconnected {
            return Err(OperateError::NotRefreshed(tenant.clone()));
        }
        Ok(row)
    }

    async fn identify(&self, access: Option<&Secret>) -> Result<Identity, OperateError> {
        let access = access.ok_or(OperateError::NothingToVerify)?;
        match self
            .pleo
            .who_am_i(Credential::Bearer(access), PROBE_LIMIT * 2)
            .await
        {
            Probe::Accepted(identity) => Ok(identity),
            Probe::Refused => Err(OperateError::Refused),
            Probe::Silent(_) => Err(OperateError::Silent),
        }
    }
}

fn stands(tenant: &TenantName, row: &Connection) -> OperateError {
    match row.state {
        State::Pending | State::Disconnected => OperateError::NotConnected(tenant.clone()),
        State::ReauthorizationRequired if row.credential.is_key() => {
            OperateError::KeyRejected(tenant.clone())
        }
        State::ReauthorizationRequired => OperateError::ReauthorizationRequired,
        State::Active | State::Refreshing | State::Uncertain => {
            OperateError::TryAgain { state: row.state }
        }
    }
}

pub(super) fn failed(tenant: &TenantName, error: ChangeError) -> OperateError {
    match error {
        ChangeError::Refused(Refused::WouldReplace) => OperateError::WouldReplace(tenant.clone()),
        ChangeError::Refused(_) => OperateError::TryAgain {
            state: State::Refreshing,
        },
        ChangeError::CompanyTaken(other) => OperateError::CompanyTaken(other),
        ChangeError::Store(error) => OperateError::Store(error),
    }
}
