//! Deciding an uncertain refresh by evidence (R5): the old access token dies the moment a refresh is applied.

use super::close::can_have_been_applied;
use super::policy::{EVIDENCE_APART, Policy};
use super::resolve::give_up_restored;
use super::{Moment, Refused, Step};
use crate::clock::Timestamp;
use crate::model::connection::{Attempt, Connection, Evidence, Outcome, Reason, State, Verdict};
use crate::model::ids::{Epoch, Generation};
use crate::model::ledger::{AuditKind, LedgerOutcome, Phase};

/// True while introspection with the access token held can still prove something.
pub(super) fn oracle_lives(row: &Connection, moment: &Moment<'_>) -> bool {
    let worthless = row.verdict == Verdict::Refused && !refusals_prove(row);
    !worthless
        && row
            .access()
            .is_some_and(|access| access.life_known && moment.now < Policy::oracle_until(access))
}

/// Refusals prove that an attempt was applied only if Pleo stood by the token before that attempt began (R5). Of a
/// restored row they say that it is too old, whatever was known before (R14).
fn refusals_prove(row: &Connection) -> bool {
    row.reason == Some(Reason::Restored)
        || row
            .attempts
            .iter()
            .any(|a| a.oracle && can_have_been_applied(a))
}

/// When the next question is worth asking; `None` if the oracle is gone.
pub(super) fn next_probe_at(row: &Connection, moment: &Moment<'_>) -> Option<Timestamp> {
    if !oracle_lives(row, moment) {
        return None;
    }
    let first = row.evidence.accepted_at.or(row.evidence.refused_at);
    let apart = first.map_or(moment.now, |at| at + EVIDENCE_APART);
    Some(
        row.attempts
            .iter()
            .map(|a| a.deadline)
            .fold(apart, Timestamp::max),
    )
}

/// True if a question sent then was sent after every attempt had passed its deadline (R5; R2 says what past is).
pub(super) fn is_after_deadlines(
    row: &Connection,
    sent_at: Timestamp,
    moment: &Moment<'_>,
) -> bool {
    row.attempts
        .iter()
        .all(|a| moment.was_past(a.deadline, a, sent_at))
}

pub(super) fn probed(
    row: &Connection,
    asked_with: (Epoch, Generation),
    sent_at: Timestamp,
    accepted: bool,
    moment: &Moment<'_>,
) -> Result<Step, Refused> {
    let access = row.access().ok_or(Refused::State)?;
    // A question about another pair, or older than the token held: one that was put back has the number of another.
    if (row.epoch, row.generation) != asked_with || sent_at < access.since {
        return Err(Refused::Superseded);
    }
    let in_life = sent_at < Policy::oracle_until(access);
    let mut new = row.clone();
    if accepted && row.verdict == Verdict::Untried {
        new.verdict = Verdict::Accepted;
    }
    if !accepted && in_life {
        note_early_refusal(&mut new, sent_at);
    }
    let is_evidence = row.state == State::Uncertain
        && !row.evidence.applied
        && in_life
        && is_after_deadlines(row, sent_at, moment);
    Ok(match (is_evidence, accepted) {
        (false, _) => Step::to(new),
        (true, true) => accept(new, sent_at, moment),
        (true, false) => refuse(new, sent_at, moment),
    })
}

/// A refusal from before anything was sent: the token was dead by itself, and its refusals prove nothing later.
fn note_early_refusal(row: &mut Connection, sent_at: Timestamp) {
    let sent = |a: &&mut Attempt| can_have_been_applied(a);
    if row
        .attempts
        .iter_mut()
        .filter(sent)
        .all(|a| sent_at < a.begun_at)
    {
        row.verdict = Verdict::Refused;
        for attempt in row.attempts.iter_mut().filter(sent) {
            attempt.oracle = false;
        }
    }
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
    let words = match row.reason {
        Some(Reason::Restored) => "Pleo stands by the pair of the old row",
        _ => "the refresh was not applied",
    };
    row.state = State::Active;
    row.reason = None;
    row.evidence = Evidence::default();
    row.verdict = Verdict::Accepted;
    Step::to(row)
        .noting(
            moment,
            resolved,
            Phase::Resolved,
            Some(LedgerOutcome::ResolvedNotApplied),
        )
        .audited(AuditKind::Resolved, words)
}

