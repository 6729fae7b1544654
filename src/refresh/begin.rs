//! Recording the intent (R1), and the rules for presenting a refresh token again (R4, R5).

use std::time::Duration;

use super::policy::{CANDIDATE_HOLDS, DEADLINE_MARGIN, Uncertain};
use super::{Moment, Refused, Step};
use crate::clock::Timestamp;
use crate::model::connection::{
    Attempt, Connection, Evidence, Held, Outcome, Reason, State, Verdict,
};
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
    row.attempts
        .dedup_by(|later, earlier| says_no_more(later, earlier));
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

/// True if nothing is left of an attempt that the one before it does not say too: both were closed, and the same way.
/// So a row does not grow with an outage. One that evidence or an operator closed may still be answered.
fn says_no_more(later: &Attempt, earlier: &Attempt) -> bool {
    let what = |a: &Attempt| (a.outcome, a.forced, a.oracle);
    what(later) == what(earlier) && !matches!(later.outcome, None | Some(Outcome::NotApplied))
}

/// True if the owner of `attempt` may still send it: the last look before the first byte (R2).
pub fn may_send(row: &Connection, attempt: AttemptId, moment: &Moment<'_>) -> bool {
    row.state == State::Refreshing
        && !consent_is_open(row, moment)
        && !is_rejected(row)
        && row.attempts.last().is_some_and(|current| {
            current.id == attempt
                && current.outcome.is_none()
                && &current.owner == moment.by
                && moment.now + DEADLINE_MARGIN < current.deadline
        })
}

/// May an attempt begin now? The one place that knows: `next` asks it too, so that the two never disagree.
pub(super) fn may_begin(
    row: &Connection,
    forced: bool,
    moment: &Moment<'_>,
) -> Result<(), Refused> {
    if !matches!(row.held, Held::Pair { .. }) {
        return Err(Refused::State);
    }
    if consent_is_open(row, moment) || is_rejected(row) {
        return Err(Refused::Busy);
    }
    if forced && was_forced(row) {
        return Err(Refused::AlreadyForced);
    }
    if let Some(at) = rests_until(row, moment) {
        return Err(Refused::BackingOff(at));
    }
    match row.state {
        State::Active if row.attempts.iter().all(|a| is_finished(a, moment)) => Ok(()),
        State::Uncertain if !forced && may_present_again(row, moment) => Ok(()),
        State::Active | State::Uncertain | State::Refreshing => Err(Refused::Busy),
        State::Pending | State::ReauthorizationRequired | State::Disconnected => {
            Err(Refused::State)
        }
    }
}

/// Until when the row backs off; `None` if it does not. Where the store's clock was put back since the last attempt, the
/// time is over that this process has watched on its own (R10): nobody waits for the size of the step.
pub fn rests_until(row: &Connection, moment: &Moment<'_>) -> Option<Timestamp> {
    let at = row.next_try_at.filter(|at| moment.now < *at)?;
    let put_back = row.attempts.last().filter(|a| moment.now < a.begun_at);
    let Some(last) = put_back else {
        return Some(at);
    };
    let span = last.begun_at.until(at);
    let left = span.saturating_sub((moment.standing)(last).watched);
    (!left.is_zero()).then(|| at.min(moment.now + left))
}

/// R13: from before a code is exchanged until its pair is in use or declined, the old token is not presented: the
/// exchange may have replaced it. While Pleo does not say whose the new pair is, that has an end too.
fn consent_is_open(row: &Connection, moment: &Moment<'_>) -> bool {
    let Some(until) = row.consent_until else {
        return row.candidate.is_some();
    };
    let waits = row
        .candidate
        .as_ref()
        .map_or(Duration::ZERO, |_| CANDIDATE_HOLDS);
    moment.now < until + waits
}

/// R12: Pleo refused this generation's token.
fn is_rejected(row: &Connection) -> bool {
    row.attempts
        .iter()
        .any(|a| a.outcome == Some(Outcome::Rejected))
}

