//! Putting a pair into its row: from the answer, late, or from salvage (R3, R6).

use super::close::can_have_been_applied;
use super::{Moment, NewPair, PairSource, Refused, Step};
use crate::model::connection::{
    Attempt, Connection, CredentialKind, Evidence, Held, Outcome, Reason, State, Verdict,
};
use crate::model::ledger::{AuditKind, LedgerOutcome, Phase};

pub(super) fn commit(
    row: &Connection,
    pair: &NewPair,
    moment: &Moment<'_>,
) -> Result<Step, Refused> {
    may_commit(row, pair, moment)?;
    let late = row.state != State::Refreshing
        || row
            .attempts
            .last()
            .is_none_or(|current| current.id != pair.attempt);
    let refresh = match (&pair.refresh, row.refresh_token()) {
        (Some(new), _) => new.clone(),
        (None, Some(old)) => old.clone(),
        (None, None) => return Err(Refused::State),
    };
    let mut row = row.clone();
    if row.reason == Some(Reason::Restored)
        && (row.state == State::Disconnected || row.credential.is_key())
    {
        // What the row says was true of another authorisation than the pair's.
        (row.company, row.scopes) = (None, None);
    }
    row.credential = CredentialKind::Oauth;
    // Of a restored row the pair may be the older or the newer one by its number.
    row.generation = row.generation.max(pair.generation).next();
    row.state = State::Active;
    row.reason = None;
    row.held = Held::Pair {
        access: Some(pair.access.clone()),
        refresh,
    };
    row.verdict = if pair.verified {
        Verdict::Accepted
    } else {
        Verdict::Untried
    };
    row.attempts.clear();
    row.evidence = Evidence::default();
    row.next_try_at = None;
    row.failures = 0;
    row.refreshed_at = Some(moment.now);
    if let Some(scopes) = &pair.scopes {
        row.scopes = Some(scopes.clone());
    }
    let outcome = match (pair.source, late) {
        (PairSource::Salvage, _) => LedgerOutcome::Salvaged,
        (PairSource::Answer, true) => LedgerOutcome::Adopted,
        (PairSource::Answer, false) => LedgerOutcome::Ok,
    };
    let words = format!("generation {}", row.generation.0);
    Ok(Step::to(row)
        .noting(moment, Some(pair.attempt), Phase::Committed, Some(outcome))
        .audited(AuditKind::Refreshed, words))
}

fn may_commit(row: &Connection, pair: &NewPair, moment: &Moment<'_>) -> Result<(), Refused> {
    if row.epoch != pair.epoch {
        return Err(Refused::OldEpoch);
    }
    if row.reason == Some(Reason::Restored) {
        // Its attempts and its number are not those of the pair's time: only Pleo can tell what the pair is worth (R14).
        return pair.verified.then_some(()).ok_or(Refused::Unverified);
    }
    if row.generation != pair.generation {
        return Err(Refused::Superseded);
    }
    match (row.state, row.reason) {
        (State::Active | State::Refreshing | State::Uncertain, _)
        | (State::ReauthorizationRequired, Some(Reason::AnswerLost)) => {}
        (State::ReauthorizationRequired, _) => return Err(Refused::Superseded),
        (State::Pending | State::Disconnected, _) => return Err(Refused::OldEpoch),
    }
    let place = row.attempts.iter().position(|a| a.id == pair.attempt);
    match place {
        Some(place) => others_allow(row, place, pair.verified, moment),
        None => Err(Refused::Superseded),
    }
}

