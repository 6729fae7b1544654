//! The words of labels that have only a few, each written once. What is counted under them is not here (`metrics`).

use crate::model::ledger::LedgerOutcome;

/// What is asked of the store.
pub(super) const STORE: [&str; 4] = ["read", "write", "changes", "commit"];

/// What an attempt to refresh may come to.
pub(super) const ATTEMPTS: [LedgerOutcome; 7] = [
    LedgerOutcome::Ok,
    LedgerOutcome::NotSent,
    LedgerOutcome::RefusedForNow,
    LedgerOutcome::Rejected,
    LedgerOutcome::ClientRejected,
    LedgerOutcome::Uncertain,
    LedgerOutcome::Busy,
];

/// The word for it; `None` for what is no attempt's.
pub(super) fn of_attempt(outcome: LedgerOutcome) -> Option<&'static str> {
    Some(match outcome {
        LedgerOutcome::Ok => "ok",
        LedgerOutcome::NotSent => "not_sent",
        LedgerOutcome::RefusedForNow => "refused_for_now",
        LedgerOutcome::Rejected => "rejected",
        LedgerOutcome::ClientRejected => "client_rejected",
        LedgerOutcome::Uncertain => "uncertain",
        LedgerOutcome::Busy => "busy",
        LedgerOutcome::Adopted
        | LedgerOutcome::Salvaged
        | LedgerOutcome::ResolvedApplied
        | LedgerOutcome::ResolvedNotApplied => return None,
    })
}
