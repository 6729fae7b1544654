//! Writing down the intent (R1), and the rules for presenting a refresh token again (R4, R5).

use super::policy::DEADLINE_MARGIN;
use super::{Moment, Refused, Step};
use crate::model::connection::{Attempt, Connection, Evidence, Held, Outcome, State, Verdict};
use crate::model::ids::AttemptId;
use crate::model::ledger::Phase;

pub(super) fn begin(
    row: &Connection,
    attempt: AttemptId,
    forced: bool,
    moment: &Moment<'_>,
) -> Result<Step, Refused> {
    may_begin(row, forced, moment)?;
    let deadline = moment.now + moment.policy.timeout + DEADLINE_MARGIN;
    let mut row = row.clone();
    let oracle = row.verdict == Verdict::Accepted
        && row
            .access()
            .is_some_and(|access| access.life_known && access.expires_at > moment.now);
    row.attempts.push(Attempt {
        id: attempt,
        owner: moment.by.clone(),
        begun_at: moment.now,
        deadline,
        adopt_until: deadline + moment.policy.adoption_grace,
        forced,
        oracle,
        outcome: None,
    });
    row.state = State::Refreshing;
    row.evidence = Evidence::default();
    row.next_try_at = None;
    Ok(Step::to(row).noting(moment, Some(attempt), Phase::Begun, None))
}

/// True if the owner of `attempt` may still send it: the last look before the first byte (R2).
pub fn may_send(row: &Connection, attempt: AttemptId, moment: &Moment<'_>) -> bool {
    row.state == State::Refreshing
        && row.attempts.last().is_some_and(|current| {
            current.id == attempt
                && current.outcome.is_none()
                && &current.owner == moment.by
                && moment.now + DEADLINE_MARGIN < current.deadline
        })
}

fn may_begin(row: &Connection, forced: bool, moment: &Moment<'_>) -> Result<(), Refused> {
    if !matches!(row.held, Held::Pair { .. }) {
        return Err(Refused::State);
    }
    if row.consent_until.is_some_and(|until| moment.now < until) {
        return Err(Refused::Busy);
    }
    if forced
        && row
            .attempts
            .iter()
            .any(|a| a.forced && a.outcome != Some(Outcome::NotSent))
    {
        return Err(Refused::AlreadyForced);
    }
    if let Some(at) = row.next_try_at.filter(|at| moment.now < *at) {
        return Err(Refused::BackingOff(at));
    }
    match row.state {
        State::Active if row.attempts.iter().all(|a| is_finished(a, moment)) => Ok(()),
        State::Uncertain if may_present_again(row, moment) => Ok(()),
        State::Active | State::Uncertain | State::Refreshing => Err(Refused::Busy),
        State::Pending | State::ReauthorizationRequired | State::Disconnected => {
            Err(Refused::State)
        }
    }
}

/// R4: this attempt does not stand in the way of presenting the token again.
fn is_finished(attempt: &Attempt, moment: &Moment<'_>) -> bool {
    match attempt.outcome {
        Some(Outcome::NotSent | Outcome::NotApplied) => true,
        Some(Outcome::RefusedForNow | Outcome::ClientRejected) => {
            moment.is_past(attempt.deadline, attempt)
        }
        Some(Outcome::NoPair | Outcome::Rejected) | None => false,
    }
}

/// R5, no oracle: what evidence cannot decide is presented again once nobody can hold its answer any more.
pub(super) fn may_present_again(row: &Connection, moment: &Moment<'_>) -> bool {
    let refused_once = row.evidence.refused_at.is_some();
    !row.evidence.applied
        && !super::evidence::oracle_lives(row, moment)
        && row.attempts.iter().all(|attempt| match attempt.outcome {
            Some(Outcome::NotSent | Outcome::NotApplied) => true,
            Some(Outcome::Rejected) => false,
            _ if refused_once => moment.is_past(attempt.adopt_until, attempt),
            Some(Outcome::NoPair | Outcome::RefusedForNow | Outcome::ClientRejected) => {
                moment.is_past(attempt.deadline, attempt)
            }
            None => {
                let dead = (moment.standing)(attempt).dead;
                (dead && moment.now >= attempt.deadline)
                    || moment.is_past(attempt.adopt_until, attempt)
            }
        })
}
