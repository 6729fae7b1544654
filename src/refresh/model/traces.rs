//! The sixteen traces that broke earlier wordings of the rules (docs/refresh.md), each walked step by step and survived.

use super::deeds::{Deed, Heard};
use super::faults::Budget;
use super::moves::{Move, Until};
use super::time::Pace;
use super::world::{GRACE, Start, World};
use crate::model::connection::{Outcome, Reason, State, Verdict};
use crate::refresh::next::{Next, may_send, next};
use crate::refresh::scene::{Scene, id};
use crate::refresh::{Event, Refused};
use std::time::Duration;

const A: usize = 0;
const B: usize = 1;

/// A walk through one world. Every step must be one that the search would offer too.
struct Walk(World);

impl Walk {
    /// Two processes, the access token of the row lives for so many seconds.
    fn new(life_left: u64, together: bool) -> Self {
        Self(World::new(Start {
            life_left,
            verdict: Verdict::Accepted,
            together,
            most_attempts: 4,
            dawdles: true,
            budget: Budget::one_of_each(9),
        }))
    }

    fn go(&mut self, what: Move) -> &mut Self {
        let offered = self.0.moves();
        assert!(offered.contains(&what), "{what:?} is not in {offered:?}");
        self.0.make(what).unwrap();
        self
    }

    fn does(&mut self, p: usize, deeds: &[Deed]) -> &mut Self {
        for deed in deeds {
            self.go(Move::Do(p, *deed));
        }
        self
    }

    fn pass(&mut self) -> &mut Self {
        self.go(Move::Pass(Pace::All, Until::Next))
    }

    /// Lets time pass until this process may do that.
    fn wait_for(&mut self, p: usize, deed: Deed) -> &mut Self {
        while !self.0.deeds(p).contains(&deed) {
            self.pass();
        }
        self
    }

    /// Lets time pass; until then nobody begins an attempt.
    fn pass_without_begin(&mut self, until: Duration) -> &mut Self {
        let end = self.0.real + until;
        while self.0.real < end && !self.0.spans().is_empty() {
            self.nobody_begins();
            self.pass();
        }
        self
    }

    fn nobody_begins(&mut self) -> &mut Self {
        for p in [A, B] {
            assert!(!self.0.deeds(p).contains(&Deed::Begin), "{:#?}", self.0.row);
        }
        self
    }

    /// Sent, nothing heard: closed without a pair.
    fn is_unanswered(&mut self, p: usize) -> &mut Self {
        self.does(p, &[Deed::HearFalseAnswer, Deed::Close(Outcome::NoPair)])
    }

    /// Begun, sent and answered with a pair that is durable then.
    fn succeeds(&mut self, p: usize) -> &mut Self {
        self.does(p, &[Deed::Begin, Deed::Send]);
        let last = self.0.requests.len() - 1;
        self.go(Move::Arrive(last))
            .does(p, &[Deed::Receive, Deed::Commit])
    }

    /// The connection lives with a pair that Pleo stands by.
    fn survives(&self) {
        assert_eq!(self.0.row.state, State::Active);
        assert_eq!(self.0.row.generation.0, 1);
        assert!(self.0.pleo.accepts(1));
        assert_eq!(self.0.loss, None);
    }

    /// The answer was lost, nothing was presented again, and that is what is said.
    fn says_that_the_answer_is_lost(&self) {
        assert_eq!(self.0.row.state, State::ReauthorizationRequired);
        assert_eq!(self.0.row.reason, Some(Reason::AnswerLost));
        assert!(!self.0.pleo.ended);
        assert_eq!(self.0.begun, 1);
    }
}

const PROBE: Deed = Deed::Probe(Heard::Truth);

#[test]
fn trace_01_a_holds_the_answer_its_commit_stalls_and_the_token_expires() {
    let mut walk = Walk::new(60, false);
    walk.does(A, &[Deed::Begin, Deed::Send])
        .go(Move::Arrive(0))
        .does(A, &[Deed::Receive, Deed::FailToCommit])
        .wait_for(B, Deed::TakeOver)
        .does(B, &[Deed::TakeOver])
        .pass_without_begin(Duration::from_secs(100));
    assert!(walk.0.real > walk.0.first_dies);
    walk.does(A, &[Deed::Commit]).survives();
}

#[test]
fn trace_02_a_sees_a_refusal_then_the_token_expires() {
    let mut walk = Walk::new(60, false);
    walk.does(A, &[Deed::Begin, Deed::Send])
        .go(Move::ArriveUnheard(0))
        .is_unanswered(A)
        .wait_for(A, PROBE)
        .does(A, &[PROBE])
        .wait_for(B, PROBE)
        .pass_without_begin(Duration::from_secs(110));
    assert!(walk.0.real > walk.0.first_dies);
    assert!(walk.0.row.evidence.refused_at.is_some());
}

