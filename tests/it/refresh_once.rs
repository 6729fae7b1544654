//! One refresh for all who wait for it, whoever of them goes away (design.md R9).

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::stand::caller::Link;
use crate::stand::serving::Serving;
use crate::stand::{Plan, READ, SOON, Stand, raise_file_limit, until};

const CALLERS: usize = 1_000;

async fn links(serving: &Serving, count: usize) -> Vec<Link> {
    let mut links = Vec::with_capacity(count);
    for _ in 0..count {
        links.push(Link::open(serving.callers).await);
    }
    links
}

/// Calls on every link at once; the statuses with their error codes.
async fn call_all(links: Vec<Link>) -> Vec<(u16, String)> {
    let mut calls = JoinSet::new();
    for mut link in links {
        calls.spawn(async move {
            let answer = link.get("acme", READ).await.unwrap();
            (answer.status, answer.code().to_owned())
        });
    }
    timeout(Duration::from_mins(1), calls.join_all())
        .await
        .unwrap()
}

fn all_served(answers: &[(u16, String)], count: usize) {
    assert_eq!(answers.len(), count);
    let others: Vec<_> = answers
        .iter()
        .filter(|(status, _)| *status != 200)
        .collect();
    assert!(
        others.is_empty(),
        "{} of {count}: {:?}",
        others.len(),
        &others[..1]
    );
}

/// Requirement 95: in one process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_callers_of_an_expired_token_cost_one_refresh() {
    raise_file_limit();
    let stand = Stand::new(Plan::default()).await;
    let id = stand.connect_expired("acme");
    let serving = stand.serve("gateway").await;
    // so that all of them are there before the answer is
    stand.order(&json!({"endpoint": "token", "kind": "delay", "delay": "1s"}));
    let answers = call_all(links(&serving, CALLERS).await).await;
    all_served(&answers, CALLERS);
    assert_eq!(stand.authorisation(id)["refresh_calls"], 1);
    assert_eq!(stand.count("token_calls"), 1);
    assert!(serving.refreshes("ok").await > 0.0);
    stand.assert_no_rule_was_broken();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_caller_may_hang_up_and_all_others_are_served() {
    raise_file_limit();
    let stand = Stand::new(Plan::default()).await;
    let id = stand.connect_expired("acme");
    let serving = stand.serve("gateway").await;
    stand.order(&json!({"endpoint": "token", "kind": "delay", "delay": "1s"}));
    let mut first = Link::open(serving.callers).await;
    let mut leaving = JoinSet::new();
    leaving.spawn(async move { first.get("acme", READ).await.map(|answer| answer.status) });
    stand.until_first(id, "refresh_calls").await;
    let others = links(&serving, CALLERS - 1).await;
    leaving.shutdown().await;
    all_served(&call_all(others).await, CALLERS - 1);
    assert_eq!(stand.authorisation(id)["refresh_calls"], 1);
    stand.assert_no_rule_was_broken();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_lands_although_everybody_has_gone() {
    let stand = Stand::new(Plan::default()).await;
    let id = stand.connect_expired("acme");
    let serving = stand.serve("gateway").await;
    stand.order(&json!({"endpoint": "token", "kind": "delay", "delay": "700ms"}));
    let mut calls = JoinSet::new();
    for mut link in links(&serving, 100).await {
        calls.spawn(async move { link.get("acme", READ).await.map(|answer| answer.status) });
    }
    stand.until_first(id, "refresh_calls").await;
    calls.shutdown().await;
    until("the pair is in use", SOON, async || {
        let row = serving.connection("acme").await;
        (row["state"] == "active" && row["generation"] == 1).then_some(())
    })
    .await;
    let hits = "pleo_gateway_token_lookups_total{result=\"hit\"}";
    let before = serving.metric(hits).await;
    assert_eq!(serving.get("acme", READ).await.status, 200);
    assert!(
        serving.metric(hits).await > before,
        "the next call is a hit"
    );
    assert_eq!(stand.authorisation(id)["refresh_calls"], 1);
}
