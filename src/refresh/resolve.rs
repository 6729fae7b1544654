//! Ending a doubt that evidence alone does not end: because nobody can hold the answer any more, because an operator says
//! so, or because the row itself is too old (R14).

use super::close::{can_have_been_applied, end};
use super::{Moment, Refused, Step, evidence};
use crate::model::connection::{Connection, Evidence, Outcome, Reason, State};
use crate::model::ids::{Epoch, Generation};
use crate::model::ledger::{AuditKind, LedgerOutcome, Phase};

/// True once nobody can hold the answer of any attempt any more.
fn answer_is_lost(row: &Connection, moment: &Moment<'_>) -> bool {
    row.attempts
        .iter()
        .all(|a| a.outcome.is_some() || moment.is_abandoned(a))
}

/// True if nothing is left but to say that a person is needed.
pub(super) fn may_give_up(row: &Connection, moment: &Moment<'_>) -> bool {
    row.state == State::Uncertain
        && match row.reason {
            Some(Reason::Restored) => !evidence::oracle_lives(row, moment),
            _ => row.evidence.applied && answer_is_lost(row, moment),
        }
}

pub(super) fn give_up_answer(row: &Connection, moment: &Moment<'_>) -> Result<Step, Refused> {
    if row.state != State::Uncertain {
        return Err(Refused::State);
    }
    if !may_give_up(row, moment) {
        return Err(Refused::Busy);
    }
    if row.reason == Some(Reason::Restored) {
        return Ok(give_up_restored(row.clone()));
    }
    let mut row = row.clone();
    end(&mut row, Reason::AnswerLost);
    Ok(Step::to(row).audited(
        AuditKind::ReauthorizationRequired,
        "the answer of a refresh was lost",
    ))
}

pub(super) fn give_up_restored(mut row: Connection) -> Step {
    end(&mut row, Reason::Restored);
    Step::to(row).audited(
        AuditKind::ReauthorizationRequired,
        "the row is older than what was seen before, and Pleo does not stand by it",
    )
}