#[test]
fn trace_03_a_freezes_before_sending_b_refreshes_a_thaws() {
    let mut walk = Walk::new(170, false);
    walk.does(A, &[Deed::Begin])
        .go(Move::Freeze(A))
        .wait_for(B, Deed::TakeOver)
        .does(B, &[Deed::TakeOver, PROBE])
        .wait_for(B, PROBE)
        .does(B, &[PROBE])
        .wait_for(B, Deed::Begin)
        .succeeds(B)
        .go(Move::Thaw(A));
    assert_eq!(walk.0.deeds(A), [Deed::StandBack]);
    walk.does(A, &[Deed::StandBack, Deed::Close(Outcome::NotSent)])
        .survives();
}

#[test]
fn trace_04_an_edge_answers_503_and_the_request_is_applied_late() {
    let mut walk = Walk::new(170, false);
    walk.does(A, &[Deed::Begin, Deed::Send]).is_unanswered(A);
    walk.nobody_begins()
        .pass()
        .nobody_begins()
        .go(Move::Arrive(0))
        .wait_for(B, PROBE)
        .does(B, &[PROBE])
        .wait_for(B, PROBE)
        .does(B, &[PROBE])
        .nobody_begins()
        .wait_for(B, Deed::GiveUpAnswer)
        .does(B, &[Deed::GiveUpAnswer])
        .says_that_the_answer_is_lost();
}

#[test]
fn trace_05_a_is_unanswered_b_not_sent_and_a_brings_its_pair() {
    let mut walk = Walk::new(10, false);
    walk.does(A, &[Deed::Begin, Deed::Send])
        .go(Move::Arrive(0))
        .go(Move::Freeze(A))
        .wait_for(B, Deed::TakeOver)
        .does(B, &[Deed::TakeOver])
        .wait_for(B, Deed::Begin);
    let request = &walk.0.requests[0];
    assert!(walk.0.real >= request.deadline + GRACE);
    walk.does(
        B,
        &[Deed::Begin, Deed::FailToSend, Deed::Close(Outcome::NotSent)],
    )
    .go(Move::Thaw(A))
    .does(A, &[Deed::Receive, Deed::Commit])
    .survives();
}

#[test]
fn trace_06_the_cli_salvages_and_dies_beside_serve() {
    let mut walk = Walk::new(10, true);
    walk.does(A, &[Deed::Begin, Deed::Send])
        .go(Move::Arrive(0))
        .does(A, &[Deed::Receive, Deed::FailToCommit])
        .go(Move::Crash(A))
        .pass();
    assert_eq!(walk.0.deeds(B), [Deed::Drain(0)]);
    walk.does(B, &[Deed::Drain(0)]).survives();
}

#[test]
fn trace_07_one_unrelated_401_after_a_refresh_that_was_never_applied() {
    let mut walk = Walk::new(170, false);
    walk.does(A, &[Deed::Begin, Deed::Send])
        .go(Move::Drop(0))
        .is_unanswered(A)
        .wait_for(A, PROBE)
        .does(A, &[Deed::Probe(Heard::Noise)])
        .wait_for(A, PROBE)
        .does(A, &[PROBE]);
    assert_eq!(walk.0.row.evidence.refused_at, None);
    walk.wait_for(B, PROBE)
        .does(B, &[PROBE])
        .wait_for(B, Deed::Begin)
        .succeeds(B)
        .survives();
}

#[test]
fn trace_08_a_stale_cache_accepts_the_dead_token() {
    let mut walk = Walk::new(170, false);
    walk.does(A, &[Deed::Begin, Deed::Send])
        .go(Move::ArriveUnheard(0))
        .is_unanswered(A)
        .wait_for(A, PROBE)
        .does(A, &[PROBE])
        .wait_for(B, PROBE)
        .does(B, &[Deed::Probe(Heard::StaleCache)])
        .nobody_begins()
        .wait_for(B, PROBE)
        .does(B, &[PROBE])
        .wait_for(B, PROBE)
        .does(B, &[PROBE])
        .nobody_begins()
        .wait_for(B, Deed::GiveUpAnswer)
        .does(B, &[Deed::GiveUpAnswer])
        .says_that_the_answer_is_lost();
}

#[test]
fn trace_09_an_attempt_of_the_old_epoch_is_in_the_air_during_a_new_consent() {
    let mut scene = Scene::new();
    scene.begin(1).unwrap();
    let pair = scene.pair(1);
    scene.take(&Event::Disconnect).unwrap();
    let consent = |scene: &mut Scene| {
        let until = scene.now + Duration::from_mins(1);
        scene.take(&Event::BeginConsent { until })
    };
    assert_eq!(consent(scene.at(744)).unwrap_err(), Refused::Busy);
    assert!(!scene.look(|row, moment| may_send(row, id(1), moment)));
    consent(scene.at(745)).unwrap();
    let late = scene.take(&Event::Commit(Box::new(pair)));
    assert_eq!(late.unwrap_err(), Refused::OldEpoch);
}

