//! A 401 from Pleo, judged by the generation of the token it was sent with (design.md R7).

use std::sync::atomic::Ordering;
use std::time::Duration;

use pleo_gateway::model::connection::State;
use pleo_gateway::tokens::bearer::Bearer;
use pleo_gateway::tokens::{ObtainError, Rejected};
use serde_json::json;
use tokio::time::sleep;

use super::bench::{Bench, Room, name, permit};

async fn bearer(room: &Room) -> Bearer {
    room.tokens.obtain(&permit("acme")).await.unwrap()
}

async fn rejected(room: &Room, bearer: &Bearer) -> Result<Rejected, ObtainError> {
    room.tokens.rejected(&permit("acme"), bearer).await
}

fn generation(answer: Result<Rejected, ObtainError>) -> u64 {
    match answer {
        Ok(Rejected::Replay(bearer)) => bearer.generation().0,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_was_sent_with_an_older_pair_is_sent_again_without_a_refresh() {
    let (bench, room) = Bench::with_acme().await;
    let old = bearer(&room).await;
    room.tokens.refresh(&name("acme")).await.unwrap();
    assert_eq!(generation(rejected(&room, &old).await), 1);
    assert_eq!(bench.count("refreshes"), 1);
}

/// Requirement 47: no loop.
#[tokio::test]
async fn a_persistent_401_is_handed_on_and_asked_about_once_in_a_while() {
    let (bench, room) = Bench::with_acme().await;
    room.keep();
    let current = bearer(&room).await;
    for _ in 0..5 {
        let answer = rejected(&room, &current).await.unwrap();
        assert!(matches!(answer, Rejected::HandOn));
        // Long enough for the keeper to notice what was written down.
        sleep(Duration::from_millis(150)).await;
    }
    assert_eq!(bench.count("introspections"), 1);
    assert_eq!(bench.count("refreshes"), 0);
}

#[tokio::test]
async fn a_token_that_stood_is_not_believed_in_once_another_process_has_replaced_it() {
    let (bench, room) = Bench::with_room().await;
    let other = bench.room().await;
    room.connected(&bench, "acme").await;
    let current = bearer(&room).await;
    rejected(&room, &current).await.unwrap();
    other.tokens.refresh(&name("acme")).await.unwrap();
    assert_eq!(generation(rejected(&room, &current).await), 1);
}

#[tokio::test]
async fn a_token_that_died_early_is_refreshed_once_for_all() {
    let (bench, room) = Bench::with_acme().await;
    let current = bearer(&room).await;
    bench.fault(
        &json!({"endpoint": "introspect", "kind": "status", "status": 401, "delay": "100ms"}),
    );
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let (tokens, current) = (room.tokens.clone(), current.clone());
            room.tasks
                .spawn(async move { tokens.rejected(&permit("acme"), &current).await })
        })
        .collect();
    for call in calls {
        assert_eq!(generation(call.await.unwrap()), 1);
    }
    assert_eq!(bench.count("refreshes"), 1);
    assert!(bench.was_kept());
}

#[tokio::test]
async fn one_refresh_is_forced_for_a_generation_whatever_comes_of_it() {
    let (bench, room) = Bench::with_acme().await;
    let current = bearer(&room).await;
    bench.fault(&json!({"endpoint": "introspect", "kind": "status", "status": 401, "count": 99}));
    bench.fault(&json!({"endpoint": "token", "kind": "status", "status": 429, "count": 9}));
    for _ in 0..3 {
        let error = rejected(&room, &current).await.unwrap_err();
        assert!(matches!(error, ObtainError::Unavailable { .. }));
    }
    let attempts = room.row("acme").await.attempts;
    assert_eq!(attempts.len(), 1);
    assert!(attempts[0].forced);
    // A token that is proven dead is not tried again, for a while.
    let error = room.token("acme").await.unwrap_err();
    assert!(matches!(error, ObtainError::Unavailable { .. }));
    bench.clock.pass(Duration::from_secs(31));
    room.token("acme").await.unwrap();
}

#[tokio::test]
async fn while_a_refresh_is_uncertain_nothing_is_forced() {
    let (bench, room) = Bench::with_acme().await;
    let current = bearer(&room).await;
    bench.fault(&json!({"endpoint": "token", "kind": "drop_after"}));
    room.tokens.refresh(&name("acme")).await.unwrap_err();
    assert_eq!(room.state("acme").await, State::Uncertain);
    let error = rejected(&room, &current).await.unwrap_err();
    let uncertain = |state| matches!(state, State::Uncertain);
    assert!(matches!(error, ObtainError::Unavailable { state, .. } if uncertain(state)));
    assert_eq!(bench.count("token_calls"), 1);
}

#[tokio::test]
async fn a_revoked_authorisation_ends_at_the_first_refresh() {
    let (bench, room) = Bench::with_room().await;
    let minted = room.connected(&bench, "acme").await;
    let current = bearer(&room).await;
    assert!(bench.sandbox.revoke(minted.authorisation));
    let error = rejected(&room, &current).await.unwrap_err();
    assert!(matches!(error, ObtainError::ReauthorizationRequired { .. }));
    for _ in 0..3 {
        room.token("acme").await.unwrap_err();
    }
    assert_eq!(bench.count("token_calls"), 1);
}

/// Introspection refused the token here while another process's refresh was under way: calls wait for its pair, as they
/// do where a token has died of age.
#[tokio::test]
async fn calls_wait_for_another_s_refresh_where_the_old_token_is_known_to_be_dead() {
    let bench = Bench::new().await;
    let (other, room) = (bench.room().await, bench.room().await);
    room.connected(&bench, "acme").await;
    let current = bearer(&room).await;
    bench.fault(&json!({"endpoint": "introspect", "kind": "status", "status": 401, "delay": "1m"}));
    let (tokens, bearer) = (room.tokens.clone(), current.clone());
    let refused =
        (room.tasks).spawn(async move { tokens.rejected(&permit("acme"), &bearer).await });
    // Until the question is on its way, the row still at rest.
    bench.faults_played().await;
    let _refresh = other.refresh_under_way(&bench, "acme").await;
    // Pleo answers both, and the new pair is on its way into the row.
    other.store.stalls.store(true, Ordering::SeqCst);
    bench.sandbox.call_off_faults();
    let _ = refused.await.unwrap();
    assert_eq!(room.state("acme").await, State::Refreshing);
    let written = async {
        sleep(Duration::from_millis(500)).await;
        other.store.stalls.store(false, Ordering::SeqCst);
    };
    let (token, ()) = tokio::join!(room.token("acme"), written);
    assert!(token.is_ok(), "{token:?}");
}

/// A pair that only memory holds is current: a 401 about something else is handed on (R7, R11).
#[tokio::test]
async fn a_401_about_something_else_is_handed_on_while_the_store_is_away() {
    let (bench, room) = Bench::with_acme().await;
    room.token("acme").await.unwrap();
    room.refresh_unstored(&bench, "acme").await;
    let current = bearer(&room).await;
    assert_eq!(current.generation().0, 1);
    let answer = rejected(&room, &current).await;
    assert!(matches!(answer, Ok(Rejected::HandOn)), "{answer:?}");
}
