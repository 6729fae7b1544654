//! Closing an attempt that brought no pair (R4), by its owner; and taking it over when the owner is silent (R2).

use super::policy::Policy;
use super::{Moment, Refused, Step};
use crate::clock::Timestamp;
use crate::model::connection::{
    Attempt, Connection, Evidence, Held, Outcome, Reason, State, Verdict,
};
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
    may_close(attempt, outcome, moment)?;
    attempt.outcome = Some(outcome);
    if is_current {
        row.failures = row.failures.saturating_add(1);
        row.next_try_at = Some(Policy::next_try(row.failures, id, retry_at, moment.now));
    }
    let had_ended = row.state == State::ReauthorizationRequired;
    settle(&mut row, is_current);
    let ended = !had_ended && row.state == State::ReauthorizationRequired;
    let (phase, noted) = words(outcome);
    let mut step = Step::to(row).noting(moment, Some(id), phase, Some(noted));
    if outcome == Outcome::NoPair {
        step = step.audited(
            AuditKind::Uncertain,
            "a refresh was sent, its outcome is not known",
        );
    }
    if outcome == Outcome::Rejected {
        step = step.audited(AuditKind::Rejected, "Pleo refused the refresh token");
    }
    if ended {
        step = step.audited(
            AuditKind::ReauthorizationRequired,
            "a person has to consent again",
        );
    }
    Ok(step)
}

/// Only the owner closes, once. A rejection is written even over "not applied": it must not be forgotten (R12).
fn may_close(attempt: &Attempt, outcome: Outcome, moment: &Moment<'_>) -> Result<(), Refused> {
    if &attempt.owner != moment.by || outcome == Outcome::NotApplied {
        return Err(Refused::State);
    }
    match attempt.outcome {
        None => Ok(()),
        Some(Outcome::NotApplied) if outcome == Outcome::Rejected => Ok(()),
        Some(_) => Err(Refused::Superseded),
    }
}

pub(super) fn overdue(row: &Connection, moment: &Moment<'_>) -> Result<Step, Refused> {
    let current = row.current().ok_or(Refused::State)?;
    if row.state != State::Refreshing || !moment.is_past(current.deadline, current) {
        return Err(Refused::Busy);
    }
    let id = current.id;
    let mut row = row.clone();
    row.failures = row.failures.saturating_add(1);
    row.next_try_at = Some(Policy::next_try(row.failures, id, None, moment.now));
    settle(&mut row, true);
    let ended = row.state == State::ReauthorizationRequired;
    let step = Step::to(row)
        .noting(
            moment,
            Some(id),
            Phase::Begun,
            Some(LedgerOutcome::Uncertain),
        )
        .audited(AuditKind::Uncertain, "the owner of a refresh fell silent");
    Ok(if ended {
        step.audited(
            AuditKind::ReauthorizationRequired,
            "a person has to consent again",
        )
    } else {
        step
    })
}

/// Where the row stands after one of its attempts was closed or taken over. A refresh under way goes on undisturbed by
/// what becomes of the attempts before it; it is undecided as long as any attempt can have been applied.
fn settle(row: &mut Connection, is_current: bool) {
    let moves = match row.state {
        State::Refreshing => is_current,
        State::Uncertain | State::Active => true,
        State::Pending | State::ReauthorizationRequired | State::Disconnected => false,
    };
    if !moves {
        return;
    }
    if row
        .attempts
        .iter()
        .any(|a| a.outcome == Some(Outcome::Rejected))
    {
        let reason = reason_of_rejection(row);
        end(row, reason);
    } else if row.reason == Some(Reason::Restored) || row.attempts.iter().any(can_have_been_applied)
    {
        row.state = State::Uncertain;
    } else {
        if row.evidence.refused_at.is_some() {
            row.verdict = Verdict::Refused;
        }
        row.state = State::Active;
        row.evidence = Evidence::default();
    }
}

/// The authorisation is over. The attempts stay: an answer that comes late is still recognised by them (R6).
pub(super) fn end(row: &mut Connection, reason: Reason) {
    row.state = State::ReauthorizationRequired;
    row.reason = Some(reason);
    row.held = Held::Nothing;
    row.next_try_at = None;
}

