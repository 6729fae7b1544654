//! The records kept about a connection: the ledger of its refresh attempts, and the audit of who did what (contract.md
//! section 7). Never a token: the store adds fingerprints.

use serde::{Deserialize, Serialize};

use super::ids::{AttemptId, Epoch, Generation, Owner, TenantName};
use crate::clock::Timestamp;

/// One line of a connection's ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// When, by the store's clock.
    pub at: Timestamp,
    /// The authorisation it belongs to.
    pub epoch: Epoch,
    /// The generation that it speaks of: the new one for outcomes that bring a pair.
    pub generation: Generation,
    /// The attempt, if it belongs to one.
    pub attempt: Option<AttemptId>,
    /// The process that wrote it.
    pub replica: Owner,
    /// How far the attempt had come.
    pub phase: Phase,
    /// What came of it; `None` while that is open.
    pub outcome: Option<LedgerOutcome>,
}

/// How far an attempt had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The intent was written.
    Begun,
    /// It ended before the first byte of the request left.
    Unsent,
    /// The request left, nothing usable came back.
    Sent,
    /// An answer was read.
    Answered,
    /// A pair was made durable.
    Committed,
    /// Evidence decided.
    Resolved,
}

/// What came of an attempt (contract.md section 4, `history --json`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerOutcome {
    /// A new pair.
    Ok,
    /// No byte left.
    NotSent,
    /// 429.
    RefusedForNow,
    /// Pleo refused the refresh token.
    Rejected,
    /// Pleo refused the OAuth client.
    ClientRejected,
    /// Sent, outcome unknown.
    Uncertain,
    /// Another attempt was under way.
    Busy,
    /// A pair that came late, or from a consent or an import.
    Adopted,
    /// A pair that came from a salvage file.
    Salvaged,
    /// Evidence: the refresh was applied.
    ResolvedApplied,
    /// Evidence: it was not.
    ResolvedNotApplied,
}

/// A ledger entry as it is read back: with fingerprints (keyed hashes) of the pair of its generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerLine {
    /// What was written.
    pub entry: LedgerEntry,
    /// Keyed hash of the access token, if there was one.
    pub access_fingerprint: Option<String>,
    /// Keyed hash of the refresh token, if there was one.
    pub refresh_fingerprint: Option<String>,
}

/// One line of the audit: who did what to which connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// When, by the store's clock.
    pub at: Timestamp,
    /// To whose connection; `None` for what is about the whole store or process.
    pub tenant: Option<TenantName>,
    /// Who: `gateway` by itself or at a signal, `cli`, `admin` (the operators' door), `browser` (whoever consented).
    pub who: String,
    /// What happened.
    pub what: AuditKind,
    /// In a few words, without anything secret.
    pub detail: String,
}

/// What the audit knows (contract.md section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each word is the contract's own")]
pub enum AuditKind {
    Linked,
    Consented,
    Imported,
    Refreshed,
    Rejected,
    Uncertain,
    Resolved,
    ReauthorizationRequired,
    Disconnected,
    KeyRotated,
    ConfigurationReloaded,
}

impl AuditKind {
    /// The word that is written down.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Linked => "linked",
            Self::Consented => "consented",
            Self::Imported => "imported",
            Self::Refreshed => "refreshed",
            Self::Rejected => "rejected",
            Self::Uncertain => "uncertain",
            Self::Resolved => "resolved",
            Self::ReauthorizationRequired => "reauthorization_required",
            Self::Disconnected => "disconnected",
            Self::KeyRotated => "key_rotated",
            Self::ConfigurationReloaded => "configuration_reloaded",
        }
    }
}
