//! Calls that wait for a token: one refresh for all, whoever goes away; errors that are shared; nobody held for ever.

use std::sync::atomic::Ordering;
use std::time::Duration;

use pleo_gateway::model::connection::State;
use pleo_gateway::tokens::ObtainError;
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::bench::{Bench, name, permit, permit_pinned, until};

const LIFE: Duration = Duration::from_mins(15);

#[tokio::test]
async fn one_refresh_serves_all_who_wait_and_the_first_may_hang_up() {
    let (bench, room) = Bench::with_room().await;
    let old = room.connected(&bench, "acme").await;
    bench.clock.pass(LIFE);
    bench.fault(&json!({"endpoint": "token", "kind": "delay", "delay": "1m"}));
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let tokens = room.tokens.clone();
            room.tasks
                .spawn(async move { tokens.obtain(&permit("acme")).await })
        })
        .collect();
    let hung_up = timeout(Duration::from_millis(100), room.token("acme")).await;
    assert!(hung_up.is_err());
    bench.faults_played().await;
    bench.sandbox.call_off_faults();
    for call in calls {
        let bearer = call.await.unwrap().unwrap();
        assert_eq!(bearer.generation().0, 1);
    }
    assert_eq!(bench.count("refreshes"), 1);
    assert!(bench.was_kept());
    assert!(!room.works(old.access_token.expose()).await);
}

/// Requirements 49 and 106: a refresh goes on without its caller.
#[tokio::test]
async fn the_caller_who_asked_first_may_hang_up() {
    let (bench, room) = Bench::with_acme().await;
    bench.clock.pass(LIFE);
    bench.fault(&json!({"endpoint": "token", "kind": "delay", "delay": "1m"}));
    let first = timeout(Duration::from_millis(50), room.token("acme")).await;
    assert!(first.is_err());
    bench.faults_played().await;
    bench.sandbox.call_off_faults();
    assert!(room.token("acme").await.is_ok());
    assert_eq!(bench.count("token_calls"), 1);
}

/// Requirement 105.
#[tokio::test]
async fn a_due_token_is_served_while_it_is_refreshed() {
    let (bench, room) = Bench::with_room().await;
    let old = room.connected(&bench, "acme").await;
    room.token("acme").await.unwrap();
    bench.clock.pass(Duration::from_mins(13));
    bench.fault(&json!({"endpoint": "token", "kind": "status", "status": 503}));
    bench.clock.stop();
    let served = room.token("acme").await.unwrap();
    assert_eq!(served, old.access_token.expose());
    until("its outcome is unknown", async || {
        room.state("acme").await == State::Uncertain
    })
    .await;
    assert_eq!(room.token("acme").await.unwrap(), served);
}

#[tokio::test]
async fn trouble_with_refreshing_does_not_make_every_call_ask_the_store() {
    let (bench, room) = Bench::with_acme().await;
    room.token("acme").await.unwrap();
    bench.clock.pass(Duration::from_mins(13));
    bench.clock.stop();
    bench.fault(&json!({"endpoint": "token", "kind": "status", "status": 503}));
    room.token("acme").await.unwrap();
    until("its outcome is unknown", async || {
        room.state("acme").await == State::Uncertain
    })
    .await;
    let before = room.store.reads.load(Ordering::SeqCst);
    let end = Instant::now() + Duration::from_millis(400);
    while Instant::now() < end {
        room.token("acme").await.unwrap();
        tokio::task::yield_now().await;
    }
    let reads = room.store.reads.load(Ordering::SeqCst) - before;
    assert!(reads < 20, "{reads} reads for calls that need none");
}

#[tokio::test]
async fn an_error_is_shared_and_told_again_for_a_moment() {
    let (bench, room) = Bench::with_acme().await;
    bench.clock.pass(LIFE);
    bench.clock.stop();
    bench.fault(&json!({"endpoint": "token", "kind": "status", "status": 503, "count": 9}));
    for _ in 0..20 {
        let error = room.token("acme").await.unwrap_err();
        assert!(
            matches!(error, ObtainError::Unavailable { .. }),
            "{error:?}"
        );
    }
    assert_eq!(bench.count("faults_played"), 1);
    let reads = room.store.reads.load(Ordering::SeqCst);
    room.token("acme").await.unwrap_err();
    assert_eq!(room.store.reads.load(Ordering::SeqCst), reads);
}