/// R6: a pair may be committed as long as no later attempt can have been sent. It waits for one that is open, as long
/// as its owner may come back. Where one was sent, or Pleo refused any, introspection has to accept the pair first.
fn others_allow(
    row: &Connection,
    place: usize,
    verified: bool,
    moment: &Moment<'_>,
) -> Result<(), Refused> {
    let later = &row.attempts[place + 1..];
    let may_still_end_it = |a: &Attempt| match a.outcome {
        None => !moment.is_abandoned(a),
        // Pleo may come to it until its deadline: only then its word on the pair holds, and a consent need not wait (R13).
        Some(Outcome::NoPair) => !moment.is_past(a.deadline, a),
        Some(_) => false,
    };
    if later.iter().any(may_still_end_it) {
        return Err(Refused::Busy);
    }
    let sent_later = later
        .iter()
        .any(|a| can_have_been_applied(a) || a.outcome == Some(Outcome::NotApplied));
    let refused = row
        .attempts
        .iter()
        .any(|a| a.outcome == Some(Outcome::Rejected));
    if (sent_later || refused) && !verified {
        Err(Refused::Unverified)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Event;
    use super::super::scene::{Scene, at, id};
    use super::*;
    use crate::model::ids::Generation;

    /// Attempt 1 is silent past everything, attempt 2 was begun by another process.
    fn two() -> Scene {
        let mut scene = Scene::new();
        scene.at(895).begin(1).unwrap();
        scene.at(1040).by("q").take(&Event::Overdue).unwrap();
        scene.at(1042).begin(2).unwrap();
        scene
    }

    fn outcome_of(step: &Step) -> Option<LedgerOutcome> {
        step.ledger[0].outcome
    }

    #[test]
    fn r3_a_pair_makes_the_next_generation_and_forgets_the_attempts() {
        let mut scene = Scene::new();
        scene.begin(1).unwrap();
        let step = scene.commit(1, false).unwrap();
        assert_eq!(outcome_of(&step), Some(LedgerOutcome::Ok));
        assert_eq!(scene.row.generation, Generation(1));
        assert_eq!(scene.row.state, State::Active);
        assert_eq!(scene.row.verdict, Verdict::Untried);
        assert!(scene.row.attempts.is_empty());
        assert_eq!(scene.row.refresh_token().unwrap().expose(), "refresh-1");
    }

    #[test]
    fn an_answer_without_a_refresh_token_keeps_the_old_one() {
        let mut scene = Scene::new();
        scene.begin(1).unwrap();
        let pair = NewPair {
            refresh: None,
            ..scene.pair(1)
        };
        scene.take(&Event::Commit(Box::new(pair))).unwrap();
        assert_eq!(scene.row.refresh_token().unwrap().expose(), "refresh-0");
    }

    #[test]
    fn r6_a_late_answer_is_adopted_from_uncertain_and_from_answer_lost() {
        let mut scene = Scene::new();
        scene.begin(1).unwrap();
        scene.at(745).by("q").take(&Event::Overdue).unwrap();
        scene.at(746).probed(false).unwrap();
        scene.at(752).probed(false).unwrap();
        let mut uncertain = Scene::new();
        uncertain.row = scene.row.clone();
        let step = uncertain.at(760).commit(1, false).unwrap();
        assert_eq!(outcome_of(&step), Some(LedgerOutcome::Adopted));

        scene.at(865).take(&Event::GiveUpAnswer).unwrap();
        assert_eq!(scene.row.reason, Some(Reason::AnswerLost));
        let mut salvage = scene.pair(1);
        salvage.source = PairSource::Salvage;
        let step = scene.take(&Event::Commit(Box::new(salvage))).unwrap();
        assert_eq!(outcome_of(&step), Some(LedgerOutcome::Salvaged));
        assert_eq!(scene.row.state, State::Active);
        assert_eq!(scene.row.reason, None);
    }

    #[test]
    fn r6_a_pair_waits_for_a_later_attempt_that_is_open() {
        let mut scene = two();
        scene.knows(true, 0);
        assert_eq!(scene.at(1066).commit(1, true).unwrap_err(), Refused::Busy);
        scene.knows(false, 0);
        assert_eq!(scene.commit(1, true).unwrap_err(), Refused::Busy);
        scene.close(2, Outcome::NoPair).unwrap();
        assert_eq!(scene.commit(1, true).unwrap_err(), Refused::Busy);
        scene.at(1067).knows(false, 25);
        assert_eq!(scene.commit(1, false).unwrap_err(), Refused::Unverified);
        assert!(scene.commit(1, true).is_ok());
    }

    #[test]
    fn r6_a_pair_does_not_wait_for_ever_for_a_later_attempt_whose_owner_is_gone() {
        let mut scene = two();
        scene.at(1187);
        assert_eq!(scene.commit(1, false).unwrap_err(), Refused::Unverified);
        assert!(scene.commit(1, true).is_ok());
    }

    #[test]
    fn r6_a_later_attempt_that_was_not_sent_is_no_obstacle() {
        let mut scene = two();
        scene.close(2, Outcome::NotSent).unwrap();
        assert!(scene.commit(1, false).is_ok());
    }

    #[test]
    fn a_pair_is_verified_where_pleo_refused_another_attempt() {
        let mut scene = two();
        scene.by("p").close(1, Outcome::Rejected).unwrap();
        assert_eq!(scene.commit(2, false).unwrap_err(), Refused::Unverified);
        assert!(scene.commit(2, true).is_ok());
    }

    #[test]
    fn r13_a_pair_of_an_old_epoch_is_forgotten() {
        let mut scene = Scene::new();
        scene.begin(1).unwrap();
        let pair = scene.pair(1);
        scene.take(&Event::Disconnect).unwrap();
        assert_eq!(
            scene.take(&Event::Commit(Box::new(pair))).unwrap_err(),
            Refused::OldEpoch
        );
        assert_eq!(scene.row.attempts[0].id, id(1));
        assert!(scene.at(9000).begin(2).is_err());
    }

    #[test]
    fn a_pair_for_an_older_generation_is_superseded() {
        let mut scene = Scene::new();
        scene.begin(1).unwrap();
        let pair = scene.pair(1);
        scene.commit(1, false).unwrap();
        let again = scene.take(&Event::Commit(Box::new(pair)));
        assert_eq!(again.unwrap_err(), Refused::Superseded);
        assert_eq!(scene.row.refreshed_at, Some(at(720)));
    }
}