fn refuse(mut row: Connection, sent_at: Timestamp, moment: &Moment<'_>) -> Step {
    let first = row.evidence.refused_at.unwrap_or(sent_at);
    row.evidence = Evidence {
        accepted_at: None,
        refused_at: Some(first),
        applied: false,
    };
    if !refusals_prove(&row) {
        row.verdict = Verdict::Refused;
        return Step::to(row);
    }
    if sent_at < first + EVIDENCE_APART {
        return Step::to(row);
    }
    if row.reason == Some(Reason::Restored) {
        return give_up_restored(row).noting(
            moment,
            None,
            Phase::Resolved,
            Some(LedgerOutcome::ResolvedApplied),
        );
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

#[cfg(test)]
mod tests {
    use super::super::Event;
    use super::super::scene::{Scene, at};
    use super::*;

    #[test]
    fn r5_two_acceptances_five_seconds_apart_show_that_it_was_not_applied() {
        let mut scene = Scene::uncertain();
        scene.at(745).probed(true).unwrap();
        scene.at(749).probed(true).unwrap();
        assert_eq!(scene.row.state, State::Uncertain);
        scene.at(750).probed(true).unwrap();
        assert_eq!(scene.row.state, State::Active);
        assert_eq!(scene.row.attempts[0].outcome, Some(Outcome::NotApplied));
        assert!(scene.begin(2).is_ok());
    }

    #[test]
    fn r5_two_refusals_five_seconds_apart_prove_a_lost_answer_which_is_reported_once() {
        let mut scene = Scene::uncertain();
        scene.at(745).probed(false).unwrap();
        scene.at(749).probed(false).unwrap();
        assert!(!scene.row.evidence.applied);
        let proof = scene.at(750).probed(false).unwrap();
        assert!(scene.row.evidence.applied);
        let end = scene.take(&Event::GiveUpAnswer).unwrap();
        assert_eq!(scene.row.reason, Some(Reason::AnswerLost));
        let told = [&proof, &end].map(|s| s.ledger.len());
        assert_eq!(told, [1, 0]);
    }

    #[test]
    fn r5_proof_outranks_later_expiry() {
        let mut scene = Scene::uncertain();
        scene.at(745).probed(false).unwrap();
        scene.at(750).probed(false).unwrap();
        assert_eq!(scene.at(5000).begin(2).unwrap_err(), Refused::Busy);
        assert!(scene.at(5000).probed(true).is_ok());
        assert!(scene.row.evidence.applied);
    }

    #[test]
    fn r5_a_single_refusal_keeps_the_token_back_until_adoption_ends() {
        let mut scene = Scene::new();
        scene.at(840).begin(1).unwrap();
        scene.close(1, Outcome::NoPair).unwrap();
        scene.at(889).probed(false).unwrap();
        assert_eq!(scene.at(984).begin(2).unwrap_err(), Refused::Busy);
        assert!(scene.at(985).begin(2).is_ok());
    }

    #[test]
    fn r5_a_single_refusal_counts_without_an_oracle_too() {
        let mut scene = Scene::new();
        scene.row.verdict = Verdict::Untried;
        scene.begin(1).unwrap();
        scene.close(1, Outcome::NoPair).unwrap();
        scene.at(745).probed(false).unwrap();
        scene.at(760).probed(false).unwrap();
        assert!(!scene.row.evidence.applied);
        assert_eq!(scene.at(864).begin(2).unwrap_err(), Refused::Busy);
        assert!(scene.at(865).begin(2).is_ok());
    }

    #[test]
    fn r5_an_acceptance_between_refusals_starts_anew() {
        let mut scene = Scene::uncertain();
        scene.at(745).probed(false).unwrap();
        scene.at(748).probed(true).unwrap();
        scene.at(752).probed(false).unwrap();
        assert!(!scene.row.evidence.applied);
        assert_eq!(scene.row.evidence.refused_at, Some(at(752)));
    }

    #[test]
    fn r5_questions_asked_before_the_deadline_or_close_to_expiry_are_no_evidence() {
        let mut scene = Scene::uncertain();
        scene.at(744).probed(false).unwrap();
        scene.at(890).probed(false).unwrap();
        assert_eq!(scene.row.evidence, Evidence::default());
        scene.knows(false, 10);
        scene.at(800).probed(false).unwrap();
        assert_eq!(scene.row.evidence, Evidence::default());
    }

    #[test]
    fn r5_refusals_of_a_token_that_was_dead_before_prove_nothing() {
        let mut scene = Scene::new();
        scene.at(100).probed(false).unwrap();
        assert_eq!(scene.row.verdict, Verdict::Refused);
        scene.begin(1).unwrap();
        scene.close(1, Outcome::NoPair).unwrap();
        scene.at(145).probed(false).unwrap();
        scene.at(155).probed(false).unwrap();
        assert!(!scene.row.evidence.applied);
    }

    #[test]
    fn r5_a_refusal_asked_for_before_begin_counts_as_before() {
        let mut scene = Scene::new();
        scene.begin(1).unwrap();
        let early = Event::Probed {
            epoch: Epoch(0),
            generation: Generation(0),
            sent_at: at(719),
            accepted: false,
        };
        scene.take(&early).unwrap();
        assert!(!scene.row.attempts[0].oracle);
    }

    #[test]
    fn r5_the_proof_of_an_attempt_that_is_settled_does_not_serve_the_next() {
        let mut scene = Scene::uncertain();
        scene.at(745).probed(true).unwrap();
        scene.at(750).probed(true).unwrap();
        scene.at(751).probed(false).unwrap();
        scene.begin(2).unwrap();
        scene.close(2, Outcome::NoPair).unwrap();
        scene.at(776).probed(false).unwrap();
        scene.at(782).probed(false).unwrap();
        assert!(!scene.row.evidence.applied);
    }

    #[test]
    fn a_question_about_an_older_token_is_not_heard() {
        let mut scene = Scene::new();
        scene.begin(1).unwrap();
        scene.commit(1, false).unwrap();
        scene.row.generation = Generation(0);
        let old = |epoch, sent_at| Event::Probed {
            epoch: Epoch(epoch),
            generation: Generation(0),
            sent_at,
            accepted: false,
        };
        assert_eq!(
            scene.take(&old(0, at(719))).unwrap_err(),
            Refused::Superseded
        );
        // Asked with the pair before a consent, after the code that brought this one was sent: both are generation 0.
        scene.row.epoch = Epoch(1);
        assert_eq!(
            scene.take(&old(0, at(721))).unwrap_err(),
            Refused::Superseded
        );
        assert!(scene.take(&old(1, at(721))).is_ok());
    }
}
