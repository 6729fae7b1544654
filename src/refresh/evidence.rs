//! Deciding an uncertain refresh by evidence (R5): the old access token dies the moment a refresh is applied.

use super::close::can_have_been_applied;
use super::policy::{EVIDENCE_APART, Policy};
use super::{Moment, Refused, Step};
use crate::clock::Timestamp;
use crate::model::connection::{Connection, Evidence, Held, Outcome, Reason, State, Verdict};
use crate::model::ids::Generation;
use crate::model::ledger::{AuditKind, LedgerOutcome, Phase};

/// True while introspection with the access token held can still prove something.
pub(super) fn oracle_lives(row: &Connection, moment: &Moment<'_>) -> bool {
    let refusals_prove = row.attempts.iter().any(|a| a.oracle);
    let worthless = row.verdict == Verdict::Refused && !refusals_prove;
    !worthless
        && row
            .access()
            .is_some_and(|access| access.life_known && moment.now < Policy::oracle_until(access))
}

/// When the next question is worth asking; `None` if the oracle is gone.
pub(super) fn next_probe_at(row: &Connection, moment: &Moment<'_>) -> Option<Timestamp> {
    if !oracle_lives(row, moment) {
        return None;
    }
    let deadline = row.attempts.iter().map(|a| a.deadline).max()?;
    let first = row.evidence.accepted_at.or(row.evidence.refused_at);
    Some(first.map_or(deadline, |at| (at + EVIDENCE_APART).max(deadline)))
}

pub(super) fn probed(
    row: &Connection,
    generation: Generation,
    sent_at: Timestamp,
    accepted: bool,
    moment: &Moment<'_>,
) -> Result<Step, Refused> {
    if row.generation != generation {
        return Err(Refused::Superseded);
    }
    let access = row.access().ok_or(Refused::State)?;
    let in_life = sent_at < Policy::oracle_until(access);
    let after_deadlines = row.attempts.iter().all(|a| sent_at >= a.deadline);
    let mut new = row.clone();
    if accepted && row.verdict == Verdict::Untried {
        new.verdict = Verdict::Accepted;
    }
    if !accepted && in_life && row.attempts.iter().all(|a| !can_have_been_applied(a)) {
        new.verdict = Verdict::Refused;
    }
    if row.state != State::Uncertain || row.evidence.applied || !in_life || !after_deadlines {
        return Ok(Step::to(new));
    }
    Ok(if accepted {
        accept(new, sent_at, moment)
    } else {
        refuse(new, sent_at, moment)
    })
}

fn accept(mut row: Connection, sent_at: Timestamp, moment: &Moment<'_>) -> Step {
    let first = row.evidence.accepted_at.unwrap_or(sent_at);
    row.evidence = Evidence {
        accepted_at: Some(first),
        refused_at: None,
        applied: false,
    };
    if sent_at < first + EVIDENCE_APART {
        return Step::to(row);
    }
    let resolved = row.attempts.last().map(|a| a.id);
    for attempt in row.attempts.iter_mut().filter(|a| can_have_been_applied(a)) {
        attempt.outcome = Some(Outcome::NotApplied);
    }
    row.state = State::Active;
    row.evidence = Evidence::default();
    row.verdict = Verdict::Accepted;
    Step::to(row)
        .noting(
            moment,
            resolved,
            Phase::Resolved,
            Some(LedgerOutcome::ResolvedNotApplied),
        )
        .audited(AuditKind::Resolved, "the refresh was not applied")
}

fn refuse(mut row: Connection, sent_at: Timestamp, moment: &Moment<'_>) -> Step {
    if !row.attempts.iter().any(|a| a.oracle) {
        row.verdict = Verdict::Refused;
        return Step::to(row);
    }
    let first = row.evidence.refused_at.unwrap_or(sent_at);
    row.evidence = Evidence {
        accepted_at: None,
        refused_at: Some(first),
        applied: false,
    };
    if sent_at < first + EVIDENCE_APART {
        return Step::to(row);
    }
    row.evidence.applied = true;
    let resolved = row.attempts.last().map(|a| a.id);
    Step::to(row)
        .noting(
            moment,
            resolved,
            Phase::Resolved,
            Some(LedgerOutcome::ResolvedApplied),
        )
        .audited(
            AuditKind::Resolved,
            "the refresh was applied, its answer did not reach us",
        )
}

/// True once nobody can hold the answer of any attempt any more.
pub(super) fn answer_is_lost(row: &Connection, moment: &Moment<'_>) -> bool {
    row.attempts.iter().all(|a| {
        a.outcome.is_some()
            || ((moment.standing)(a).dead && moment.now >= a.deadline)
            || moment.is_past(a.adopt_until, a)
    })
}

pub(super) fn give_up_answer(row: &Connection, moment: &Moment<'_>) -> Result<Step, Refused> {
    if row.state != State::Uncertain || !row.evidence.applied {
        return Err(Refused::State);
    }
    if !answer_is_lost(row, moment) {
        return Err(Refused::Busy);
    }
    let mut row = row.clone();
    row.state = State::ReauthorizationRequired;
    row.reason = Some(Reason::AnswerLost);
    row.held = Held::Nothing;
    row.next_try_at = None;
    let resolved = row.attempts.last().map(|a| a.id);
    Ok(Step::to(row)
        .noting(
            moment,
            resolved,
            Phase::Resolved,
            Some(LedgerOutcome::ResolvedApplied),
        )
        .audited(
            AuditKind::ReauthorizationRequired,
            "the answer of a refresh was lost",
        ))
}

/// An operator's word replaces the evidence that cannot be had; the deadlines of R4 stay.
pub(super) fn retry(row: &Connection, moment: &Moment<'_>) -> Result<Step, Refused> {
    if row.state != State::Uncertain || row.evidence.applied {
        return Err(Refused::State);
    }
    if !row.attempts.iter().all(|a| moment.is_past(a.deadline, a)) {
        return Err(Refused::Busy);
    }
    let mut row = row.clone();
    for attempt in row.attempts.iter_mut().filter(|a| can_have_been_applied(a)) {
        attempt.outcome = Some(Outcome::NotApplied);
    }
    row.state = State::Active;
    row.evidence = Evidence::default();
    row.next_try_at = None;
    Ok(Step::to(row).audited(
        AuditKind::Resolved,
        "an operator decided to present the token again",
    ))
}
