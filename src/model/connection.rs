//! A connection: one tenant's link to one Pleo company, as a row. How rows change is not here (`refresh`), nor how they
//! are kept (`store`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ids::{AttemptId, CompanyId, Epoch, Generation, Owner, TenantName};
use super::scope::ScopeSet;
use crate::clock::Timestamp;
use crate::secret::Secret;

/// One tenant's connection. All times are the store's.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    /// Whose it is.
    pub tenant: TenantName,
    /// Which authorisation this is; a new consent begins the next.
    pub epoch: Epoch,
    /// Which pair of this epoch is held.
    pub generation: Generation,
    /// Where it stands (contract.md section 4).
    pub state: State,
    /// Why it stands there, if that needs saying.
    pub reason: Option<Reason>,
    /// What kind of credential it uses.
    pub credential: CredentialKind,
    /// The Pleo company it belongs to, once known.
    pub company: Option<CompanyId>,
    /// True if an operator allowed other tenants on the same company.
    pub shared_company: bool,
    /// What was granted, once known.
    pub scopes: Option<ScopeSet>,
    /// The tokens or the key.
    pub held: Held,
    /// What Pleo last said of the access token held.
    pub verdict: Verdict,
    /// The attempts to refresh this generation, oldest first; while `Refreshing` or `Uncertain` the last is current.
    pub attempts: Vec<Attempt>,
    /// What introspection has shown since the last attempt of this generation passed its deadline (R5).
    pub evidence: Evidence,
    /// No new attempt before this.
    pub next_try_at: Option<Timestamp>,
    /// Attempts in a row that brought no pair.
    pub failures: u32,
    /// When the pair held was obtained.
    pub refreshed_at: Option<Timestamp>,
    /// When this epoch's consent or import happened.
    pub consented_at: Option<Timestamp>,
    /// While a consent is being carried out: no attempt begins before this (R13).
    pub consent_until: Option<Timestamp>,
    /// A pair from a consent that is durable and not yet in use: its company has still to be compared.
    pub candidate: Option<Box<Candidate>>,
}

/// A pair that a consent brought and that nobody may use yet (contract.md section 4).
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The access token.
    pub access: Access,
    /// The refresh token.
    pub refresh: Secret,
    /// What the token endpoint said was granted, or what was asked for.
    pub scopes: Option<ScopeSet>,
    /// The only company it may belong to.
    pub expected_company: Option<CompanyId>,
    /// Whether another tenant may have the same company.
    pub allow_shared_company: bool,
    /// Who brought it, for the audit.
    pub who: String,
}

/// Where a connection stands (contract.md section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Linked, nobody has consented yet.
    Pending,
    /// Usable.
    Active,
    /// A refresh is under way.
    Refreshing,
    /// A refresh was sent and its outcome is not known.
    Uncertain,
    /// Pleo ended the authorisation; a person has to consent again.
    ReauthorizationRequired,
    /// Ended by an operator: a tombstone.
    Disconnected,
}

impl State {
    /// All states, in the order of the contract.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Active,
        Self::Refreshing,
        Self::Uncertain,
        Self::ReauthorizationRequired,
        Self::Disconnected,
    ];

    /// The word of the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Refreshing => "refreshing",
            Self::Uncertain => "uncertain",
            Self::ReauthorizationRequired => "reauthorization_required",
            Self::Disconnected => "disconnected",
        }
    }
}

/// Why a connection stands where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Pleo refused the refresh token, and no other attempt of its generation can have been sent.
    Revoked,
    /// A refresh was applied, its answer never reached us.
    AnswerLost,
    /// The row is older than what this machine has seen before (R14).
    Restored,
    /// Pleo refused the API key.
    KeyRejected,
    /// An operator ended it.
    Disconnected,
}

/// What kind of credential a connection uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// An OAuth pair.
    Oauth,
    /// An integrated API key.
    IntegratedKey,
    /// A standalone API key.
    StandaloneKey,
}

impl CredentialKind {
    /// The word of the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Oauth => "oauth",
            Self::IntegratedKey => "integrated_key",
            Self::StandaloneKey => "standalone_key",
        }
    }

    /// True for API keys: they live until Pleo refuses them, and are replaced, never refreshed.
    pub fn is_key(self) -> bool {
        matches!(self, Self::IntegratedKey | Self::StandaloneKey)
    }
}