#[test]
fn trace_10_a_restored_row_with_an_expired_token_is_not_presented() {
    let mut scene = Scene::new();
    let seen = (scene.row.epoch, scene.row.generation.next());
    scene.at(5000).take(&Event::Restored { seen }).unwrap();
    assert_eq!(scene.begin(1).unwrap_err(), Refused::Busy);
    assert_eq!(scene.look(next), Next::GiveUpAnswer);
    scene.take(&Event::GiveUpAnswer).unwrap();
    assert_eq!(scene.row.reason, Some(Reason::Restored));
}

#[test]
fn trace_11_a_persistent_401_does_not_burn_generations() {
    let mut scene = Scene::new();
    scene.at(100).probed(true).unwrap();
    assert_eq!(
        scene.look(next).clone(),
        Next::Rest(Some(scene.at(720).now))
    );
    scene.at(101).force(1).unwrap();
    scene.close(1, Outcome::NoPair).unwrap();
    assert_eq!(scene.at(130).force(2).unwrap_err(), Refused::AlreadyForced);
    scene.probed(true).unwrap();
    scene.at(136).probed(true).unwrap();
    assert_eq!(scene.force(2).unwrap_err(), Refused::AlreadyForced);
}

#[test]
fn trace_12_a_step_of_the_wall_clock_makes_a_live_attempt_look_expired() {
    let mut walk = Walk::new(10, false);
    walk.does(A, &[Deed::Begin, Deed::Send])
        .go(Move::Pass(Pace::StoreOnly, Until::Last))
        .nobody_begins();
    assert!(walk.0.now >= walk.0.row.attempts[0].adopt_until);
    assert!(!walk.0.deeds(B).contains(&Deed::TakeOver));
    walk.go(Move::Arrive(0))
        .does(A, &[Deed::Receive, Deed::Commit])
        .survives();
}

#[test]
fn trace_13_the_owner_crashes_elsewhere_two_refusals_then_expiry() {
    let mut walk = Walk::new(60, false);
    walk.does(A, &[Deed::Begin, Deed::Send])
        .go(Move::Arrive(0))
        .go(Move::Crash(A))
        .wait_for(B, Deed::TakeOver)
        .does(B, &[Deed::TakeOver, PROBE])
        .wait_for(B, PROBE)
        .does(B, &[PROBE])
        .nobody_begins()
        .wait_for(B, Deed::GiveUpAnswer)
        .does(B, &[Deed::GiveUpAnswer])
        .says_that_the_answer_is_lost();
}

#[test]
fn trace_14_the_access_token_was_dead_before_and_the_lost_refresh_was_not_applied() {
    let mut walk = Walk::new(170, false);
    walk.0.first_dies = walk.0.real;
    walk.does(B, &[Deed::HearNoise])
        .does(A, &[Deed::Begin, Deed::Send])
        .go(Move::Drop(0))
        .is_unanswered(A)
        .wait_for(B, Deed::Begin)
        .succeeds(B)
        .survives();
}

#[test]
fn trace_15_a_close_that_comes_late_does_not_reactivate_the_row() {
    let mut walk = Walk::new(170, false);
    walk.does(A, &[Deed::Begin, Deed::FailToSend, Deed::FailToClose])
        .wait_for(B, Deed::TakeOver)
        .does(B, &[Deed::TakeOver, PROBE])
        .wait_for(B, PROBE)
        .does(B, &[PROBE])
        .wait_for(B, Deed::Begin)
        .does(B, &[Deed::Begin, Deed::Send])
        .does(A, &[Deed::Close(Outcome::NotSent)])
        .nobody_begins();
    assert_eq!(walk.0.row.state, State::Refreshing);
    walk.go(Move::Arrive(0))
        .does(B, &[Deed::Receive, Deed::Commit])
        .survives();
}

#[test]
fn trace_16_a_long_store_outage_ends_after_adoption_would() {
    let mut walk = Walk::new(10, false);
    walk.does(A, &[Deed::Begin, Deed::Send])
        .go(Move::Arrive(0))
        .does(A, &[Deed::Receive, Deed::FailToCommit])
        .go(Move::Pass(Pace::StoreAway, Until::Last))
        .nobody_begins();
    assert!(walk.0.now >= walk.0.row.attempts[0].adopt_until);
    assert!(!walk.0.deeds(B).contains(&Deed::TakeOver));
    walk.pass_without_begin(Duration::from_secs(140))
        .does(A, &[Deed::Commit])
        .survives();
}
