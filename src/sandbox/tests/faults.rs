//! Faults, as the client at the other end sees them.

use std::io::ErrorKind;
use std::time::Duration;

use super::*;

#[tokio::test]
async fn a_lost_answer_has_taken_effect_or_not_as_ordered() {
    let client = Client::start(Options::default()).await;
    for (kind, seen, applied) in [
        ("drop_before", Err(ErrorKind::UnexpectedEof), 0),
        ("reset", Err(ErrorKind::ConnectionReset), 0),
        ("status", Ok(503), 0),
        ("drop_after", Err(ErrorKind::UnexpectedEof), 1),
    ] {
        let pair = client.running.mint(None, None);
        client
            .order(json!({"endpoint": "token", "kind": kind}))
            .await;
        let answer = client.refresh(&pair).await;
        let answer = answer
            .map(|reply| reply.status)
            .map_err(|error| error.kind());
        assert_eq!(answer, seen, "{kind}");
        let state = client.running.state();
        let last = state["authorisations"]
            .as_array()
            .unwrap()
            .last()
            .unwrap()
            .clone();
        assert_eq!(last["generation"], applied, "{kind}");
        let lives = client.introspect(pair.access_token.expose()).await.status == 200;
        assert_eq!(lives, applied == 0, "{kind}");
    }
    assert_eq!(client.running.state()["faults_played"], 4);
}

#[tokio::test]
async fn a_bent_answer_is_as_ordered() {
    let (client, pair) = Client::with_pair().await;
    let html = json!({"endpoint": "token", "kind": "body", "body": "<html>", "headers": {"content-type": "text/html"}});
    client.order(html).await;
    let reply = client.refresh(&pair).await.unwrap();
    assert_eq!((reply.status, reply.body.as_str()), (200, "<html>"));
    assert_eq!(reply.header("content-type"), "text/html");
    client
        .order(json!({"endpoint": "token", "kind": "body", "size": 5_000_000}))
        .await;
    assert_eq!(client.refresh(&pair).await.unwrap().body.len(), 5_000_000);
    client
        .order(json!({"endpoint": "introspect", "kind": "drip", "delay": "1ms"}))
        .await;
    let dripped = client.introspect(pair.access_token.expose()).await;
    assert_eq!(dripped.json()["data"]["authMethod"], "OAUTH2");
    client
        .order(json!({"endpoint": "token", "kind": "malformed"}))
        .await;
    let half = client.refresh(&pair).await.unwrap();
    assert!(serde_json::from_str::<Value>(&half.body).is_err());
    assert_eq!(
        client.running.state()["refreshes"],
        1,
        "the malformed one alone took effect"
    );
}

#[tokio::test]
async fn a_replaced_answer_commits_if_ordered() {
    let (client, pair) = Client::with_pair().await;
    client
        .order(json!({"endpoint": "token", "kind": "status", "commit": true}))
        .await;
    assert_eq!(client.refresh(&pair).await.unwrap().status, 503);
    assert_eq!(
        client.introspect(pair.access_token.expose()).await.status,
        401
    );
}

#[tokio::test]
async fn a_detached_effect_comes_after_the_answer() {
    let (client, pair) = Client::with_pair().await;
    let order = json!({"endpoint": "token", "kind": "status", "delay": "50ms", "detached": true});
    client.order(order).await;
    assert_eq!(client.refresh(&pair).await.unwrap().status, 503);
    let applied = async {
        while client.running.state()["refreshes"] == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), applied)
        .await
        .unwrap();
}

#[tokio::test]
async fn refreshes_at_once_are_seen() {
    let (client, pair) = Client::with_pair().await;
    let slow = json!({"endpoint": "token", "count": 2, "kind": "delay", "delay": "1h"});
    client.order(slow).await;
    let called_off = async {
        while client.running.state()["faults_played"] != 2 {
            tokio::task::yield_now().await;
        }
        client.send("DELETE /_sandbox/faults", &[], "").await;
    };
    let (one, other, ()) = tokio::join!(client.refresh(&pair), client.refresh(&pair), called_off);
    let mut statuses = [one.unwrap().status, other.unwrap().status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
    let state = client.running.state();
    assert_eq!(state["concurrent_refreshes"], 2);
    assert_eq!(state["authorisations"][0]["concurrent_refreshes"], 2);
    assert_eq!(client.broken(), ["refresh_token_replayed"]);
}

#[tokio::test]
async fn what_is_called_off_waits_no_more_and_befalls_nobody_else() {
    let (client, pair) = Client::with_pair().await;
    let delay = json!({"endpoint": "introspect", "kind": "delay", "delay": "1h", "count": 9});
    client.order(delay).await;
    let asked = client.introspect(pair.access_token.expose());
    let called_off = async {
        while client.running.state()["faults_played"] == 0 {
            tokio::task::yield_now().await;
        }
        client.send("DELETE /_sandbox/faults", &[], "").await;
    };
    let (delayed, ()) = tokio::join!(asked, called_off);
    assert_eq!(delayed.status, 200);
    assert_eq!(client.running.state()["faults_waiting"], 0);
}
