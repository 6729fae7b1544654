//! Clocks that jump (design.md R10): no storm, and no token of uncertain life is used before Pleo was asked.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use super::bench::{Bench, Room, permit, until};

const TENANTS: [&str; 5] = ["acme", "beta", "gamma", "delta", "epsilon"];
const HOUR: i64 = 3600;
const DECADE: i64 = 315_360_000;

async fn tokens(room: &Room) -> Vec<String> {
    let mut tokens = Vec::new();
    for tenant in TENANTS {
        tokens.push(room.token(tenant).await.unwrap());
    }
    tokens
}

/// Five tenants in use, a keeper, and what calls were given.
async fn in_use(bench: &Bench) -> (Room, Vec<String>) {
    let room = bench.room().await;
    for tenant in TENANTS {
        room.connected(bench, tenant).await;
    }
    let before = tokens(&room).await;
    room.keep();
    room.looked().await;
    (room, before)
}

/// Until the keeper has noticed that the clock jumped: nothing is warm any more.
async fn noticed(room: &Room) {
    until("the jump is noticed", async || {
        room.tokens.obtain_now(&permit("acme")).is_none()
    })
    .await;
}

/// Requirement 104.
#[tokio::test]
async fn a_hand_on_the_wall_clock_refreshes_nothing_and_every_token_is_verified_once() {
    for step in [HOUR, -HOUR, DECADE, -DECADE] {
        let bench = Bench::new().await;
        let (room, before) = in_use(&bench).await;
        bench.clock.set(step);
        noticed(&room).await;
        for _ in 0..3 {
            assert_eq!(tokens(&room).await, before, "{step}");
            sleep(Duration::from_millis(300)).await;
        }
        assert_eq!(bench.count("refreshes"), 0, "{step}");
        assert_eq!(bench.count("introspections"), 5, "{step}");
        // Their life goes on as it was counted before.
        bench.clock.pass(Duration::from_mins(15));
        assert_ne!(tokens(&room).await, before, "{step}");
        assert_eq!(bench.count("refreshes"), 5, "{step}");
        assert!(bench.was_kept());
    }
}

#[tokio::test]
async fn a_machine_that_was_put_away_uses_no_dead_token() {
    let bench = Bench::new().await;
    let (room, before) = in_use(&bench).await;
    bench.clock.freeze(Duration::from_hours(1));
    noticed(&room).await;
    for (old, new) in before.iter().zip(tokens(&room).await) {
        assert_ne!(*old, new);
        assert!(room.works(&new).await);
    }
    assert_eq!(bench.count("refreshes"), 5);
}

#[tokio::test]
async fn a_token_from_the_future_is_verified_after_a_start() {
    let bench = Bench::new().await;
    let first = bench.room().await;
    let minted = first.connected(&bench, "acme").await;
    first.end().await;
    bench.clock.set(-HOUR);
    let room = bench.room().await;
    assert_eq!(
        room.token("acme").await.unwrap(),
        minted.access_token.expose()
    );
    assert_eq!(bench.count("introspections"), 1);
    assert!(room.tokens.obtain_now(&permit("acme")).is_some(), "once");
}

/// The clock has jumped and the store is away: a token that nobody has refused is used all the same (R11).
#[tokio::test]
async fn a_store_that_is_away_fails_no_call_after_a_jump_of_the_clock() {
    let (bench, room) = Bench::with_acme().await;
    room.token("acme").await.unwrap();
    room.keep();
    room.looked().await;
    room.store.away.store(true, Ordering::SeqCst);
    bench.clock.set(60);
    room.looked().await;
    let token = room.token("acme").await;
    assert!(token.is_ok(), "{token:?}");
}