#[tokio::test]
async fn who_is_not_connected_is_told_so() {
    let (_bench, room) = Bench::with_room().await;
    let nobody = room.token("nobody").await.unwrap_err();
    assert_eq!(nobody, ObtainError::NotConnected { state: None });
    room.tokens.linked(&name("linked")).await.unwrap();
    let linked = room.token("linked").await.unwrap_err();
    let pending = Some(State::Pending);
    assert_eq!(linked, ObtainError::NotConnected { state: pending });
}

#[tokio::test]
async fn scopes_and_company_that_are_not_known_are_learned_while_calls_wait() {
    let (bench, room) = Bench::with_room().await;
    let minted = bench.sandbox.mint(None, None);
    room.import("acme", &minted, false).await;
    room.token("acme").await.unwrap();
    let row = room.row("acme").await;
    assert_eq!(row.scopes, Some(minted.scopes));
    assert_eq!(row.company.unwrap().as_ref(), minted.company_id);
    let pinned = permit_pinned("acme", Some("another"));
    let refused = room.tokens.obtain(&pinned).await.unwrap_err();
    assert!(matches!(refused, ObtainError::NotConnected { .. }));
}

#[tokio::test]
async fn while_pleo_says_nothing_of_the_scopes_it_is_not_flooded() {
    let (bench, room) = Bench::with_room().await;
    let minted = bench.sandbox.mint(None, None);
    room.import("acme", &minted, false).await;
    bench.clock.stop();
    bench.fault(&json!({"endpoint": "introspect", "kind": "status", "status": 503, "count": 1000}));
    for _ in 0..20 {
        room.token("acme").await.unwrap_err();
    }
    assert!(bench.count("faults_played") < 3);
}

#[tokio::test]
async fn sends_wait_for_a_refresh_as_long_as_the_hold_and_then_go_on() {
    let (bench, room) = Bench::with_room().await;
    let old = room.connected(&bench, "acme").await;
    room.token("acme").await.unwrap();
    bench.clock.pass(Duration::from_mins(13));
    bench.fault(&json!({"endpoint": "token", "kind": "delay", "delay": "1m"}));
    room.token("acme").await.unwrap();
    bench.faults_played().await;
    let began = Instant::now();
    let served = room.token("acme").await.unwrap();
    assert_eq!(served, old.access_token.expose());
    assert!(began.elapsed() >= bench.hold);
    assert_eq!(
        room.state("acme").await,
        State::Refreshing,
        "before its end"
    );
}

#[tokio::test]
async fn a_full_queue_fails_nobody_whose_token_lives() {
    let (bench, room) = Bench::with_acme().await;
    room.token("acme").await.unwrap();
    bench.clock.pass(Duration::from_mins(13));
    bench.fault(&json!({"endpoint": "token", "kind": "delay", "delay": "1s"}));
    room.token("acme").await.unwrap();
    bench.faults_played().await;
    let calls: Vec<_> = (0..400)
        .map(|_| {
            let tokens = room.tokens.clone();
            room.tasks
                .spawn(async move { tokens.obtain(&permit("acme")).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_token_that_died_by_this_machine_s_clock_is_refreshed_though_the_wall_clock_was_put_back()
{
    let (bench, room) = Bench::with_acme().await;
    let old = room.token("acme").await.unwrap();
    bench.clock.set(-86_400);
    bench.clock.pass(LIFE);
    let new = room.token("acme").await.unwrap();
    assert_ne!(new, old);
    assert!(room.works(&new).await);
}

#[tokio::test]
async fn of_many_processes_one_refreshes() {
    let bench = Bench::new().await;
    let one = bench.room().await;
    let other = bench.room().await;
    one.connected(&bench, "acme").await;
    one.token("acme").await.unwrap();
    other.token("acme").await.unwrap();
    bench.clock.pass(LIFE);
    bench.fault(&json!({"endpoint": "token", "kind": "delay", "delay": "300ms"}));
    let (a, b) = tokio::join!(one.token("acme"), other.token("acme"));
    assert_eq!(a.unwrap(), b.unwrap());
    assert_eq!(bench.count("refreshes"), 1);
    assert!(bench.was_kept());
}

/// Requirement 106.
#[tokio::test]
async fn a_slow_refresh_of_one_tenant_blocks_no_other() {
    let (bench, room) = Bench::with_room().await;
    for tenant in ["acme", "beta"] {
        room.connected(&bench, tenant).await;
    }
    bench.clock.pass(LIFE);
    bench.fault(&json!({"endpoint": "token", "kind": "delay", "delay": "1m"}));
    let slow = room.token("acme");
    let quick = async {
        bench.faults_played().await;
        room.token("beta").await.unwrap();
    };
    tokio::select! {
        _ = slow => panic!("the slow one was first"),
        () = quick => {}
    }
}
