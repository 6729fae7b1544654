//! Several processes on one store: each notices what the others do, and each generation is refreshed once.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::stand::caller::Link;
use crate::stand::serving::Serving;
use crate::stand::{Plan, READ, SOON, Stand, bundle, until};

/// A second is promised; the rest is for a busy machine.
const IN_TIME: Duration = Duration::from_millis(1_500);

/// Tries something that is to be noticed in time. A machine that stands still now and then does not do so at each try.
async fn is_noticed_in_time(attempt: impl AsyncFn() -> Duration) {
    let mut took = Vec::new();
    while took.len() < 3 {
        took.push(attempt().await);
        if took.iter().any(|took| *took < IN_TIME) {
            return;
        }
    }
    panic!("it took {took:?}");
}

/// How long it is until `look` finds something.
async fn noticed(what: &str, look: impl AsyncFnMut() -> Option<()>) -> Duration {
    let begun = Instant::now();
    until(what, SOON, look).await;
    begun.elapsed()
}

async fn serving() -> (Stand, Serving) {
    let stand = Stand::new(Plan::default()).await;
    stand.connect("acme");
    let serving = stand.serve("gateway").await;
    assert_eq!(serving.get("acme", READ).await.status, 200);
    (stand, serving)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_gateway_notices_a_disconnect() {
    is_noticed_in_time(async || {
        let (stand, serving) = serving().await;
        stand.run(&["connections", "disconnect", "acme"], "").fine();
        noticed("callers are refused", async || {
            let answer = serving.get("acme", READ).await;
            (answer.status == 503 && answer.code() == "not-connected").then_some(())
        })
        .await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_gateway_notices_an_import_for_another_company() {
    is_noticed_in_time(async || {
        let (stand, serving) = serving().await;
        let other = stand.pleo.company_ids()[1].clone();
        let minted = stand.pleo.mint(Some(other.clone()), None);
        stand.import("acme", &bundle(&minted, true));
        noticed("calls are for the other company", async || {
            let answer = serving.get("acme", READ).await;
            assert_eq!(answer.status, 200, "{:?}", answer.body);
            let said = String::from_utf8(answer.body.to_vec()).unwrap();
            said.contains(&other).then_some(())
        })
        .await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_gateway_notices_a_refresh_and_no_call_fails() {
    is_noticed_in_time(async || {
        let (stand, serving) = serving().await;
        stand.run(&["connections", "refresh", "acme"], "").fine();
        noticed("calls bear the new token at once", async || {
            assert_eq!(serving.get("acme", READ).await.status, 200);
            let log = std::fs::read_to_string(stand.home().join("gateway.stdout")).unwrap();
            let lines = log
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok());
            let mut fresh = lines.filter(|line: &Value| line["generation"] == 1);
            fresh.any(|line| line["replayed"] == false).then_some(())
        })
        .await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_in_the_air_does_not_bring_a_disconnected_tenant_back() {
    let (stand, serving) = serving().await;
    let asking = serving.refresh_applied(&stand, "1m").await;
    stand.run(&["connections", "disconnect", "acme"], "").fine();
    stand.pleo.call_off_faults();
    let status = asking.join_all().await.pop().unwrap().unwrap();
    assert_eq!(status, 404, "the pair that came is not wanted any more");
    let row = serving.connection("acme").await;
    assert_eq!(
        (&row["state"], &row["reason"]),
        (&json!("disconnected"), &json!("disconnected"))
    );
    let answer = serving.get("acme", READ).await;
    assert_eq!((answer.status, answer.code()), (503, "not-connected"));
}

/// Calls until `end`; how many, and what failed.
async fn work(serving: std::net::SocketAddr, end: Instant) -> (u64, Vec<String>) {
    let mut link = Link::open(serving).await;
    let (mut calls, mut failed) = (0, Vec::new());
    while Instant::now() < end {
        let answer = link.get("acme", READ).await.unwrap();
        calls += 1;
        if answer.status != 200 {
            failed.push(format!("{} {:?}", answer.status, answer.body));
        }
        sleep(Duration::from_millis(10)).await;
    }
    (calls, failed)
}

/// Requirement 95: of several.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_on_one_store_refresh_once_per_generation_under_load() {
    let stand = Stand::new(Plan {
        access_ttl: Duration::from_secs(4),
        refresh: "ahead = \"2s\"",
        ..Plan::default()
    })
    .await;
    let id = stand.connect("acme");
    let gateways = [stand.serve("one").await, stand.serve_beside("two").await];
    let end = Instant::now() + Duration::from_secs(12);
    let mut workers = JoinSet::new();
    for turn in 0..8 {
        workers.spawn(work(gateways[turn % 2].callers, end));
    }
    let done = workers.join_all().await;
    let failed: Vec<_> = done.iter().flat_map(|(_, failed)| failed).collect();
    assert!(failed.is_empty(), "{} failed: {}", failed.len(), failed[0]);
    assert!(done.iter().all(|(calls, _)| *calls > 10), "{done:?}");
    until("four were refreshed", SOON, async || {
        assert_eq!(gateways[0].get("acme", READ).await.status, 200);
        (stand.authorisation(id)["generation"].as_u64() >= Some(4)).then_some(())
    })
    .await;
    let authorisation = stand.authorisation(id);
    assert_eq!(authorisation["refresh_calls"], authorisation["generation"]);
    assert_eq!(authorisation["concurrent_refreshes"], 1);
    stand.assert_no_rule_was_broken();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pair_of_a_frozen_process_is_taken_when_it_thaws_and_nobody_replays_its_token() {
    let stand = Stand::new(Plan {
        refresh: "timeout = \"4s\"\nadoption_grace = \"1m\"\nhold = \"100ms\"",
        ..Plan::default()
    })
    .await;
    let id = stand.connect("acme");
    let frozen = stand.serve("frozen").await;
    let other = stand.serve_beside("other").await;
    assert_eq!(other.get("acme", READ).await.status, 200);
    let _asking = frozen.refresh_applied(&stand, "1m").await;
    frozen.freeze().await;
    stand.pleo.call_off_faults();
    until(
        "the other has proof that it was applied",
        SOON * 2,
        async || {
            let applied = "resolved_applied".to_owned();
            stand.outcomes("acme").contains(&applied).then_some(())
        },
    )
    .await;
    assert_eq!(other.connection("acme").await["state"], "uncertain");
    frozen.signal(Signal::CONT);
    for gateway in [&frozen, &other] {
        until("the pair is in use", SOON, async || {
            (gateway.get("acme", READ).await.status == 200).then_some(())
        })
        .await;
    }
    assert_eq!(other.connection("acme").await["generation"], 1);
    assert!(stand.outcomes("acme").contains(&"adopted".to_owned()));
    assert_eq!(stand.authorisation(id)["refresh_calls"], 1);
    stand.assert_no_rule_was_broken();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_told_to_end_waits_for_the_refresh_in_the_air() {
    let stand = Stand::new(Plan::default()).await;
    let id = stand.connect_expired("acme");
    let serving = stand.serve("gateway").await;
    stand.order(&json!({"endpoint": "token", "kind": "delay", "delay": "1s", "commit": true}));
    let mut link = Link::open(serving.callers).await;
    let mut waiting = JoinSet::new();
    waiting.spawn(async move { link.get("acme", READ).await.map(|answer| answer.status) });
    stand.until_first(id, "generation").await;
    assert!(serving.stop().await.success());
    assert_eq!(waiting.join_all().await[0].as_ref().unwrap(), &200);
    assert_eq!(stand.outcomes("acme").last().unwrap(), "ok");
    let serving = stand.serve("again").await;
    assert_eq!(serving.get("acme", READ).await.status, 200);
    assert_eq!(stand.authorisation(id)["refresh_calls"], 1);
}
