//! Where the store fails (design.md R1, R3, R4, R6): nothing is spent without it, and no pair is lost to it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use pleo_gateway::model::connection::{Outcome, State};
use pleo_gateway::tokens::ObtainError;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::bench::{Bench, Room, name, permit, until};
use crate::stand::SOON;

const LIFE: Duration = Duration::from_mins(15);

/// Starts a refresh and makes the store read-only while Pleo thinks about it, which answers then.
async fn lose_the_store_over(bench: &Bench, room: &Room, fault: Value) {
    bench.fault(&fault);
    room.refresh("acme");
    bench.faults_played().await;
    room.store.set_read_only(true);
    bench.sandbox.call_off_faults();
}

/// The right answer, once faults are called off.
fn late() -> Value {
    json!({"endpoint": "token", "kind": "delay", "delay": "1m"})
}

#[tokio::test]
async fn a_pair_whose_commit_fails_is_served_kept_and_stored_later() {
    let (bench, room) = Bench::with_acme().await;
    room.keep();
    bench.clock.pass(LIFE);
    lose_the_store_over(&bench, &room, late()).await;
    let served = tokio::time::timeout(SOON, room.token("acme"))
        .await
        .expect("nobody waits for the store")
        .unwrap();
    assert!(room.works(&served).await);
    assert_eq!(bench.salvaged(), 1);
    assert!(room.tokens.hold_unstored());
    // However often the keeper and calls look at the old row.
    for _ in 0..10 {
        sleep(Duration::from_millis(100)).await;
        assert_eq!(room.token("acme").await.unwrap(), served);
    }
    room.store.set_read_only(false);
    until("the pair is stored", async || !room.tokens.hold_unstored()).await;
    assert_eq!(bench.salvaged(), 0);
    let row = room.row("acme").await;
    assert_eq!(row.access().unwrap().token.expose(), served);
    assert!(bench.was_kept());
}

#[tokio::test]
async fn a_process_that_ends_with_a_pair_unstored_leaves_it_to_the_next() {
    let (bench, room) = Bench::with_acme().await;
    lose_the_store_over(&bench, &room, late()).await;
    until("the pair is kept", async || bench.salvaged() == 1).await;
    room.end().await;
    let next = bench.room().await;
    next.tokens.recover().await;
    assert_eq!(bench.salvaged(), 0);
    let row = next.row("acme").await;
    assert_eq!((row.state, row.generation.0), (State::Active, 1));
    assert!(next.works(row.access().unwrap().token.expose()).await);
}

#[tokio::test]
async fn a_commit_of_unknown_outcome_is_settled_by_looking() {
    let (bench, room) = Bench::with_acme().await;
    bench.fault(&late());
    let refresh = async { room.tokens.refresh(&name("acme")).await };
    let lose = async {
        bench.faults_played().await;
        room.store.untold.store(1, Ordering::SeqCst);
        bench.sandbox.call_off_faults();
    };
    let (refreshed, ()) = tokio::join!(refresh, lose);
    assert_eq!(refreshed.unwrap().generation.0, 1);
    assert_eq!(bench.salvaged(), 0);
}

#[tokio::test]
async fn an_intent_of_unknown_outcome_is_closed_and_nothing_is_sent() {
    let (bench, room) = Bench::with_acme().await;
    // Known to be accepted: the intent is the next thing written.
    room.tokens.verify(&name("acme"), None).await.unwrap();
    room.store.untold.store(1, Ordering::SeqCst);
    room.tokens.refresh(&name("acme")).await.unwrap_err();
    let row = room.row("acme").await;
    assert_eq!(row.state, State::Active);
    assert_eq!(row.attempts[0].outcome, Some(Outcome::NotSent));
    assert_eq!(bench.count("token_calls"), 0);
}

/// Requirements 97 and 112.
#[tokio::test]
async fn nothing_is_spent_where_the_intent_cannot_be_written() {
    let (bench, room) = Bench::with_acme().await;
    bench.clock.pass(LIFE);
    room.store.set_read_only(true);
    let error = room.token("acme").await.unwrap_err();
    assert_eq!(error, ObtainError::StoreUnavailable);
    assert_eq!(bench.count("token_calls"), 0);
}

#[tokio::test]
async fn nothing_is_spent_where_a_pair_could_not_be_kept() {
    let (bench, room) = Bench::with_acme().await;
    bench.clock.pass(LIFE);
    std::fs::remove_dir_all(bench.salvage()).unwrap();
    std::fs::write(bench.salvage(), "in the way").unwrap();
    room.token("acme").await.unwrap_err();
    assert_eq!(bench.count("token_calls"), 0);
}

