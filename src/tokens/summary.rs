//! A connection as operators see it (contract.md section 4, `list --json`). Never a token, nor any part of one.

use serde::Serialize;

use crate::clock::Timestamp;
use crate::model::connection::{Connection, CredentialKind, Reason, State};
use crate::model::ids::{CompanyId, Epoch, Generation, TenantName};
use crate::model::ledger::LedgerLine;
use crate::model::scope::ScopeSet;
use crate::refresh::policy::Policy;

/// One row of `connections list --json`. Times are RFC 3339; null where unknown.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "each name is the contract's own")]
pub struct Summary {
    pub tenant: TenantName,
    pub state: State,
    pub credential: CredentialKind,
    pub company_id: Option<CompanyId>,
    pub scopes: Option<ScopeSet>,
    pub generation: Generation,
    pub epoch: Epoch,
    pub access_expires_at: Option<String>,
    pub refreshed_at: Option<String>,
    pub consented_at: Option<String>,
    pub reason: Option<Reason>,
    pub next_refresh_at: Option<String>,
}

impl Summary {
    /// What of a row is shown.
    pub fn of(row: &Connection, policy: &Policy) -> Self {
        let text = |at: Timestamp| at.to_string();
        let active = matches!(
            row.state,
            State::Active | State::Refreshing | State::Uncertain
        );
        let due = policy.due_at(row).filter(|_| active);
        Self {
            tenant: row.tenant.clone(),
            state: row.state,
            credential: row.credential,
            company_id: row.company.clone(),
            scopes: row.scopes.clone(),
            generation: row.generation,
            epoch: row.epoch,
            access_expires_at: row.access().map(|access| text(access.expires_at)),
            refreshed_at: row.refreshed_at.map(text),
            consented_at: row.consented_at.map(text),
            reason: row.reason,
            next_refresh_at: [due, row.next_try_at].into_iter().flatten().max().map(text),
        }
    }
}

/// One row of `connections history --json`.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "each name is the contract's own")]
pub struct HistoryRow {
    pub at: String,
    pub epoch: Epoch,
    pub generation: Generation,
    pub attempt: Option<String>,
    pub replica: String,
    pub phase: crate::model::ledger::Phase,
    pub outcome: Option<crate::model::ledger::LedgerOutcome>,
    pub access_fingerprint: Option<String>,
    pub refresh_fingerprint: Option<String>,
}

impl From<&LedgerLine> for HistoryRow {
    fn from(line: &LedgerLine) -> Self {
        Self {
            at: line.entry.at.to_string(),
            epoch: line.entry.epoch,
            generation: line.entry.generation,
            attempt: line.entry.attempt.map(|id| id.to_string()),
            replica: line.entry.replica.to_string(),
            phase: line.entry.phase,
            outcome: line.entry.outcome,
            access_fingerprint: line.access_fingerprint.clone(),
            refresh_fingerprint: line.refresh_fingerprint.clone(),
        }
    }
}
