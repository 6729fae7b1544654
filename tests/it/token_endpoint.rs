//! Whatever the token endpoint does: a clear outcome, and no caller whose token still lives notices (design.md R4, R11).

use http::Method;
use pleo_gateway::sandbox::Minted;
use serde_json::{Value, json};

use crate::stand::caller::Link;
use crate::stand::serving::Serving;
use crate::stand::{Plan, READ, SOON, Stand, until};

const REFRESH: &str = "timeout = \"1s\"\nadoption_grace = \"5s\"\nhold = \"100ms\"\n";

/// What the token endpoint does, and what becomes of the connection.
struct Case {
    name: &'static str,
    fault: Value,
    outcome: &'static str,
    state: &'static str,
}

fn case(name: &'static str, outcome: &'static str, state: &'static str, fault: Value) -> Case {
    let mut fault = fault;
    fault["endpoint"] = "token".into();
    Case {
        name,
        fault,
        outcome,
        state,
    }
}

fn no_pair(name: &'static str, fault: Value) -> Case {
    case(name, "uncertain", "uncertain", fault)
}

/// Answers that prove nothing about whether the refresh was applied. None of them was.
fn proving_nothing() -> Vec<Case> {
    let html = "<!doctype html><title>502 Bad Gateway</title>";
    let half = r#"{"access_token":"sandbox_access_half","refr"#;
    vec![
        no_pair("status-500", json!({"kind": "status", "status": 500})),
        no_pair(
            "status-503",
            json!({"kind": "status", "status": 503, "headers": {"retry-after": "1"}}),
        ),
        no_pair(
            "page-502",
            json!({"kind": "status", "status": 502, "body": html}),
        ),
        no_pair("page-200", json!({"kind": "body", "body": html})),
        no_pair("half-json", json!({"kind": "body", "body": half})),
        no_pair("empty-200", json!({"kind": "body"})),
        no_pair("large-5mb", json!({"kind": "body", "size": 5 << 20})),
        no_pair(
            "no-access",
            json!({"kind": "body", "body": r#"{"refresh_token":"r-canary"}"#}),
        ),
        no_pair("hangs", json!({"kind": "delay", "delay": "5s"})),
        no_pair("drops", json!({"kind": "drop_before"})),
        no_pair("resets", json!({"kind": "reset"})),
        no_pair(
            "found-302",
            json!({"kind": "status", "status": 302, "headers": {"location": "/oauth/token"}}),
        ),
        no_pair(
            "bare-400",
            json!({"kind": "status", "status": 400, "body": "no"}),
        ),
        no_pair(
            "other-400",
            json!({"kind": "status", "status": 400, "body": r#"{"error":"invalid_request"}"#}),
        ),
        no_pair(
            "grant-500",
            json!({"kind": "status", "status": 500, "body": r#"{"error":"invalid_grant"}"#}),
        ),
    ]
}

/// Answers that prove that the refresh was not applied.
fn not_applied() -> Vec<Case> {
    let refused = |error: &str| json!({ "error": error }).to_string();
    vec![
        case(
            "client-401",
            "client_rejected",
            "active",
            json!({"kind": "status", "status": 401, "body": refused("invalid_client")}),
        ),
        case(
            "client-400",
            "client_rejected",
            "active",
            json!({"kind": "status", "status": 400, "body": refused("unauthorized_client")}),
        ),
        case(
            "wait-429",
            "refused_for_now",
            "active",
            json!({"kind": "status", "status": 429, "headers": {"retry-after": "120"}}),
        ),
    ]
}

async fn served(link: &mut Link, tenant: &str, when: &str) {
    let answer = link.get(tenant, READ).await.unwrap();
    let said = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(answer.status, 200, "{tenant}, {when}: {said}");
}

/// One refresh under a fault, with calls before, during and after.
async fn suffer(stand: &Stand, serving: &Serving, case: &Case) {
    let tenant = case.name;
    let before = serving.refreshes(case.outcome).await;
    let mut link = Link::open(serving.callers).await;
    served(&mut link, tenant, "before").await;
    stand.order(&case.fault);
    let path = format!("/v1/connections/{tenant}/refresh");
    let mut asking = std::pin::pin!(serving.operate(Method::POST, &path));
    let answer = loop {
        tokio::select! {
            answer = &mut asking => break answer,
            () = served(&mut link, tenant, "during") => {}
        }
    };
    assert_eq!(answer.status, 503, "{tenant}: {:?}", answer.body);
    served(&mut Link::open(serving.callers).await, tenant, "after").await;
    let row = serving.connection(tenant).await;
    assert_eq!(
        (&row["state"], &row["reason"]),
        (&json!(case.state), &Value::Null),
        "{tenant}"
    );
    assert_eq!(row["generation"], 0, "{tenant}");
    assert_eq!(
        stand.outcomes(tenant).last().unwrap(),
        case.outcome,
        "{tenant}"
    );
    let counted = serving.refreshes(case.outcome).await - before;
    assert!(
        (counted - 1.0).abs() < 0.1,
        "{tenant} counted {counted} times"
    );
}

async fn connected(tenants: &[&'static str]) -> Stand {
    let stand = Stand::new(Plan {
        tenants,
        refresh: REFRESH,
        ..Plan::default()
    })
    .await;
    let lines = tenants.iter().map(|tenant| stand.line(tenant).to_string());
    let lines: Vec<_> = lines.collect();
    let words = [
        "connections",
        "import",
        "--file",
        "-",
        "--allow-shared-company",
    ];
    stand.run(&words, &lines.join("\n")).fine();
    stand
}

/// Requirements 101 and 102.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_proves_nothing_is_uncertain_and_costs_neither_calls_nor_the_connection() {
    let cases = proving_nothing();
    let names: Vec<_> = cases.iter().map(|case| case.name).collect();
    let stand = connected(&names).await;
    let serving = stand.serve("gateway").await;
    for case in &cases {
        suffer(&stand, &serving, case).await;
    }
    until(
        "introspection has shown that none was applied",
        SOON * 4,
        async || {
            for name in &names {
                served(
                    &mut Link::open(serving.callers).await,
                    name,
                    "while uncertain",
                )
                .await;
                if serving.connection(name).await["state"] != "active" {
                    return None;
                }
            }
            Some(())
        },
    )
    .await;
    for name in ["status-500", "hangs"] {
        let path = format!("/v1/connections/{name}/refresh");
        let again = serving.operate(Method::POST, &path).await;
        assert_eq!(again.status, 200, "{name}: {:?}", again.body);
    }
    assert!(stand.broken().is_empty(), "{:?}", stand.broken());
}

/// Requirements 100 and 101.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_client_and_a_429_mark_no_connection_dead_and_are_not_pressed() {
    for case in not_applied() {
        let stand = connected(&[case.name]).await;
        let serving = stand.serve("gateway").await;
        suffer(&stand, &serving, &case).await;
        if case.name == "wait-429" {
            let row = serving.connection(case.name).await;
            let at: jiff::Timestamp = row["next_refresh_at"].as_str().unwrap().parse().unwrap();
            let now: jiff::Timestamp = stand.pleo.state()["time"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap();
            assert!(at.duration_since(now).as_secs() > 100, "{row}");
        }
        assert_eq!(
            stand.count("token_calls"),
            0,
            "faults reach no token endpoint"
        );
        assert!(stand.broken().is_empty(), "{:?}", stand.broken());
    }
}

/// Requirement 99.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_refresh_token_ends_the_connection_and_is_not_presented_again() {
    let stand = connected(&["acme"]).await;
    let serving = stand.serve("gateway").await;
    assert_eq!(serving.get("acme", READ).await.status, 200);
    let refused = r#"{"error":"invalid_grant"}"#;
    stand.order(&json!({"endpoint": "token", "kind": "status", "status": 400, "body": refused}));
    for _ in 0..2 {
        let path = "/v1/connections/acme/refresh";
        assert_eq!(serving.operate(Method::POST, path).await.status, 409);
    }
    let row = serving.connection("acme").await;
    assert_eq!(row["state"], "reauthorization_required");
    assert_eq!(row["reason"], "revoked");
    assert_eq!(stand.outcomes("acme").last().unwrap(), "rejected");
    let answer = serving.get("acme", READ).await;
    assert_eq!(
        (answer.status, answer.code()),
        (503, "reauthorization-required")
    );
    assert_eq!(stand.authorisation(1)["refresh_calls"], 1);
}

/// Requirement 98: what reached nobody may be sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_endpoint_that_cannot_be_reached_is_not_sent_and_tried_again() {
    let token_url = "http://127.0.0.1:9/oauth/token";
    let stand = Stand::new(Plan {
        refresh: REFRESH,
        token_url: Some(token_url),
        ..Plan::default()
    })
    .await;
    stand.connect("acme");
    let serving = stand.serve("gateway").await;
    for _ in 0..2 {
        let path = "/v1/connections/acme/refresh";
        assert_eq!(serving.operate(Method::POST, path).await.status, 503);
        assert_eq!(serving.get("acme", READ).await.status, 200);
    }
    assert_eq!(serving.connection("acme").await["state"], "active");
    assert_eq!(stand.outcomes("acme").last().unwrap(), "not_sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_lost_after_it_was_applied_is_reported_as_lost_and_never_replayed() {
    let kinds = [
        (
            "drops-after",
            json!({"endpoint": "token", "kind": "drop_after"}),
        ),
        (
            "malformed",
            json!({"endpoint": "token", "kind": "malformed"}),
        ),
    ];
    let names: Vec<_> = kinds.iter().map(|(name, _)| *name).collect();
    let stand = connected(&names).await;
    let serving = stand.serve("gateway").await;
    for (name, fault) in &kinds {
        assert_eq!(serving.get(name, READ).await.status, 200);
        stand.order(fault);
        let path = format!("/v1/connections/{name}/refresh");
        assert_eq!(
            serving.operate(Method::POST, &path).await.status,
            503,
            "{name}"
        );
        assert_eq!(
            serving.connection(name).await["state"],
            "uncertain",
            "{name}"
        );
    }
    for name in names {
        let row = until("the lost answer is found out", SOON * 4, async || {
            let row = serving.connection(name).await;
            (row["state"] == "reauthorization_required").then_some(row)
        })
        .await;
        assert_eq!(row["reason"], "answer_lost", "{name}");
    }
    stand.assert_no_rule_was_broken();
}

/// A good answer for `minted`, in another shape.
fn shaped(minted: &Minted, change: impl FnOnce(&mut Value)) -> Value {
    let mut body = json!({
        "access_token": minted.access_token.expose(),
        "refresh_token": minted.refresh_token.expose(),
        "token_type": "Bearer",
        "expires_in": 900,
    });
    change(&mut body);
    json!({"endpoint": "token", "kind": "body", "body": body.to_string()})
}

/// Requirement 103.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_is_not_lost_to_a_strange_life_or_a_missing_refresh_token() {
    let lives = [
        ("text", json!("900"), 900),
        ("float", json!(900.0), 900),
        ("missing", Value::Null, 300),
        ("zero", json!(0), 300),
        ("negative", json!(-5), 300),
        ("huge", json!(1e30), 300),
        ("word", json!("soon"), 300),
    ];
    let names: Vec<_> = lives
        .iter()
        .map(|(name, ..)| *name)
        .chain(["kept"])
        .collect();
    let stand = connected(&names).await;
    let serving = stand.serve("gateway").await;
    for (name, life, seconds) in lives {
        let answer = shaped(&stand.mint(), |body| body["expires_in"] = life);
        let left = refreshed_with(&stand, &serving, name, &answer).await;
        assert!((seconds - 15..=seconds).contains(&left), "{name}: {left}");
    }
    let fresh = stand.mint();
    let bare = shaped(&fresh, |body| {
        body.as_object_mut().unwrap().remove("refresh_token");
    });
    refreshed_with(&stand, &serving, "kept", &bare).await;
    let path = "/v1/connections/kept/refresh";
    let again = serving.operate(Method::POST, path).await;
    assert_eq!(
        again.status, 200,
        "the refresh token that was kept is good: {:?}",
        again.body
    );
    assert!(stand.broken().is_empty(), "{:?}", stand.broken());
}

/// Refreshes with `answer`, which is to be used; the seconds that the new access token has left.
async fn refreshed_with(stand: &Stand, serving: &Serving, tenant: &str, answer: &Value) -> i64 {
    assert_eq!(serving.get(tenant, READ).await.status, 200);
    stand.order(answer);
    let path = format!("/v1/connections/{tenant}/refresh");
    let done = serving.operate(Method::POST, &path).await;
    assert_eq!(done.status, 200, "{tenant}: {:?}", done.body);
    let row = done.json();
    assert_eq!(
        (&row["state"], &row["generation"]),
        (&json!("active"), &json!(1)),
        "{tenant}"
    );
    assert_eq!(serving.get(tenant, READ).await.status, 200, "{tenant}");
    let until: jiff::Timestamp = row["access_expires_at"].as_str().unwrap().parse().unwrap();
    let now: jiff::Timestamp = stand.pleo.state()["time"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    until.duration_since(now).as_secs()
}
