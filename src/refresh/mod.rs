//! Floor 4: the refresh protocol (docs/refresh.md, rules R1–R15) as a pure function. No async, no clock, no store: the
//! same code runs in production and under the model checker.

mod begin;
mod close;
mod commit;
mod consent;
mod evidence;
mod key;
#[cfg(test)]
mod model;
pub mod next;
pub mod policy;
mod resolve;
#[cfg(test)]
mod scene;

use std::fmt;

use crate::clock::Timestamp;
use crate::model::connection::{
    Access, Attempt, Candidate, Connection, CredentialKind, Held, Outcome,
};
use crate::model::ids::{AttemptId, CompanyId, Epoch, Generation, Owner};
use crate::model::ledger::{AuditKind, LedgerEntry, LedgerOutcome, Phase};
use crate::model::scope::ScopeSet;
use crate::secret::Secret;
use policy::Policy;

/// What happened, or what somebody wants to do.
#[derive(Clone, Debug)]
pub enum Event {
    /// Write down the intent to refresh.
    Begin {
        /// A new id.
        attempt: AttemptId,
        /// True if a 401 asked for it.
        forced: bool,
    },
    /// The owner's attempt ended without a pair (R4).
    Close {
        /// Which.
        attempt: AttemptId,
        /// How.
        outcome: Outcome,
        /// Pleo's `Retry-After`, as a moment.
        retry_at: Option<Timestamp>,
    },
    /// A pair is in hand.
    Commit(Box<NewPair>),
    /// The current attempt is past its deadline and its owner has not closed it (R2).
    Overdue,
    /// Introspection with the access token held was answered (R5).
    Probed {
        /// Which epoch's token was sent.
        epoch: Epoch,
        /// Which generation's.
        generation: Generation,
        /// When it was sent.
        sent_at: Timestamp,
        /// True for acceptance, false for a real 401.
        accepted: bool,
    },
    /// It is proven that the refresh was applied and that nobody holds its answer (R5); or that nothing can show a
    /// restored row to be good (R14).
    GiveUpAnswer,
    /// An operator decides for an uncertain connection: present the token again.
    Retry,
    /// An operator decides for an uncertain connection: the answer is lost.
    GiveUp,
    /// The row is older than what this machine has seen before: it was put back from a backup (R14).
    Restored {
        /// The newest pair that was seen.
        seen: (Epoch, Generation),
    },
    /// A connect link was made: the tenant exists from now on.
    Link,
    /// A consent is about to exchange its code (R13).
    BeginConsent {
        /// No attempt begins before this.
        until: Timestamp,
    },
    /// A consent's pair, to be kept until its company is known.
    Offer(Box<Candidate>),
    /// The company of the candidate is the right one: put it into use.
    Accept {
        /// The company it belongs to.
        company: Option<CompanyId>,
        /// What was granted.
        scopes: Option<ScopeSet>,
    },
    /// The candidate is not wanted: erase it.
    Decline {
        /// Until when attempts wait for its consent. Another consent's time stays.
        until: Option<Timestamp>,
    },
    /// A consent came to nothing. A candidate that an earlier one has brought stays.
    Abandon {
        /// Until when attempts wait for it.
        until: Timestamp,
    },
    /// A pair or key from an operator.
    Import(Box<Import>),
    /// Pleo refused the API key held, by a real 401 of introspection.
    RejectKey {
        /// Which epoch's key was sent.
        epoch: Epoch,
    },
    /// An operator ends the connection.
    Disconnect,
    /// Introspection told whose the credential is.
    Learn {
        /// Which epoch's credential was sent.
        epoch: Epoch,
        /// Which generation's.
        generation: Generation,
        /// The company.
        company: Option<CompanyId>,
        /// What was granted.
        scopes: Option<ScopeSet>,
    },
}

/// A pair that the token endpoint answered with, or that came from salvage.
#[derive(Clone, Debug)]
pub struct NewPair {
    /// The attempt that brought it.
    pub attempt: AttemptId,
    /// The epoch it was asked for in.
    pub epoch: Epoch,
    /// The generation whose refresh token was presented.
    pub generation: Generation,
    /// The new access token and its life.
    pub access: Access,
    /// The new refresh token; `None` keeps the old one (RFC 6749 section 6).
    pub refresh: Option<Secret>,
    /// What was granted, if the answer said so.
    pub scopes: Option<ScopeSet>,
    /// True if introspection has accepted the new access token: asked for where another attempt was sent too, and of a
    /// row that was put back from a backup. Ask only after [`Refused::Unverified`], and ask again if the row has changed since.
    pub verified: bool,
    /// Where it came from.
    pub source: PairSource,
}

/// Where a pair came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairSource {
    /// The answer to the attempt.
    Answer,
    /// A salvage file (R6).
    Salvage,
}

/// What an operator brings (contract.md section 4, `import` and `set-key`).
#[derive(Clone, Debug)]
pub struct Import {
    /// What kind of credential.
    pub credential: CredentialKind,
    /// The pair or key.
    pub held: Held,
    /// The company, if known.
    pub company: Option<CompanyId>,
    /// What was granted, if known.
    pub scopes: Option<ScopeSet>,
    /// Whether another tenant may have the same company.
    pub allow_shared_company: bool,
    /// Whether an active connection may be replaced.
    pub replace: bool,
}

/// What is known of an attempt's owner, by the process that looks (R2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Its lock file exists on this machine and is free, and its salvage was drained.
    pub dead: bool,
    /// For how long this process has watched the attempt, on its own clock, by reads that succeeded.
    pub watched: std::time::Duration,
}