/// An operator's word replaces the evidence that cannot be had; the deadlines of R4 stay.
pub(super) fn retry(row: &Connection, moment: &Moment<'_>) -> Result<Step, Refused> {
    let is_settled = row.evidence.applied || row.reason == Some(Reason::Restored);
    if row.state != State::Uncertain || is_settled {
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
    let decided = Some(LedgerOutcome::ResolvedNotApplied);
    Ok(Step::to(row)
        .noting(moment, None, Phase::Resolved, decided)
        .audited(
            AuditKind::Resolved,
            "an operator decided to present the token again",
        ))
}

/// An operator's word: the answer is lost. One that comes late is still taken (R6).
pub(super) fn give_up(row: &Connection, moment: &Moment<'_>) -> Result<Step, Refused> {
    if row.state != State::Uncertain {
        return Err(Refused::State);
    }
    let reason = row.reason.unwrap_or(Reason::AnswerLost);
    let mut row = row.clone();
    end(&mut row, reason);
    let decided = Some(LedgerOutcome::ResolvedApplied);
    Ok(Step::to(row)
        .noting(moment, None, Phase::Resolved, decided)
        .audited(
            AuditKind::Resolved,
            "an operator decided to give the answer up",
        )
        .audited(
            AuditKind::ReauthorizationRequired,
            "a person has to consent again",
        ))
}

/// R14: this machine has seen a newer pair than this row holds. It is never presented; Pleo is asked about it.
///
/// Its number goes beyond all that was seen, so that whatever becomes of it is not taken for old again, by anybody who
/// has seen no more. A row that was not in use then came into use later: it stays out of use until the newer pair is
/// found, or a person acts. So does one with an API key, which an operator has replaced or ended since: that Pleo accepts
/// it would not make it the right one.
pub(super) fn restored(
    row: &Connection,
    seen: (Epoch, Generation),
    moment: &Moment<'_>,
) -> Result<Step, Refused> {
    if (row.epoch, row.generation) >= seen {
        return Err(Refused::State);
    }
    let mut row = row.clone();
    (row.epoch, row.generation) = (seen.0, seen.1.next());
    row.reason = Some(Reason::Restored);
    row.evidence = Evidence::default();
    match row.state {
        State::Active | State::Refreshing | State::Uncertain if row.credential.is_key() => {
            return Ok(give_up_restored(row));
        }
        State::Active | State::Refreshing | State::Uncertain => row.state = State::Uncertain,
        State::ReauthorizationRequired => {}
        State::Pending | State::Disconnected => return Ok(Step::to(row)),
    }
    Ok(Step::to(row)
        .noting(
            moment,
            None,
            Phase::Resolved,
            Some(LedgerOutcome::Uncertain),
        )
        .audited(
            AuditKind::Uncertain,
            "the row is older than what was seen before: put back from a backup",
        ))
}

#[cfg(test)]
mod tests {
    use super::super::begin::may_send;
    use super::super::scene::{Scene, id};
    use super::super::{Event, NewPair};
    use super::*;
    use crate::model::connection::{CredentialKind, Held, Verdict};
    use crate::secret::Secret;

    fn outcomes(step: &Step) -> Vec<LedgerOutcome> {
        step.ledger.iter().filter_map(|line| line.outcome).collect()
    }

    #[test]
    fn an_operator_may_present_again_after_the_deadline_or_give_up_at_once() {
        let mut scene = Scene::uncertain();
        assert_eq!(scene.take(&Event::Retry).unwrap_err(), Refused::Busy);
        let mut other = Scene::uncertain();
        let given_up = other.take(&Event::GiveUp).unwrap();
        assert_eq!(outcomes(&given_up), [LedgerOutcome::ResolvedApplied]);
        assert_eq!(other.row.reason, Some(Reason::AnswerLost));
        assert!(other.commit(1, false).is_ok());
        let retried = scene.at(745).take(&Event::Retry).unwrap();
        assert_eq!(outcomes(&retried), [LedgerOutcome::ResolvedNotApplied]);
        assert!(scene.begin(2).is_ok());
    }

    #[test]
    fn r14_a_restored_row_is_never_presented() {
        let mut scene = Scene::new();
        scene.restored(4);
        assert_eq!(scene.row.state, State::Uncertain);
        assert_eq!(scene.at(5000).begin(1).unwrap_err(), Refused::Busy);
        assert_eq!(scene.take(&Event::Retry).unwrap_err(), Refused::State);
        scene.take(&Event::GiveUpAnswer).unwrap();
        assert_eq!(scene.row.reason, Some(Reason::Restored));
    }

    #[test]
    fn r14_an_attempt_that_stands_in_a_restored_row_is_not_sent_and_its_end_changes_nothing() {
        let mut scene = Scene::new();
        scene.begin(1).unwrap();
        scene.restored(4);
        assert!(!scene.look(|row, moment| may_send(row, id(1), moment)));
        scene.close(1, Outcome::NotSent).unwrap();
        assert_eq!(scene.row.state, State::Uncertain);
        assert_eq!(scene.row.reason, Some(Reason::Restored));
    }

    #[test]
    fn r14_two_answers_decide_a_restored_row() {
        for (accepted, state) in [
            (true, State::Active),
            (false, State::ReauthorizationRequired),
        ] {
            let mut scene = Scene::new();
            scene.row.verdict = Verdict::Untried;
            scene.restored(4);
            scene.at(721).probed(accepted).unwrap();
            assert_eq!(scene.take(&Event::GiveUpAnswer).unwrap_err(), Refused::Busy);
            scene.at(726).probed(accepted).unwrap();
            assert_eq!(scene.row.state, state);
        }
    }

    #[test]
    fn r14_a_row_that_came_back_is_newer_than_all_that_was_seen_and_may_be_refreshed() {
        let mut scene = Scene::new();
        let seen = (Epoch(2), Generation(7));
        scene.take(&Event::Restored { seen }).unwrap();
        scene.at(721).probed(true).unwrap();
        scene.at(726).probed(true).unwrap();
        assert!((scene.row.epoch, scene.row.generation) > seen);
        assert_eq!(
            scene.take(&Event::Restored { seen }).unwrap_err(),
            Refused::State
        );
        scene.begin(1).unwrap();
        assert!(scene.commit(1, false).is_ok());
    }

    #[test]
    fn r14_who_has_seen_more_starts_the_asking_anew() {
        let mut scene = Scene::new();
        scene.restored(4);
        scene.at(721).probed(true).unwrap();
        scene.restored(9);
        scene.at(726).probed(true).unwrap();
        assert_eq!(scene.row.state, State::Uncertain);
        assert_eq!(scene.row.generation, Generation(10));
    }

    /// A row marked `restored` refuses `pair` until Pleo has accepted it.
    fn brings_back_once_verified(scene: &mut Scene, pair: NewPair) {
        let unverified = scene.take(&Event::Commit(Box::new(pair.clone())));
        assert_eq!(unverified.unwrap_err(), Refused::Unverified);
        let verified = NewPair {
            verified: true,
            ..pair
        };
        scene.take(&Event::Commit(Box::new(verified))).unwrap();
        assert_eq!((scene.row.state, scene.row.reason), (State::Active, None));
    }

    #[test]
    fn r14_a_newer_pair_brings_a_restored_row_back_once_pleo_accepts_it() {
        // Of the generation seen, of one that nobody has seen, and after the row was given up.
        for (generation, ended) in [(3, false), (4, false), (9, false), (3, true)] {
            let mut scene = Scene::new();
            scene.restored(4);
            if ended {
                scene.at(5000).take(&Event::GiveUpAnswer).unwrap();
            }
            let pair = NewPair {
                generation: Generation(generation),
                ..scene.pair(7)
            };
            brings_back_once_verified(&mut scene, pair);
            assert!(scene.row.generation > Generation(generation.max(5)));
        }
    }

    #[test]
    fn r14_a_pair_of_an_epoch_before_the_one_seen_stays_forgotten() {
        let mut scene = Scene::new();
        let pair = NewPair {
            verified: true,
            ..scene.pair(7)
        };
        let seen = (Epoch(1), Generation(0));
        scene.take(&Event::Restored { seen }).unwrap();
        let late = scene.take(&Event::Commit(Box::new(pair)));
        assert_eq!(late.unwrap_err(), Refused::OldEpoch);
    }

    #[test]
    fn r14_an_old_row_with_an_api_key_needs_a_person() {
        let mut scene = Scene::new();
        scene.row.credential = CredentialKind::StandaloneKey;
        scene.row.held = Held::Key(Secret::new("key"));
        scene.restored(4);
        assert_eq!(scene.row.state, State::ReauthorizationRequired);
        assert_eq!(scene.row.reason, Some(Reason::Restored));
        assert_eq!(scene.row.held, Held::Nothing);
    }

    #[test]
    fn r14_an_old_row_without_a_pair_counts_on_from_what_was_seen_and_takes_only_a_newer_pair() {
        let seen = (Epoch(1), Generation(9));
        for state in [State::Pending, State::Disconnected] {
            let mut scene = Scene::new();
            scene.row.state = state;
            scene.row.held = Held::Nothing;
            scene.take(&Event::Restored { seen }).unwrap();
            assert_eq!(scene.row.state, state);
            assert!((scene.row.epoch, scene.row.generation) > seen);
            let pair = NewPair {
                epoch: Epoch(1),
                generation: Generation(8),
                ..scene.pair(7)
            };
            brings_back_once_verified(&mut scene, pair);
        }
        let mut ended = Scene::new();
        ended
            .take(&Event::Restored {
                seen: (Epoch(0), Generation(1)),
            })
            .unwrap();
        ended.take(&Event::GiveUp).unwrap();
        ended.row.reason = Some(Reason::Revoked);
        ended.take(&Event::Restored { seen }).unwrap();
        assert_eq!(ended.row.state, State::ReauthorizationRequired);
        assert_eq!(ended.row.reason, Some(Reason::Restored));
    }
}