#[tokio::test]
async fn a_live_token_is_served_while_the_store_is_away() {
    let (bench, room) = Bench::with_acme().await;
    let token = room.token("acme").await.unwrap();
    room.store.away.store(true, Ordering::SeqCst);
    bench.clock.pass(Duration::from_mins(13));
    for _ in 0..5 {
        assert_eq!(room.token("acme").await.unwrap(), token);
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn how_an_attempt_ended_is_written_as_soon_as_that_is_possible_and_nobody_is_held_meanwhile()
{
    let (bench, room) = Bench::with_acme().await;
    let old = room.token("acme").await.unwrap();
    lose_the_store_over(
        &bench,
        &room,
        json!({"endpoint": "token", "kind": "status", "status": 503, "delay": "1m"}),
    )
    .await;
    until("nobody is held", async || {
        room.tokens.obtain_now(&permit("acme")).is_some()
    })
    .await;
    assert_eq!(room.token("acme").await.unwrap(), old);
    room.store.set_read_only(false);
    until("the attempt is closed", async || {
        room.row("acme").await.attempts[0].outcome == Some(Outcome::NoPair)
    })
    .await;
}

#[tokio::test]
async fn the_store_s_trouble_with_one_tenant_takes_no_turn_of_another() {
    let (bench, room) = Bench::with_room().await;
    for tenant in ["acme", "beta", "gamma"] {
        room.connected(&bench, tenant).await;
    }
    bench.fault(&json!({"endpoint": "token", "kind": "delay", "delay": "1m", "count": 2}));
    let _both = (room.refresh("acme"), room.refresh("beta"));
    bench.faults_played().await;
    room.store.set_read_only(true);
    bench.sandbox.call_off_faults();
    until("both are kept", async || bench.salvaged() == 2).await;
    room.store.set_read_only(false);
    let gamma = name("gamma");
    let third = room.tokens.refresh(&gamma);
    let third = tokio::time::timeout(SOON, third).await;
    assert_eq!(third.unwrap().unwrap().generation.0, 1);
}

#[tokio::test]
async fn a_commit_that_stalls_is_felt_by_nobody_for_long() {
    let (bench, room) = Bench::with_room().await;
    for tenant in ["acme", "beta"] {
        room.connected(&bench, tenant).await;
        room.token(tenant).await.unwrap();
    }
    bench.fault(&late());
    room.refresh("acme");
    bench.faults_played().await;
    room.store.stalls.store(true, Ordering::SeqCst);
    bench.sandbox.call_off_faults();
    let quick = tokio::time::timeout(SOON, room.token("beta"));
    quick.await.expect("another tenant's call").unwrap();
    let served = async || {
        let token = room.token("acme").await.unwrap();
        room.works(&token).await
    };
    until("the new pair is served", served).await;
    assert_eq!(room.row("acme").await.generation.0, 0, "before the store");
    room.store.stalls.store(false, Ordering::SeqCst);
    until("the pair is stored", async || !room.tokens.hold_unstored()).await;
    assert_eq!(bench.salvaged(), 0);
    assert!(room.works(&room.token("acme").await.unwrap()).await);
    assert!(bench.was_kept());
}

/// A commit that stalled was carried out all the same: its pair is shown on, no call has to ask the store.
#[tokio::test]
async fn a_commit_that_was_only_slow_takes_no_living_token_from_memory() {
    let (bench, room) = Bench::with_acme().await;
    room.token("acme").await.unwrap();
    let refresh = room.refresh_under_way(&bench, "acme").await;
    let file = bench.folder.path().join("data/gateway.db");
    let hog = rusqlite::Connection::open(file).unwrap();
    hog.execute_batch("begin immediate").unwrap();
    bench.sandbox.call_off_faults();
    let _ = refresh.await.unwrap();
    assert!(room.tokens.hold_unstored(), "served from memory");
    sleep(Duration::from_millis(500)).await;
    hog.execute_batch("rollback").unwrap();
    let end = Instant::now() + Duration::from_secs(4);
    while Instant::now() < end {
        let at_once = room.tokens.obtain_now(&permit("acme"));
        assert!(at_once.is_some(), "nothing is remembered");
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(room.row("acme").await.generation.0, 1);
}