/// R7: one forced refresh of this generation was sent, or may have been.
fn was_forced(row: &Connection) -> bool {
    row.attempts
        .iter()
        .any(|a| a.forced && a.outcome != Some(Outcome::NotSent))
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
fn may_present_again(row: &Connection, moment: &Moment<'_>) -> bool {
    let refused_once = row.evidence.refused_at.is_some();
    moment.policy.uncertain == Uncertain::Resolve
        && row.reason != Some(Reason::Restored)
        && !row.evidence.applied
        && !super::evidence::oracle_lives(row, moment)
        && row.attempts.iter().all(|attempt| match attempt.outcome {
            Some(Outcome::NotSent | Outcome::NotApplied) => true,
            Some(Outcome::Rejected) => false,
            _ if refused_once => moment.is_past(attempt.adopt_until, attempt),
            Some(Outcome::NoPair | Outcome::RefusedForNow | Outcome::ClientRejected) => {
                moment.is_past(attempt.deadline, attempt)
            }
            None => moment.is_abandoned(attempt),
        })
}

#[cfg(test)]
mod tests {
    use super::super::Event;
    use super::super::scene::{Scene, active, at, id};
    use super::*;

    fn may_send_now(scene: &Scene, number: u128) -> bool {
        scene.look(|row, moment| may_send(row, id(number), moment))
    }

    #[test]
    fn r1_the_intent_says_who_until_when_and_whether_refusals_will_prove_anything() {
        let mut scene = Scene::new();
        scene.begin(1).unwrap();
        assert_eq!(scene.row.state, State::Refreshing);
        let attempt = scene.row.current().unwrap();
        assert_eq!(attempt.deadline, at(745));
        assert_eq!(attempt.adopt_until, at(865));
        assert!(attempt.oracle);

        let mut scene = Scene::new();
        scene.row.verdict = Verdict::Untried;
        scene.begin(1).unwrap();
        assert!(!scene.row.current().unwrap().oracle);
    }

    #[test]
    fn r2_only_the_owner_of_the_open_attempt_sends_and_only_before_its_timeout() {
        let mut scene = Scene::new();
        scene.begin(1).unwrap();
        assert!(may_send_now(scene.at(739), 1));
        assert!(!may_send_now(scene.at(740), 1));
        assert!(!may_send_now(scene.at(730).by("q"), 1));
        assert!(!may_send_now(scene.by("p"), 2));
        scene.close(1, Outcome::NotSent).unwrap();
        assert!(!may_send_now(&scene, 1));
    }

    #[test]
    fn r10_a_clock_that_was_put_back_makes_nobody_back_off_for_the_size_of_the_step() {
        let mut scene = Scene::new();
        scene.begin(1).unwrap();
        scene.close(1, Outcome::NotSent).unwrap();
        scene.knows(false, 0);
        assert!(matches!(
            scene.at(10).begin(2).unwrap_err(),
            Refused::BackingOff(until) if until <= at(11)
        ));
        scene.knows(false, 1);
        assert!(scene.begin(2).is_ok());
    }

    #[test]
    fn r2_there_is_one_attempt_at_a_time() {
        let mut scene = Scene::new();
        scene.begin(1).unwrap();
        assert_eq!(scene.by("q").begin(2).unwrap_err(), Refused::Busy);
    }

    #[test]
    fn r4_a_token_that_was_sent_is_not_presented_before_the_deadline_whatever_came_back() {
        for outcome in [Outcome::RefusedForNow, Outcome::ClientRejected] {
            let mut scene = Scene::new();
            scene.begin(1).unwrap();
            scene.close(1, outcome).unwrap();
            assert_eq!(scene.row.state, State::Active);
            assert_eq!(scene.at(744).begin(2).unwrap_err(), Refused::Busy);
            scene.knows(false, 24);
            assert_eq!(scene.at(746).begin(2).unwrap_err(), Refused::Busy);
            scene.knows(false, 25);
            assert!(scene.at(746).begin(2).is_ok());
        }
    }

    #[test]
    fn r4_what_was_not_sent_is_presented_after_back_off_alone() {
        let mut scene = Scene::new();
        scene.begin(1).unwrap();
        scene.close(1, Outcome::NotSent).unwrap();
        assert!(matches!(scene.begin(2), Err(Refused::BackingOff(_))));
        assert!(scene.at(721).begin(2).is_ok());
    }

    #[test]
    fn r5_without_an_oracle_a_closed_attempt_is_waited_for_until_its_deadline() {
        let mut scene = Scene::new();
        scene.at(895).begin(1).unwrap();
        scene.close(1, Outcome::NoPair).unwrap();
        assert_eq!(scene.at(919).begin(2).unwrap_err(), Refused::Busy);
        assert!(scene.at(920).begin(2).is_ok());
    }

    #[test]
    fn r5_without_an_oracle_a_silent_owner_is_waited_for_until_adoption_ends_or_it_is_dead() {
        let mut scene = Scene::new();
        scene.at(895).begin(1).unwrap();
        scene.at(920).by("q").take(&Event::Overdue).unwrap();
        assert_eq!(scene.at(1039).begin(2).unwrap_err(), Refused::Busy);
        scene.knows(false, 144);
        assert_eq!(scene.at(1041).begin(2).unwrap_err(), Refused::Busy);
        scene.knows(false, 145);
        assert!(
            scene
                .look(|row, moment| may_begin(row, false, moment))
                .is_ok()
        );
        scene.knows(true, 0);
        assert!(scene.at(922).begin(2).is_ok());
    }

    #[test]
    fn r5_nothing_is_presented_while_evidence_can_decide() {
        let mut scene = Scene::new();
        scene.at(300).force(1).unwrap();
        scene.close(1, Outcome::NoPair).unwrap();
        assert_eq!(scene.at(889).begin(2).unwrap_err(), Refused::Busy);
        assert!(scene.at(890).begin(2).is_ok());
    }

    #[test]
    fn r5_park_begins_nothing() {
        let mut scene = Scene::new();
        scene.policy.uncertain = Uncertain::Park;
        scene.at(895).begin(1).unwrap();
        scene.close(1, Outcome::NoPair).unwrap();
        assert_eq!(scene.at(5000).begin(2).unwrap_err(), Refused::Busy);
    }

    #[test]
    fn r5_an_outage_however_long_leaves_a_row_of_the_same_size_and_no_attempt_that_matters_is_forgotten()
     {
        let mut scene = Scene::new();
        scene.begin(1).unwrap();
        scene.at(800).take(&Event::Overdue).unwrap();
        for round in 2..500 {
            scene.at(round * 1000).begin(u128::from(round)).unwrap();
            scene.close(u128::from(round), Outcome::NoPair).unwrap();
        }
        let ids: Vec<_> = scene.row.attempts.iter().map(|a| a.id).collect();
        assert_eq!(ids, [id(1), id(2), id(499)]);
        scene.at(600_000).begin(500).unwrap();
        scene.close(500, Outcome::Rejected).unwrap();
        assert_eq!(scene.row.reason, Some(Reason::AnswerLost));
        assert_eq!(scene.commit(1, false).unwrap_err(), Refused::Unverified);
        assert!(scene.commit(1, true).is_ok());
    }

    #[test]
    fn r7_one_forced_refresh_is_sent_per_generation_and_none_while_uncertain() {
        let mut scene = Scene::new();
        scene.at(100).force(1).unwrap();
        scene.close(1, Outcome::NotSent).unwrap();
        scene.at(110).force(2).unwrap();
        scene.close(2, Outcome::RefusedForNow).unwrap();
        assert_eq!(scene.at(200).force(3).unwrap_err(), Refused::AlreadyForced);
        assert!(scene.begin(3).is_ok());

        let mut scene = Scene::new();
        scene.at(895).begin(1).unwrap();
        scene.close(1, Outcome::NoPair).unwrap();
        assert_eq!(scene.at(2000).force(2).unwrap_err(), Refused::Busy);
    }

    #[test]
    fn r7_the_next_generation_may_be_forced_again() {
        let mut scene = Scene::new();
        scene.at(100).force(1).unwrap();
        scene.commit(1, false).unwrap();
        assert!(scene.force(2).is_ok());
    }

    #[test]
    fn r12_a_rejected_generation_is_neither_begun_nor_sent_again() {
        let mut scene = Scene::new();
        scene.at(895).begin(1).unwrap();
        scene.at(1100).take(&Event::Overdue).unwrap();
        scene.at(1102).by("q").begin(2).unwrap();
        assert!(may_send_now(&scene, 2));
        scene.by("p").close(1, Outcome::Rejected).unwrap();
        assert!(!may_send_now(scene.by("q"), 2));
        scene.close(2, Outcome::NotSent).unwrap();
        assert_eq!(scene.row.state, State::ReauthorizationRequired);
        assert_eq!(scene.at(3000).begin(3).unwrap_err(), Refused::State);
    }

    #[test]
    fn a_row_without_a_pair_is_never_refreshed() {
        let mut scene = Scene::new();
        scene.row = Connection {
            held: Held::Nothing,
            ..active()
        };
        assert_eq!(scene.begin(1).unwrap_err(), Refused::State);
    }
}