/// From where a row is looked at.
pub struct Moment<'a> {
    /// The store's clock.
    pub now: Timestamp,
    /// The process that looks.
    pub by: &'a Owner,
    /// `[refresh]`.
    pub policy: &'a Policy,
    /// What is known of the owners of attempts.
    pub standing: &'a dyn Fn(&Attempt) -> Standing,
}

impl fmt::Debug for Moment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moment")
            .field("now", &self.now)
            .field("by", &self.by)
            .finish_non_exhaustive()
    }
}

impl Moment<'_> {
    /// True if `at` is past for this attempt: by the store's clock, and watched for that long or its owner dead (R2).
    pub(crate) fn is_past(&self, at: Timestamp, attempt: &Attempt) -> bool {
        self.was_past(at, attempt, self.now)
    }

    /// True if `at` was past for this attempt already `then`.
    pub(crate) fn was_past(&self, at: Timestamp, attempt: &Attempt, then: Timestamp) -> bool {
        let standing = (self.standing)(attempt);
        let watched = standing.watched.saturating_sub(then.until(self.now));
        then >= at && (standing.dead || watched >= attempt.begun_at.until(at))
    }

    /// True if nobody can hold an answer to this attempt any more: its owner is dead and left none, or was silent for
    /// longer than it is waited for (R5).
    pub(crate) fn is_abandoned(&self, attempt: &Attempt) -> bool {
        let dead = (self.standing)(attempt).dead;
        (dead && self.now >= attempt.deadline) || self.is_past(attempt.adopt_until, attempt)
    }
}

/// A transition: the row as it shall be, and what is written down with it.
#[derive(Clone, Debug)]
pub struct Step {
    /// The new row.
    pub row: Connection,
    /// Whether its refresh token came from outside, and not from Pleo.
    pub brought: bool,
    /// Ledger lines.
    pub ledger: Vec<LedgerEntry>,
    /// Audit lines: what, and in a few words.
    pub audit: Vec<(AuditKind, String)>,
}

/// Why an event does not fit the row. Nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The row is of another epoch: what came of an old one is forgotten (R13).
    #[error("the authorisation has ended or was replaced")]
    OldEpoch,
    /// The generation has moved on.
    #[error("a newer pair is held already")]
    Superseded,
    /// An attempt is under way, or a token must not be presented yet.
    #[error("another attempt is under way or not yet past")]
    Busy,
    /// Not before this moment: back-off, or Pleo's `Retry-After`.
    #[error("refreshing is backing off")]
    BackingOff(Timestamp),
    /// The connection's state does not allow it.
    #[error("the connection's state does not allow this")]
    State,
    /// One forced refresh was sent for this generation already (R7).
    #[error("this generation was refreshed by force already")]
    AlreadyForced,
    /// A later attempt was sent too, or the row was put back from a backup: ask introspection first.
    #[error("the pair has to be verified first")]
    Unverified,
    /// An active connection is replaced only on request.
    #[error("the connection is active")]
    WouldReplace,
}

/// The transition function of the protocol.
pub fn step(row: &Connection, event: &Event, moment: &Moment<'_>) -> Result<Step, Refused> {
    match event {
        Event::Begin { attempt, forced } => begin::begin(row, *attempt, *forced, moment),
        Event::Close {
            attempt,
            outcome,
            retry_at,
        } => close::close(row, *attempt, *outcome, *retry_at, moment),
        Event::Commit(pair) => commit::commit(row, pair, moment),
        Event::Overdue => close::overdue(row, moment),
        Event::Probed {
            epoch,
            generation,
            sent_at,
            accepted,
        } => evidence::probed(row, (*epoch, *generation), *sent_at, *accepted, moment),
        Event::GiveUpAnswer => resolve::give_up_answer(row, moment),
        Event::Retry => resolve::retry(row, moment),
        Event::GiveUp => resolve::give_up(row, moment),
        Event::Restored { seen } => resolve::restored(row, *seen, moment),
        Event::Link => Ok(Step::to(row.clone())),
        Event::BeginConsent { until } => consent::begin_consent(row, *until, moment),
        Event::Offer(candidate) => consent::offer(row, candidate),
        Event::Accept { company, scopes } => {
            consent::accept(row, company.as_ref(), scopes.as_ref(), moment)
        }
        Event::Decline { until } => Ok(consent::decline(row, *until)),
        Event::Abandon { until } => Ok(consent::abandon(row, *until, moment)),
        Event::Import(import) => consent::import(row, import, moment),
        Event::RejectKey { epoch } => key::reject(row, *epoch, moment),
        Event::Disconnect => consent::disconnect(row, moment),
        Event::Learn {
            epoch,
            generation,
            company,
            scopes,
        } if (*epoch, *generation) == (row.epoch, row.generation) => {
            Ok(consent::learn(row, company.as_ref(), scopes.as_ref()))
        }
        Event::Learn { .. } => Err(Refused::Superseded),
    }
}

impl Step {
    fn to(row: Connection) -> Self {
        Self {
            row,
            brought: false,
            ledger: Vec::new(),
            audit: Vec::new(),
        }
    }

    fn noting(
        mut self,
        moment: &Moment<'_>,
        attempt: Option<AttemptId>,
        phase: Phase,
        outcome: Option<LedgerOutcome>,
    ) -> Self {
        self.ledger.push(LedgerEntry {
            at: moment.now,
            epoch: self.row.epoch,
            generation: self.row.generation,
            attempt,
            replica: moment.by.clone(),
            phase,
            outcome,
        });
        self
    }

    fn audited(mut self, kind: AuditKind, words: impl Into<String>) -> Self {
        self.audit.push((kind, words.into()));
        self
    }
}