/// R4: revoked, unless another attempt of the generation was sent and not refused: then it may have taken the token.
/// "Not applied" by evidence counts as sent here, for evidence can err and the answer may still come.
fn reason_of_rejection(row: &Connection) -> Reason {
    let others_sent = row
        .attempts
        .iter()
        .any(|a| can_have_been_applied(a) || a.outcome == Some(Outcome::NotApplied));
    match row.reason {
        Some(Reason::Restored) => Reason::Restored,
        _ if others_sent => Reason::AnswerLost,
        _ => Reason::Revoked,
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

#[cfg(test)]
mod tests {
    use super::super::scene::{Scene, at, id};
    use super::super::{Event, Refused};
    use super::*;

    fn begun() -> Scene {
        let mut scene = Scene::new();
        scene.begin(1).unwrap();
        scene
    }

    #[test]
    fn r4_each_outcome_leads_to_its_state() {
        for (outcome, state) in [
            (Outcome::NotSent, State::Active),
            (Outcome::RefusedForNow, State::Active),
            (Outcome::ClientRejected, State::Active),
            (Outcome::NoPair, State::Uncertain),
            (Outcome::Rejected, State::ReauthorizationRequired),
        ] {
            let mut scene = begun();
            scene.close(1, outcome).unwrap();
            assert_eq!(scene.row.state, state, "{outcome:?}");
        }
    }

    #[test]
    fn r4_a_rejection_ends_the_authorisation_and_discards_the_tokens() {
        let mut scene = begun();
        let step = scene.close(1, Outcome::Rejected).unwrap();
        assert_eq!(scene.row.reason, Some(Reason::Revoked));
        assert_eq!(scene.row.held, Held::Nothing);
        assert_eq!(step.ledger.len(), 1);
        assert_eq!(step.audit.len(), 2);
    }

    #[test]
    fn r4_a_rejection_after_an_unanswered_attempt_is_a_lost_answer() {
        let mut scene = Scene::new();
        scene.at(895).begin(1).unwrap();
        scene.close(1, Outcome::NoPair).unwrap();
        scene.at(930).begin(2).unwrap();
        scene.close(2, Outcome::Rejected).unwrap();
        assert_eq!(scene.row.reason, Some(Reason::AnswerLost));
    }

    #[test]
    fn r4_only_the_owner_closes_and_only_once() {
        let mut scene = begun();
        assert_eq!(
            scene.by("q").close(1, Outcome::NotSent).unwrap_err(),
            Refused::State
        );
        scene.by("p").close(1, Outcome::NoPair).unwrap();
        assert_eq!(
            scene.close(1, Outcome::NotSent).unwrap_err(),
            Refused::Superseded
        );
    }

    #[test]
    fn r4_retry_after_is_obeyed() {
        let mut scene = begun();
        scene
            .take(&Event::Close {
                attempt: id(1),
                outcome: Outcome::RefusedForNow,
                retry_at: Some(at(780)),
            })
            .unwrap();
        assert_eq!(scene.row.next_try_at, Some(at(780)));
    }

    #[test]
    fn r2_a_silent_owner_is_taken_over_only_past_its_deadline() {
        let mut scene = begun();
        scene.by("q");
        assert_eq!(
            scene.at(744).take(&Event::Overdue).unwrap_err(),
            Refused::Busy
        );
        scene.knows(false, 24);
        assert_eq!(
            scene.at(746).take(&Event::Overdue).unwrap_err(),
            Refused::Busy
        );
        scene.knows(true, 0);
        scene.take(&Event::Overdue).unwrap();
        assert_eq!(scene.row.state, State::Uncertain);
        assert!(scene.row.current().unwrap().outcome.is_none());
    }

    #[test]
    fn r5_a_late_close_does_not_erase_the_evidence() {
        let mut scene = begun();
        scene.at(745).by("q").take(&Event::Overdue).unwrap();
        scene.at(746).probed(false).unwrap();
        scene.at(752).probed(false).unwrap();
        scene.by("p").close(1, Outcome::NoPair).unwrap();
        assert!(scene.row.evidence.applied);
        assert_eq!(scene.at(5000).begin(2).unwrap_err(), Refused::Busy);
    }

    #[test]
    fn r4_a_late_close_is_recorded_and_leaves_the_attempt_under_way_alone() {
        let mut scene = Scene::new();
        scene.at(895).begin(1).unwrap();
        scene.at(1040).by("q").take(&Event::Overdue).unwrap();
        scene.at(1042).begin(2).unwrap();
        scene.by("p").close(1, Outcome::NoPair).unwrap();
        assert_eq!(scene.row.state, State::Refreshing);
        assert_eq!(scene.row.attempts[0].outcome, Some(Outcome::NoPair));
    }

    #[test]
    fn a_late_word_that_nothing_was_sent_ends_the_doubt() {
        let mut scene = begun();
        scene.at(745).by("q").take(&Event::Overdue).unwrap();
        scene.at(746).probed(false).unwrap();
        scene.by("p").close(1, Outcome::NotSent).unwrap();
        assert_eq!(scene.row.state, State::Active);
        assert_eq!(scene.row.verdict, Verdict::Refused);
    }

    #[test]
    fn r12_a_rejection_is_written_even_over_evidence() {
        let mut scene = begun();
        scene.at(745).by("q").take(&Event::Overdue).unwrap();
        scene.at(746).probed(true).unwrap();
        scene.at(752).probed(true).unwrap();
        assert_eq!(scene.row.state, State::Active);
        scene.by("p").close(1, Outcome::Rejected).unwrap();
        assert_eq!(scene.row.state, State::ReauthorizationRequired);
        assert_eq!(scene.row.reason, Some(Reason::Revoked));
    }

    #[test]
    fn r12_failures_are_remembered_until_a_pair_comes() {
        let mut scene = begun();
        scene.close(1, Outcome::NotSent).unwrap();
        scene.at(730).begin(2).unwrap();
        scene.close(2, Outcome::NotSent).unwrap();
        assert_eq!(scene.row.failures, 2);
        assert!(scene.row.next_try_at.is_some_and(|next| next > at(730)));
        scene.at(740).begin(3).unwrap();
        scene.commit(3, false).unwrap();
        assert_eq!((scene.row.failures, scene.row.next_try_at), (0, None));
    }
}