/// The secrets of a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Held {
    /// None: pending, ended, or tokens discarded.
    Nothing,
    /// An OAuth pair.
    Pair {
        /// The access token; an import may lack it.
        access: Option<Access>,
        /// The refresh token that nobody has presented with a usable outcome yet.
        refresh: Secret,
    },
    /// An API key.
    Key(Secret),
}

/// An access token with its life.
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    /// The token: opaque (pleo.md section 4).
    pub token: Secret,
    /// When it was asked for: its life is counted from there (R10).
    pub since: Timestamp,
    /// When it dies by its own age.
    pub expires_at: Timestamp,
    /// False if Pleo did not say how long it lives and the default was taken.
    pub life_known: bool,
}

impl Access {
    /// The whole life it was given.
    pub fn life(&self) -> Duration {
        self.since.until(self.expires_at)
    }
}

/// What Pleo said of the access token held: the base of the oracle (R5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was not tried yet.
    Untried,
    /// Pleo accepted it and has not refused it since.
    Accepted,
    /// Pleo refused it.
    Refused,
}

/// One try to refresh a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its id.
    pub id: AttemptId,
    /// The process that alone may send it.
    pub owner: Owner,
    /// When its intent was written.
    pub begun_at: Timestamp,
    /// After this nothing of it can still be under way at an owner that runs.
    pub deadline: Timestamp,
    /// Until then a silent owner's answer is waited for.
    pub adopt_until: Timestamp,
    /// True if a 401 asked for it, not age (R7: at most one is sent per generation).
    pub forced: bool,
    /// True if Pleo had accepted the access token before, so that refusals prove something (R5).
    pub oracle: bool,
    /// How it was closed; `None` while it is open.
    pub outcome: Option<Outcome>,
}

/// How an attempt was closed without a pair (R4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// No byte of the request left.
    NotSent,
    /// Pleo refused for now (429): not applied.
    RefusedForNow,
    /// Pleo refused us, the OAuth client: not applied.
    ClientRejected,
    /// Pleo refused the refresh token.
    Rejected,
    /// Sent, and nothing that could be used came back.
    NoPair,
    /// Evidence showed that it was not applied.
    NotApplied,
}

/// What introspection with the old access token has shown (R5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The first of the acceptances in a row.
    pub accepted_at: Option<Timestamp>,
    /// The first of the refusals in a row.
    pub refused_at: Option<Timestamp>,
    /// Two refusals were recorded: the refresh was applied. Outranks later expiry.
    pub applied: bool,
}

impl Connection {
    /// A row for a tenant of whom nothing is known yet.
    pub fn pending(tenant: TenantName) -> Self {
        Self {
            tenant,
            epoch: Epoch(0),
            generation: Generation(0),
            state: State::Pending,
            reason: None,
            credential: CredentialKind::Oauth,
            company: None,
            shared_company: false,
            scopes: None,
            held: Held::Nothing,
            verdict: Verdict::Untried,
            attempts: Vec::new(),
            evidence: Evidence::default(),
            next_try_at: None,
            failures: 0,
            refreshed_at: None,
            consented_at: None,
            consent_until: None,
            candidate: None,
        }
    }

    /// The access token, if one is held.
    pub fn access(&self) -> Option<&Access> {
        match &self.held {
            Held::Pair { access, .. } => access.as_ref(),
            Held::Nothing | Held::Key(_) => None,
        }
    }

    /// The refresh token, if one is held.
    pub fn refresh_token(&self) -> Option<&Secret> {
        match &self.held {
            Held::Pair { refresh, .. } => Some(refresh),
            Held::Nothing | Held::Key(_) => None,
        }
    }

    /// The attempt that is under way or uncertain.
    pub fn current(&self) -> Option<&Attempt> {
        match self.state {
            State::Refreshing | State::Uncertain => self.attempts.last(),
            State::Pending
            | State::Active
            | State::ReauthorizationRequired
            | State::Disconnected => None,
        }
    }
}
