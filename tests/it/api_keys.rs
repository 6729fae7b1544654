//! API keys as credentials: set, used, refused, replaced, from the command line and at the operators' door.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use pleo_gateway::sandbox::{INTEGRATED_KEY, STANDALONE_KEY};
use serde_json::{Value, json};

use crate::stand::caller::{Answer, Link};
use crate::stand::serving::Serving;
use crate::stand::{Ended, Plan, READ, Stand, bundle};

#[track_caller]
fn ends(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    let said = format!("{}{}", ended.stdout, ended.stderr);
    for word in words {
        assert!(said.contains(word), "{word} in {said}");
    }
}

fn set_key(stand: &Stand, key: &str, more: &[&str]) -> Ended {
    let words = ["connections", "set-key", "acme", "--json"];
    stand.run(&[&words[..], more].concat(), key)
}

async fn operate(serving: &Serving, method: Method, path: &str, body: &Value) -> Answer {
    let (head, _) = serving.request(method, path).into_parts();
    let body = Full::new(Bytes::from(body.to_string()));
    let mut link = Link::open(serving.admin).await;
    link.request(Request::from_parts(head, body)).await.unwrap()
}

/// Every call and every question with a key is refused by Pleo from now on.
fn revoke(stand: &Stand) {
    for endpoint in ["api", "introspect"] {
        stand.order(&json!({"endpoint": endpoint, "kind": "status", "status": 401, "count": 50}));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_pleo_accepts_serves_calls_and_is_never_refreshed() {
    let stand = Stand::new(Plan::default()).await;
    let row = set_key(&stand, &format!("{INTEGRATED_KEY}\n"), &[]).fine();
    let row = row.json();
    assert_eq!(row["credential"], "integrated_key");
    assert_eq!(row["company_id"], json!(stand.pleo.company_ids()[0]));
    assert!(!row["scopes"].as_array().unwrap().is_empty());
    for time in [
        "access_expires_at",
        "refreshed_at",
        "consented_at",
        "next_refresh_at",
    ] {
        assert_eq!(row[time], Value::Null, "{time}");
    }
    let serving = stand.serve("gateway").await;
    assert_eq!(serving.get("acme", READ).await.status, 200);
    stand.run(&["connections", "verify", "acme"], "").fine();
    let words = "keys are not refreshed";
    let refresh = stand.run(&["connections", "refresh", "acme"], "");
    ends(&refresh, 65, &[words]);
    let resolve = stand.run(&["connections", "resolve", "acme", "--retry"], "");
    ends(&resolve, 65, &[words]);
    let path = "/v1/connections/acme/refresh";
    assert_eq!(serving.operate(Method::POST, path).await.status, 409);
    assert_eq!(stand.outcomes("acme"), ["adopted"]);
    stand.run(&["connections", "disconnect", "acme"], "").fine();
    assert_eq!(serving.connection("acme").await["state"], "disconnected");
    assert_eq!(stand.count("token_calls"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_good_key_is_refused_and_nothing_is_stored() {
    let stand = Stand::new(Plan::default()).await;
    for bad in [
        "",
        "\n",
        "two words",
        "key:",
        "bell\u{7}",
        &"x".repeat(9000),
    ] {
        ends(&set_key(&stand, bad, &[]), 65, &[]);
    }
    ends(&set_key(&stand, "unknown-canary", &[]), 69, &["refuses"]);
    stand.order(&json!({"endpoint": "introspect", "kind": "status", "status": 503, "count": 5}));
    ends(&set_key(&stand, INTEGRATED_KEY, &[]), 75, &[]);
    let list = stand.run(&["connections", "list", "--json"], "");
    assert_eq!(list.fine().json(), json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_active_connection_and_another_company_are_not_replaced_by_mistake() {
    let stand = Stand::new(Plan::default()).await;
    set_key(&stand, INTEGRATED_KEY, &[]).fine();
    ends(&set_key(&stand, INTEGRATED_KEY, &[]), 65, &["--replace"]);
    let again = set_key(&stand, INTEGRATED_KEY, &["--replace"]).fine();
    assert_eq!(again.json()["epoch"], 2);
    let other = set_key(&stand, STANDALONE_KEY, &["--replace"]);
    ends(&other, 65, &["company"]);
    stand.run(&["connections", "disconnect", "acme"], "").fine();
    let kind = set_key(&stand, STANDALONE_KEY, &["--kind", "standalone"]);
    assert_eq!(kind.fine().json()["credential"], "standalone_key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_pleo_refuses_ends_the_connection_once_until_it_is_replaced() {
    let stand = Stand::new(Plan::default()).await;
    set_key(&stand, INTEGRATED_KEY, &[]).fine();
    let serving = stand.serve("gateway").await;
    assert_eq!(serving.get("acme", READ).await.status, 200);
    let asked = stand.count("introspections");
    stand.order(&json!({"endpoint": "api", "kind": "status", "status": 401}));
    let answer = serving.get("acme", READ).await;
    assert_eq!((answer.status, answer.code()), (401, ""), "the key stands");
    assert_eq!(stand.count("introspections") - asked, 1);
    assert_eq!(serving.connection("acme").await["state"], "active");
    assert!(serving.stop().await.success());

    let serving = stand.serve("again").await;
    revoke(&stand);
    for _ in 0..3 {
        let answer = serving.get("acme", READ).await;
        assert_eq!(answer.code(), "reauthorization-required");
    }
    let row = serving.connection("acme").await;
    assert_eq!(row["state"], "reauthorization_required");
    assert_eq!(row["reason"], "key_rejected");
    let verify = stand.run(&["connections", "verify", "acme"], "");
    ends(&verify, 69, &["connections set-key acme"]);
    assert_eq!(stand.outcomes("acme"), ["adopted", "rejected"]);
    let replaced = stand.run(&["connections", "refresh", "acme"], "");
    ends(&replaced, 65, &["not refreshed"]);
    assert!(serving.stop().await.success());
    let log = std::fs::read_to_string(stand.home().join("again.stderr")).unwrap();
    assert_eq!(log.matches("replace the key with").count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_link_import_and_set_keys_at_their_door() {
    let stand = Stand::new(Plan {
        tenants: &["acme", "beta"],
        ..Plan::default()
    })
    .await;
    let serving = stand.serve("gateway").await;
    let key = json!({"key": STANDALONE_KEY, "kind": "standalone"});
    let path = "/v1/connections/acme/key";
    let set = operate(&serving, Method::PUT, path, &key).await;
    assert_eq!(set.status, 200, "{:?}", set.body);
    assert_eq!(set.json()["credential"], "standalone_key");
    assert_eq!(serving.get("acme", READ).await.status, 200);
    let refused = operate(&serving, Method::PUT, path, &key).await;
    assert_eq!(refused.status, 409);
    let detail = refused.json()["detail"].to_string();
    assert!(detail.contains("?replace=true"), "{detail}");
    let replace = format!("{path}?replace=true");
    let again = operate(&serving, Method::PUT, &replace, &key).await;
    assert_eq!(again.json()["epoch"], 2);
    let wrong = format!("{path}?force=true");
    assert_eq!(
        operate(&serving, Method::PUT, &wrong, &key).await.status,
        422
    );
    let bad = json!({"key": "a b"});
    let bad = operate(&serving, Method::PUT, &replace, &bad).await;
    assert_eq!(bad.status, 422);
    assert_eq!(bad.headers["content-type"], "application/problem+json");
    let huge = json!({"key": "x".repeat(2 << 20)});
    assert_eq!(
        operate(&serving, Method::PUT, &replace, &huge).await.status,
        413
    );

    let pair = bundle(&stand.mint(), true);
    let path = "/v1/connections/beta/import?verify=true";
    let imported = operate(&serving, Method::POST, path, &pair).await;
    assert_eq!(imported.status, 200, "{:?}", imported.body);
    assert_eq!(imported.json()["state"], "active");
    assert_eq!(serving.get("beta", READ).await.status, 200);
    let path = "/v1/connections/beta/link?expires_in=60";
    let linked = serving.operate(Method::POST, path).await.json();
    assert_eq!(linked["tenant"], "beta");
    assert!(linked["url"].as_str().unwrap().contains("/connect/"));
    assert!(linked["expires_at"].is_string());
    for life in ["0", "4000000000"] {
        let path = format!("/v1/connections/beta/link?expires_in={life}");
        assert_eq!(serving.operate(Method::POST, &path).await.status, 422);
    }
    let path = "/v1/connections/beta/key";
    assert_eq!(serving.operate(Method::POST, path).await.status, 405);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_of_another_provider_is_never_sent() {
    let stand = Stand::new(Plan::default()).await;
    set_key(&stand, INTEGRATED_KEY, &[]).fine();
    let text = std::fs::read_to_string(stand.config()).unwrap();
    let other = text.replace("client_id = \"sandbox\"", "client_id = \"other\"");
    assert_ne!(text, other);
    std::fs::write(stand.config(), other).unwrap();
    let serving = stand.serve("gateway").await;
    assert_eq!(serving.get("acme", READ).await.code(), "not-connected");
}
