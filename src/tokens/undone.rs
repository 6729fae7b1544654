//! Why an operator's request was not carried out, and what to do about it. The requests are in `operate`.

use super::House;
use super::api_key::NotAKey;
use super::brought::NotAToken;
use super::rows::ChangeError;
use crate::clock::Timestamp;
use crate::model::connection::{Connection, Outcome, State};
use crate::model::ids::{CompanyId, TenantName};
use crate::model::scope::ScopeSet;
use crate::pleo::introspect::{SilentCause, UninstallError};
use crate::refresh::Refused;
use crate::store::{StoreError, Taken};

/// Why an operator's wish was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum OperateError {
    /// There is no such connection.
    #[error(
        "tenant {0} has no connection: `connections link {0}`, `import {0}` or `set-key {0}` makes one"
    )]
    NotConnected(TenantName),
    /// The connection is active and `--replace` was not given.
    #[error("tenant {0} has an active connection")]
    WouldReplace(TenantName),
    /// Another tenant has this company.
    #[error("tenant {0} is connected to this company already")]
    CompanyTaken(TenantName),
    /// Another tenant holds this refresh token.
    #[error(
        "tenant {0} holds this refresh token already, and Pleo replaces it at every refresh: disconnect that one, or \
         have somebody consent for this one (`connections link`)"
    )]
    TokenTaken(TenantName),
    /// The refresh token was presented before.
    #[error(
        "this refresh token was presented to Pleo before, and to present it again would end the authorisation: bring \
         the newest pair, or have somebody consent (`connections link`)"
    )]
    TokenSpent,
    /// The tokens belong to another company than expected.
    #[error(
        "the credential belongs to company {got}, expected was {expected}: bring one of that company; if it has \
         changed, change `company_id` in [[tenants]] or disconnect the tenant first"
    )]
    WrongCompany {
        /// Expected.
        expected: CompanyId,
        /// Pleo's or the bundle's word.
        got: CompanyId,
    },
    /// Pleo grants less than what the connection is taken to have.
    #[error(
        "Pleo does not grant what the connection is taken to have: {0}; a new consent puts that right"
    )]
    ScopesLost(ScopeSet),
    /// `--verify` without an access token to verify with.
    #[error(
        "there is no access token to verify with: import without --verify, then run `connections verify`"
    )]
    NothingToVerify,
    /// Pleo refused the credential.
    #[error(
        "Pleo refuses the credential: bring one that is in force, or have somebody consent (`connections link`)"
    )]
    Refused,
    /// Pleo did not answer usefully.
    #[error("Pleo does not say whose the credential is")]
    Silent(#[source] SilentCause),
    /// Pleo does not say which company the credential belongs to.
    #[error("Pleo does not say which company the credential belongs to")]
    NoCompany,
    /// What was brought is no API key.
    #[error("what was brought is no API key")]
    NotAKey(#[from] NotAKey),
    /// What was brought is no pair of tokens.
    #[error(transparent)]
    NotAToken(#[from] NotAToken),
    /// Keys have no refresh.
    #[error("tenant {0} is connected by an API key: keys are not refreshed")]
    NotRefreshed(TenantName),
    /// Pleo refused the tenant's API key.
    #[error("Pleo refuses the API key of tenant {0}: replace it with `connections set-key {0}`")]
    KeyRejected(TenantName),
    /// There is nothing to decide.
    #[error("the connection of tenant {0} is not uncertain: there is nothing to decide")]
    NotUncertain(TenantName),
    /// The row was put back from a backup.
    #[error(
        "the connection of tenant {0} was put back from a backup: its refresh token may be spent, and presenting it would \
         end the authorisation. Pleo is being asked; `resolve {0} --give-up` ends the wait, a new consent or \
         `import {0} --replace` replaces the old tokens"
    )]
    Restored(TenantName),
    /// A person has to consent again.
    #[error("a person has to consent again: `connections link {0}` makes the link")]
    ReauthorizationRequired(TenantName),
    /// It did not work for now, or its outcome is not known yet.
    #[error("the connection is {}: try again{}", .state.as_str(), not_before(*.at))]
    TryAgain {
        /// Where it stands.
        state: State,
        /// No attempt begins before this.
        at: Option<Timestamp>,
        /// What is in the way, as far as it is known.
        #[source]
        why: Option<Hindrance>,
    },
    /// Pleo could not be told to uninstall.
    #[error(
        "Pleo could not be told to uninstall, so the connection stays: try again, or leave --uninstall out"
    )]
    Uninstall(#[source] UninstallError),
    /// Pleo does not know the installation, or not any more.
    #[error(
        "Pleo does not accept the credential of tenant {0}, as after an installation was removed: `connections disconnect \
         {0}` without --uninstall ends the connection here"
    )]
    NotInstalled(TenantName),
    /// The store failed.
    #[error("the store failed")]
    Store(#[source] StoreError),
    /// A bug: the log says where.
    #[error("it broke off")]
    Panicked,
    /// The store failed where only the log says how.
    #[error("the store is not available, or the salvage folder")]
    StoreAway,
}

