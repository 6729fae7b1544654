//! A 401 from Pleo is judged by the generation of the token it was sent with (design.md R7).

use bytes::Bytes;
use http::Method;
use serde_json::json;
use tokio::task::JoinSet;

use crate::stand::caller::{Answer, Link};
use crate::stand::serving::Serving;
use crate::stand::{Plan, READ, SOON, Stand, bundle, until};

const REPLAYS: &str = "pleo_gateway_replays_total{reason=\"unauthorized\"}";

/// `count` reads at once, each on a link of its own.
async fn reads(serving: &Serving, count: usize) -> JoinSet<Answer> {
    let mut calls = JoinSet::new();
    for _ in 0..count {
        let mut link = Link::open(serving.callers).await;
        calls.spawn(async move { link.get("acme", READ).await.unwrap() });
    }
    calls
}

/// A connection whose access token is dead, and its refresh token good.
fn connect_with_dead_access(stand: &Stand) -> u64 {
    let dead = stand.mint();
    stand.pleo.revoke(dead.authorisation);
    let good = stand.mint();
    let mut pair = bundle(&good, true);
    pair["access_token"] = dead.access_token.expose().into();
    stand.import("acme", &pair);
    good.authorisation
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_in_flight_while_another_process_refreshes_are_sent_again_with_the_new_token() {
    let (stand, id, serving) = Stand::in_use().await;
    let played = stand.count("faults_played");
    stand.order(&json!({"endpoint": "api", "kind": "delay", "delay": "1m", "count": 20}));
    let calls = reads(&serving, 20).await;
    until("the calls are at Pleo", SOON, async || {
        (stand.count("faults_played") == played + 20).then_some(())
    })
    .await;
    stand.run(&["connections", "refresh", "acme"], "").fine();
    stand.pleo.call_off_faults();
    for answer in calls.join_all().await {
        assert_eq!(answer.status, 200, "{:?}", answer.body);
    }
    assert!(serving.metric(REPLAYS).await > 0.0);
    assert_eq!(
        stand.authorisation(id)["refresh_calls"],
        1,
        "nothing was refreshed again"
    );
    stand.assert_no_rule_was_broken();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_with_a_token_that_another_process_has_just_replaced_wait_for_its_pair() {
    let stand = Stand::new(Plan {
        refresh: "hold = \"20s\"",
        ..Plan::default()
    })
    .await;
    let id = stand.connect("acme");
    let serving = stand.serve("gateway").await;
    assert_eq!(serving.get("acme", READ).await.status, 200);
    stand.order(&json!({"endpoint": "token", "kind": "delay", "delay": "700ms", "commit": true}));
    let mut command = stand.command(&["connections", "refresh", "acme"]);
    let mut other = command.spawn().unwrap();
    stand.until_first(id, "generation").await;
    for answer in reads(&serving, 20).await.join_all().await {
        assert_eq!(answer.status, 200, "{:?}", answer.body);
    }
    assert!(other.wait().unwrap().success());
    assert_eq!(stand.authorisation(id)["refresh_calls"], 1);
    stand.assert_no_rule_was_broken();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_401_on_a_token_that_stands_is_handed_on_and_refreshes_nothing() {
    let (stand, id, serving) = Stand::in_use().await;
    let asked = stand.count("introspections");
    stand.order(
        &json!({"endpoint": "api", "kind": "status", "status": 401, "count": 200,
        "headers": {"www-authenticate": "Bearer"}}),
    );
    for _ in 0..4 {
        for answer in reads(&serving, 50).await.join_all().await {
            assert_eq!((answer.status, answer.code()), (401, ""));
            assert!(!answer.headers.contains_key("www-authenticate"));
        }
    }
    assert_eq!(serving.get("acme", READ).await.status, 200);
    assert_eq!(stand.authorisation(id)["refresh_calls"], 0);
    let asked = stand.count("introspections") - asked;
    assert!(
        (1..=2).contains(&asked),
        "introspection was asked {asked} times for 200 refusals"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_access_token_costs_its_callers_one_refresh_between_them() {
    let stand = Stand::new(Plan::default()).await;
    let id = connect_with_dead_access(&stand);
    let serving = stand.serve("gateway").await;
    for answer in reads(&serving, 50).await.join_all().await {
        assert_eq!(answer.status, 200, "{:?}", answer.body);
    }
    assert_eq!(stand.authorisation(id)["refresh_calls"], 1);
    assert!(serving.metric(REPLAYS).await > 0.0);
    stand.assert_no_rule_was_broken();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_too_large_to_keep_is_refused_safely_and_works_the_next_time() {
    let stand = Stand::new(Plan::default()).await;
    let id = connect_with_dead_access(&stand);
    let company = stand.pleo.company_ids()[0].clone();
    let serving = stand.serve("gateway").await;
    let body = json!({"companyId": company, "filler": "x".repeat(300 << 10)}).to_string();
    let body = Bytes::from(body);
    let search = async || {
        let mut link = Link::open(serving.callers).await;
        let path = "/v1/chart-of-accounts:search";
        link.send(Method::POST, "acme", path, body.clone())
            .await
            .unwrap()
    };
    let refused = search().await;
    assert_eq!((refused.status, refused.code()), (503, "token-rejected"));
    assert!(refused.headers.contains_key("retry-after"));
    let again = search().await;
    assert_eq!(again.status, 200, "{:?}", again.body);
    assert_eq!(stand.authorisation(id)["refresh_calls"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_authorisation_is_found_out_by_one_refresh_and_then_left_alone() {
    let (stand, id, serving) = Stand::in_use().await;
    assert!(stand.pleo.revoke(id));
    for answer in reads(&serving, 20).await.join_all().await {
        assert_eq!(
            (answer.status, answer.code()),
            (503, "reauthorization-required")
        );
    }
    let row = serving.connection("acme").await;
    assert_eq!(
        (&row["state"], &row["reason"]),
        (&json!("reauthorization_required"), &json!("revoked"))
    );
    assert_eq!(
        serving.get("acme", READ).await.code(),
        "reauthorization-required"
    );
    assert_eq!(stand.authorisation(id)["refresh_calls"], 1);
    stand.assert_no_rule_was_broken();
}
