//! Many connections at once (design.md R15), and calls that are being sent when a refresh is about to be (R8).

use std::time::Duration;

use pleo_gateway::model::connection::State;
use tokio::time::{Instant, sleep, timeout};

use super::bench::{Bench, permit, until};
use crate::stand::SOON;

#[tokio::test]
async fn after_a_start_refreshes_are_spread_and_who_is_asked_for_comes_first() {
    let (bench, room) = Bench::with_room().await;
    for number in 0..40 {
        room.connected(&bench, &format!("t{number}")).await;
    }
    // All are due: nobody has used them for longer than they may be left alone.
    bench.clock.pass(bench.policy.keepalive);
    room.keep();
    until("the keeper has begun", async || {
        bench.count("refreshes") > 0
    })
    .await;
    for number in [39, 20, 0] {
        let tenant = format!("t{number}");
        let asked = room.token(&tenant);
        timeout(SOON, asked).await.unwrap().unwrap();
    }
    let begun = bench.count("refreshes");
    assert!(begun < 25, "{begun} at once");
    until("the others follow", async || {
        bench.count("refreshes") > begun
    })
    .await;
    assert!(bench.was_kept());
}

#[tokio::test]
async fn an_upload_goes_first_and_then_the_refresh() {
    let mut bench = Bench::new().await;
    bench.hold = Duration::from_secs(4);
    let room = bench.room().await;
    room.connected(&bench, "acme").await;
    let bearer = room.tokens.obtain(&permit("acme")).await.unwrap();
    let upload = bearer.sending();
    let since = Instant::now();
    let refreshed = room.refresh("acme");
    until("the refresh has begun", async || {
        room.state("acme").await == State::Refreshing
    })
    .await;
    sleep(Duration::from_millis(200)).await;
    let sent = bench.count("token_calls");
    // No upload is waited for longer than a second, and this machine may have slept for as long.
    let too_late = since.elapsed() >= Duration::from_secs(1);
    assert!(sent == 0 || too_late, "the upload goes first");
    drop(upload);
    refreshed.await.unwrap().unwrap();
    assert!(room.tokens.obtain_now(&permit("acme")).is_some());
}

#[tokio::test]
async fn an_upload_that_does_not_end_is_waited_for_only_so_long() {
    let mut bench = Bench::new().await;
    bench.hold = Duration::from_millis(600);
    let room = bench.room().await;
    room.connected(&bench, "acme").await;
    let bearer = room.tokens.obtain(&permit("acme")).await.unwrap();
    let _upload = bearer.sending();
    let since = Instant::now();
    room.refresh("acme").await.unwrap().unwrap();
    assert!(since.elapsed() >= bench.hold / 2);
    assert_eq!(bench.count("refreshes"), 1);
}