/// What keeps a refresh from working for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Hindrance {
    /// Pleo refuses us, the OAuth client.
    #[error("Pleo refuses the OAuth client: check [pleo] client_id and client_secret")]
    Client,
    /// No byte of the last attempt left.
    #[error("Pleo's token endpoint could not be reached")]
    NotSent,
    /// Pleo said 429.
    #[error("Pleo refuses refreshes for now")]
    RefusedForNow,
    /// The connection does not allow it.
    #[error(transparent)]
    Refused(Refused),
}

fn not_before(at: Option<Timestamp>) -> String {
    at.map_or_else(String::new, |at| format!(", not before {at}"))
}

impl House {
    /// Why there is nothing better than this row.
    pub(super) fn undone(&self, row: &Connection) -> OperateError {
        let tenant = &row.tenant;
        match row.state {
            State::Pending | State::Disconnected => OperateError::NotConnected(tenant.clone()),
            State::ReauthorizationRequired if row.credential.is_key() => {
                OperateError::KeyRejected(tenant.clone())
            }
            State::ReauthorizationRequired => OperateError::ReauthorizationRequired(tenant.clone()),
            _ if self.is_unstored(tenant) => OperateError::StoreAway,
            state @ (State::Active | State::Refreshing | State::Uncertain) => {
                OperateError::TryAgain {
                    state,
                    at: row.next_try_at,
                    why: self.hindrance(row),
                }
            }
        }
    }

    fn hindrance(&self, row: &Connection) -> Option<Hindrance> {
        if self.client.is_open(self.clock.boot()) {
            return Some(Hindrance::Client);
        }
        match row.attempts.last()?.outcome? {
            Outcome::ClientRejected => Some(Hindrance::Client),
            Outcome::NotSent => Some(Hindrance::NotSent),
            Outcome::RefusedForNow => Some(Hindrance::RefusedForNow),
            Outcome::NoPair | Outcome::Rejected | Outcome::NotApplied => None,
        }
    }
}

pub(super) fn failed(tenant: &TenantName, error: ChangeError) -> OperateError {
    match error {
        ChangeError::Refused(Refused::WouldReplace) => OperateError::WouldReplace(tenant.clone()),
        ChangeError::Refused(refused) => OperateError::TryAgain {
            state: State::Refreshing,
            at: None,
            why: Some(Hindrance::Refused(refused)),
        },
        ChangeError::Taken(Taken::Company(other)) => OperateError::CompanyTaken(other),
        ChangeError::Taken(Taken::Token(other)) => OperateError::TokenTaken(other),
        ChangeError::Taken(Taken::SpentToken) => OperateError::TokenSpent,
        ChangeError::Store(error) => OperateError::Store(error),
    }
}
