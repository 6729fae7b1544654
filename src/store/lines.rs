//! Entries of the ledger and the audit as they are in their tables. Their words are not made here (`tokens`, `connect`), nor
//! are they kept here (`sqlite`, `postgres`).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::rows::{Seals, from_word, signed, unsigned, word};
use crate::clock::Timestamp;
use crate::model::connection::Connection;
use crate::model::ids::{AttemptId, Epoch, Generation, Owner};
use crate::model::ledger::{AuditEntry, LedgerEntry, LedgerLine};

/// A line of the ledger.
#[derive(Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) provider: String,
    pub(super) tenant: String,
    pub(super) at: i64,
    pub(super) epoch: i64,
    pub(super) generation: i64,
    pub(super) attempt: Option<String>,
    pub(super) replica: String,
    pub(super) phase: String,
    pub(super) outcome: Option<String>,
    pub(super) access_fingerprint: Option<String>,
    pub(super) refresh_fingerprint: Option<String>,
}

/// A line of the audit.
#[derive(Serialize)]
pub(super) struct AuditLine {
    pub(super) provider: String,
    pub(super) tenant: String,
    pub(super) at: i64,
    pub(super) who: String,
    pub(super) what: String,
    pub(super) detail: String,
}

impl Line {
    /// A line about the row as it is written, with the fingerprints of its pair if the line speaks of that.
    pub(super) fn of(entry: &LedgerEntry, row: &Connection, seals: &Seals) -> Self {
        let same = (entry.epoch, entry.generation) == (row.epoch, row.generation);
        let access = row.access().filter(|_| same);
        let refresh = row.refresh_token().filter(|_| same);
        Self {
            provider: seals.provider.to_string(),
            tenant: row.tenant.to_string(),
            at: entry.at.0,
            epoch: signed(entry.epoch.0),
            generation: signed(entry.generation.0),
            attempt: entry.attempt.map(|attempt| attempt.to_string()),
            replica: entry.replica.to_string(),
            phase: word(&entry.phase),
            outcome: entry.outcome.map(|outcome| word(&outcome)),
            access_fingerprint: access.map(|access| seals.fingerprints.of(&access.token)),
            refresh_fingerprint: refresh.map(|refresh| seals.fingerprints.of(refresh)),
        }
    }

    /// `None` if it cannot be one of ours.
    pub(super) fn open(self) -> Option<LedgerLine> {
        let attempt = self.attempt.as_deref().map(Uuid::parse_str);
        Some(LedgerLine {
            entry: LedgerEntry {
                at: Timestamp(self.at),
                epoch: Epoch(unsigned(self.epoch)?),
                generation: Generation(unsigned(self.generation)?),
                attempt: attempt.transpose().ok()?.map(AttemptId),
                replica: Owner::new(self.replica),
                phase: from_word(&self.phase)?,
                outcome: match &self.outcome {
                    Some(word) => Some(from_word(word)?),
                    None => None,
                },
            },
            access_fingerprint: self.access_fingerprint,
            refresh_fingerprint: self.refresh_fingerprint,
        })
    }
}

impl AuditLine {
    pub(super) fn of(entry: &AuditEntry, seals: &Seals) -> Self {
        Self {
            provider: seals.provider.to_string(),
            tenant: entry
                .tenant
                .as_ref()
                .map_or_else(String::new, ToString::to_string),
            at: entry.at.0,
            who: entry.who.clone(),
            what: word(&entry.what),
            detail: entry.detail.clone(),
        }
    }
}
