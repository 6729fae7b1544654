//! The traces 9 to 16: epochs, backups, clocks, and waits that have to end.

use std::time::Duration;

use super::super::deeds::Deed;
use super::super::moves::{Move, Until};
use super::super::people::Act;
use super::super::process::{Consent, MAX_ATTEMPTS, Stage};
use super::super::properties::{BEFORE_DEADLINE, FORCED_TWICE, IN_THE_AIR, OUTAGE, RESTORED};
use super::super::time::Pace;
use super::{A, B, Walk};
use crate::model::connection::{Outcome, Reason, State, Verdict};

const REPLACE: Move = Move::Act(Act::Exchange { replaces: true });

#[test]
fn trace_09_an_attempt_of_the_old_epoch_is_in_the_air_during_a_new_consent() {
    let mut walk = Walk::apart(170);
    walk.does(A, &[Deed::Begin, Deed::Send])
        .acts(&[Act::Disconnect]);
    assert!(!walk.0.acts().contains(&Act::Consent(B)));
    // A tombstone that has forgotten its attempts lets the code be exchanged at once.
    let at_once = Consent {
        by: B,
        until: walk.0.real + Duration::from_mins(1),
        stage: Stage::Begun,
    };
    walk.otherwise(|world| world.consent = Some(at_once))
        .breaks(REPLACE, IN_THE_AIR);
    let mut pleo = walk.0.pleo.clone();
    let new = pleo.consent_again();
    pleo.refresh(walk.0.requests[0].token);
    assert!(!pleo.accepts(new));

    while !walk.0.acts().contains(&Act::Consent(B)) {
        walk.pass();
    }
    walk.acts(&[
        Act::Consent(B),
        Act::Exchange { replaces: true },
        Act::Offer,
    ])
    .does(
        B,
        &[Deed::Verify {
            is_right_company: true,
        }],
    )
    .survives();
}

#[test]
fn trace_10_a_restored_row_with_an_expired_token_is_not_presented() {
    let mut walk = Walk::apart(10);
    walk.succeeds(A).acts(&[Act::Restore]);
    let life_left = walk.0.now.until(walk.0.row.access().unwrap().expires_at);
    walk.0.pass(life_left, Pace::All);
    walk.nobody_begins()
        .presenting_breaks(B, RESTORED)
        .does(B, &[Deed::GiveUpAnswer]);
    assert_eq!(walk.0.row.state, State::ReauthorizationRequired);
    assert_eq!(walk.0.row.reason, Some(Reason::Restored));
}

#[test]
fn trace_11_a_persistent_401_does_not_burn_generations() {
    let mut walk = Walk::apart(170);
    walk.succeeds(A)
        .does(A, &[Deed::HearNoise, Deed::Force, Deed::Send]);
    let last = walk.0.requests.len() - 1;
    walk.go(Move::Refuse(last))
        .does(A, &[Deed::Receive, Deed::Close(Outcome::RefusedForNow)])
        .wait_for(B, Deed::BeginEarly);
    assert_eq!(walk.0.row.verdict, Verdict::Refused);
    assert!(!walk.0.deeds(B).contains(&Deed::Force));
    // Nobody remembers that it was forced.
    let mut forgetful = walk.otherwise(|world| world.row.attempts[0].forced = false);
    forgetful
        .does(B, &[Deed::Force])
        .breaks(Move::Do(B, Deed::Send), FORCED_TWICE);
}

#[test]
fn trace_12_a_step_of_the_wall_clock_makes_a_live_attempt_look_expired() {
    let mut walk = Walk::apart(10);
    walk.does(A, &[Deed::Begin, Deed::Send])
        .go(Move::Pass(Pace::StoreOnly, Until::Last))
        .nobody_begins()
        .presenting_breaks(B, BEFORE_DEADLINE);
    assert!(walk.0.now >= walk.0.row.attempts[0].adopt_until);
    assert!(!walk.0.deeds(B).contains(&Deed::TakeOver));
    walk.go(Move::Arrive(0))
        .does(A, &[Deed::Receive, Deed::Commit])
        .survives();
}

#[test]
fn trace_13_the_owner_crashes_elsewhere_two_refusals_then_expiry() {
    let mut walk = Walk::apart(60);
    walk.is_applied(A)
        .go(Move::Crash(A))
        .comes_to(B, Deed::TakeOver)
        .probes(B, 2)
        .nobody_begins();
    // Only a word from the owner, or knowing that it is dead, ends the wait.
    let mut waiting = walk.otherwise(|world| {
        let attempt = &mut world.row.attempts[0];
        attempt.adopt_until = attempt.adopt_until + Duration::from_hours(1000);
    });
    waiting.0.pass(Duration::from_hours(900), Pace::All);
    assert!(!waiting.0.deeds(B).contains(&Deed::GiveUpAnswer));
    walk.comes_to(B, Deed::GiveUpAnswer)
        .says_that_the_answer_is_lost();
}

#[test]
fn trace_14_the_access_token_was_dead_before_and_the_lost_refresh_was_not_applied() {
    let mut walk = Walk::apart(170);
    walk.0.first_dies = walk.0.real;
    walk.does(B, &[Deed::HearNoise])
        .does(A, &[Deed::Begin, Deed::Send])
        .go(Move::Drop(0))
        .is_unanswered(A);
    // The attempt does not say that the token was dead before.
    walk.otherwise(|world| world.row.attempts[0].oracle = true)
        .probes(B, 2)
        .wait_for(B, Deed::GiveUpAnswer)
        .breaks(Move::Do(B, Deed::GiveUpAnswer), OUTAGE);
    walk.wait_for(B, Deed::Begin).succeeds(B).survives();
}

#[test]
fn trace_15_a_close_that_comes_late_does_not_reactivate_the_row() {
    let mut walk = Walk::apart(170);
    walk.does(A, &[Deed::Begin, Deed::FailToSend, Deed::FailToClose])
        .comes_to(B, Deed::TakeOver)
        .probes(B, 2)
        .wait_for(B, Deed::Begin)
        .does(B, &[Deed::Begin, Deed::Send])
        .does(A, &[Deed::Close(Outcome::NotSent)])
        .nobody_begins()
        .presenting_breaks(A, BEFORE_DEADLINE);
    assert_eq!(walk.0.row.state, State::Refreshing);
    walk.go(Move::Arrive(0))
        .does(B, &[Deed::Receive, Deed::Commit])
        .survives();
}

#[test]
fn trace_16_a_long_store_outage_ends_after_adoption_would() {
    let mut walk = Walk::apart(10);
    walk.is_applied(A)
        .does(A, &[Deed::Receive, Deed::FailToCommit])
        .go(Move::Pass(Pace::StoreAway, Until::Last))
        .nobody_begins()
        .presenting_is_fatal(B);
    assert!(walk.0.now >= walk.0.row.attempts[0].adopt_until);
    assert!(!walk.0.deeds(B).contains(&Deed::TakeOver));
    // Past by the store's clock alone: B takes over, and presents as soon as back-off allows.
    walk.otherwise(|world| world.processes[B].watched = [u16::MAX; MAX_ATTEMPTS])
        .does(B, &[Deed::TakeOver])
        .wait_for(B, Deed::Begin);
    walk.pass_without_begin(Duration::from_secs(140))
        .does(A, &[Deed::Commit])
        .survives();
}
