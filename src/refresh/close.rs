//! Closing an attempt that brought no pair (R4), by its owner; and taking it over when its owner is silent (R2).

use super::policy::Policy;
use super::{Moment, Refused, Step};
use crate::clock::Timestamp;
use crate::model::connection::{Attempt, Connection, Evidence, Held, Outcome, Reason, State};
use crate::model::ids::AttemptId;
use crate::model::ledger::{AuditKind, LedgerOutcome, Phase};

pub(super) fn close(
    row: &Connection,
    id: AttemptId,
    outcome: Outcome,
    retry_at: Option<Timestamp>,
    moment: &Moment<'_>,
) -> Result<Step, Refused> {
    let mut row = row.clone();
    let is_current = row.current().is_some_and(|current| current.id == id);
    let attempt = row
        .attempts
        .iter_mut()
        .find(|a| a.id == id)
        .ok_or(Refused::Superseded)?;
    if attempt.outcome.is_some() {
        return Err(Refused::Superseded);
    }
    attempt.outcome = Some(outcome);
    if is_current {
        move_on(&mut row, id, outcome, retry_at, moment.now);
    }
    let ended = is_current && row.state == State::ReauthorizationRequired;
    let (phase, noted) = words(outcome);
    let step = Step::to(row).noting(moment, Some(id), phase, Some(noted));
    Ok(match (outcome, ended) {
        (Outcome::Rejected, true) => step
            .audited(AuditKind::Rejected, "Pleo refused the refresh token")
            .audited(
                AuditKind::ReauthorizationRequired,
                "a person has to consent again",
            ),
        (Outcome::NoPair, _) => step.audited(
            AuditKind::Uncertain,
            "a refresh was sent, its outcome is not known",
        ),
        _ => step,
    })
}

pub(super) fn overdue(row: &Connection, moment: &Moment<'_>) -> Result<Step, Refused> {
    let current = row.current().ok_or(Refused::State)?;
    if row.state != State::Refreshing || !moment.is_past(current.deadline, current) {
        return Err(Refused::Busy);
    }
    let id = current.id;
    let mut row = row.clone();
    row.state = State::Uncertain;
    row.evidence = Evidence::default();
    Ok(Step::to(row)
        .noting(
            moment,
            Some(id),
            Phase::Begun,
            Some(LedgerOutcome::Uncertain),
        )
        .audited(AuditKind::Uncertain, "the owner of a refresh fell silent"))
}

fn move_on(
    row: &mut Connection,
    id: AttemptId,
    outcome: Outcome,
    retry_at: Option<Timestamp>,
    now: Timestamp,
) {
    row.failures = row.failures.saturating_add(1);
    row.next_try_at = Some(Policy::next_try(row.failures, id, retry_at, now));
    match outcome {
        Outcome::Rejected => {
            let others_sent = row
                .attempts
                .iter()
                .any(|a| a.id != id && can_have_been_applied(a));
            row.state = State::ReauthorizationRequired;
            row.reason = Some(if others_sent {
                Reason::AnswerLost
            } else {
                Reason::Revoked
            });
            row.held = Held::Nothing;
            row.next_try_at = None;
        }
        Outcome::NoPair => {
            row.state = State::Uncertain;
            row.evidence = Evidence::default();
        }
        Outcome::NotSent
        | Outcome::RefusedForNow
        | Outcome::ClientRejected
        | Outcome::NotApplied => {
            let open = row.attempts.iter().any(can_have_been_applied);
            row.state = if open {
                State::Uncertain
            } else {
                State::Active
            };
        }
    }
}

/// True unless it is known that Pleo did not apply this attempt.
pub(super) fn can_have_been_applied(attempt: &Attempt) -> bool {
    match attempt.outcome {
        Some(
            Outcome::NotSent
            | Outcome::RefusedForNow
            | Outcome::ClientRejected
            | Outcome::NotApplied
            | Outcome::Rejected,
        ) => false,
        Some(Outcome::NoPair) | None => true,
    }
}

fn words(outcome: Outcome) -> (Phase, LedgerOutcome) {
    match outcome {
        Outcome::NotSent => (Phase::Unsent, LedgerOutcome::NotSent),
        Outcome::RefusedForNow => (Phase::Answered, LedgerOutcome::RefusedForNow),
        Outcome::ClientRejected => (Phase::Answered, LedgerOutcome::ClientRejected),
        Outcome::Rejected => (Phase::Answered, LedgerOutcome::Rejected),
        Outcome::NoPair => (Phase::Sent, LedgerOutcome::Uncertain),
        Outcome::NotApplied => (Phase::Resolved, LedgerOutcome::ResolvedNotApplied),
    }
}
