//! The traces 1 to 8: answers that are late, lost or false, and evidence that errs.

use std::time::Duration;

use super::super::deeds::{Deed, Heard};
use super::super::moves::Move;
use super::super::pleo::{Answer, Token};
use super::super::properties::{AFTER_REFUSAL, AGAIN, BEFORE_DEADLINE, OUTAGE, THROWN_AWAY};
use super::super::world::GRACE;
use super::{A, B, PROBE, Walk};
use crate::model::connection::Outcome;

#[test]
fn trace_01_a_holds_the_answer_its_commit_stalls_and_the_token_expires() {
    let mut walk = Walk::apart(60);
    walk.is_applied(A)
        .does(A, &[Deed::Receive, Deed::FailToCommit])
        .comes_to(B, Deed::TakeOver)
        .presenting_breaks(B, AGAIN)
        .pass_without_begin(Duration::from_secs(100));
    assert!(walk.0.real > walk.0.first_dies);
    walk.presenting_is_fatal(B)
        .does(A, &[Deed::Commit])
        .survives();
}

#[test]
fn trace_02_a_sees_a_refusal_then_the_token_expires() {
    let mut walk = Walk::apart(60);
    walk.does(A, &[Deed::Begin, Deed::Send])
        .go(Move::ArriveUnheard(0))
        .is_unanswered(A)
        .probes(A, 1)
        .wait_for(B, PROBE)
        .presenting_breaks(B, AFTER_REFUSAL)
        .pass_without_begin(Duration::from_secs(110));
    assert!(walk.0.real > walk.0.first_dies);
    assert!(walk.0.row.evidence.refused_at.is_some());
}

#[test]
fn trace_03_a_freezes_before_sending_b_refreshes_a_thaws() {
    let mut walk = Walk::apart(170);
    walk.does(A, &[Deed::Begin])
        .go(Move::Freeze(A))
        .comes_to(B, Deed::TakeOver)
        .probes(B, 2)
        .wait_for(B, Deed::Begin)
        .succeeds(B)
        .go(Move::Thaw(A));
    let what_a_would_send = Token { grant: 0, pair: 0 };
    let mut pleo = walk.0.pleo.clone();
    assert_eq!(pleo.refresh(what_a_would_send), Answer::Rejected);
    assert_eq!(walk.0.deeds(A), [Deed::StandBack]);
    walk.does(A, &[Deed::StandBack, Deed::Close(Outcome::NotSent)])
        .survives();
}

#[test]
fn trace_04_an_edge_answers_503_and_the_request_is_applied_late() {
    let mut walk = Walk::apart(170);
    walk.does(A, &[Deed::Begin, Deed::Send])
        .is_unanswered(A)
        .nobody_begins()
        .presenting_breaks(B, BEFORE_DEADLINE)
        .pass()
        .nobody_begins()
        .go(Move::Arrive(0))
        .probes(B, 2)
        .nobody_begins()
        .presenting_breaks(B, AFTER_REFUSAL)
        .comes_to(B, Deed::GiveUpAnswer)
        .says_that_the_answer_is_lost();
}

#[test]
fn trace_05_a_is_unanswered_b_not_sent_and_a_brings_its_pair() {
    let mut walk = Walk::apart(10);
    walk.is_applied(A)
        .go(Move::Freeze(A))
        .comes_to(B, Deed::TakeOver)
        .wait_for(B, Deed::Begin);
    let request = &walk.0.requests[0];
    assert!(walk.0.real >= request.deadline + GRACE);
    walk.does(
        B,
        &[Deed::Begin, Deed::FailToSend, Deed::Close(Outcome::NotSent)],
    )
    .go(Move::Thaw(A))
    .does(A, &[Deed::Receive]);
    // Only the attempt that began last may bring a pair: A is turned away.
    walk.otherwise(|world| drop(world.row.attempts.remove(0)))
        .breaks(Move::Do(A, Deed::Commit), THROWN_AWAY);
    walk.does(A, &[Deed::Commit]).survives();
}

#[test]
fn trace_06_the_cli_salvages_and_dies_beside_serve() {
    let mut walk = Walk::new(10, &[0, 0]);
    walk.is_applied(A)
        .does(A, &[Deed::Receive, Deed::FailToCommit])
        .go(Move::Crash(A))
        .presenting_breaks(B, BEFORE_DEADLINE)
        .pass();
    assert_eq!(walk.0.deeds(B), [Deed::Drain(0)]);
    walk.presenting_breaks(B, AGAIN)
        .does(B, &[Deed::Drain(0)])
        .survives();
}

#[test]
fn trace_07_one_unrelated_401_after_a_refresh_that_was_never_applied() {
    let mut walk = Walk::apart(170);
    walk.does(A, &[Deed::Begin, Deed::Send])
        .go(Move::Drop(0))
        .is_unanswered(A)
        .wait_for(A, PROBE)
        .does(A, &[Deed::Probe(Heard::Noise)]);
    // One refusal is proof: the connection ends.
    walk.otherwise(|world| world.row.evidence.applied = true)
        .breaks(Move::Do(A, Deed::GiveUpAnswer), OUTAGE);
    walk.probes(A, 1);
    assert_eq!(walk.0.row.evidence.refused_at, None);
    walk.probes(B, 1)
        .wait_for(B, Deed::Begin)
        .succeeds(B)
        .survives();
}

#[test]
fn trace_08_a_stale_cache_accepts_the_dead_token() {
    let mut walk = Walk::apart(170);
    walk.does(A, &[Deed::Begin, Deed::Send])
        .go(Move::ArriveUnheard(0))
        .is_unanswered(A)
        .probes(A, 1)
        .wait_for(B, PROBE)
        .does(B, &[Deed::Probe(Heard::StaleCache)])
        .nobody_begins()
        // One acceptance is proof: the token is presented.
        .presenting_is_fatal(B)
        .probes(B, 2)
        .nobody_begins()
        .presenting_breaks(B, AFTER_REFUSAL)
        .comes_to(B, Deed::GiveUpAnswer)
        .says_that_the_answer_is_lost();
}
