//! Errors of the gateway's own that Pleo causes: silence, nonsense, refused tokens, ended authorisations.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::errors::problem;
use crate::harness::gateway::{Gateway, Setup};
use crate::harness::sandbox::Sandbox;
use crate::harness::upstream::{FINE, Upstream};
use crate::harness::{SOON, free_port};

#[test]
fn pleos_own_429_is_passed_on_and_remembered_for_that_tenant() {
    let upstream = Upstream::answering(
        "HTTP/1.1 429 Too Many Requests\r\nretry-after: 30\r\ncontent-length: 5\r\n\r\npleo!",
    );
    let gateway = Gateway::before(&upstream);
    let first = gateway.get("/v2/employees").expect(429);
    assert_eq!((first.code(), first.text().as_str()), (None, "pleo!"));
    let second = problem(gateway.get("/v2/employees"), 429, "rate-limited");
    assert!((1..=30).contains(&second["retry_after"].as_u64().unwrap()));
    assert_eq!(upstream.seen().len(), 1);
}

/// Requirement 36.
#[test]
fn a_request_that_was_here_before_is_a_loop() {
    let upstream = Upstream::fine();
    let gateway = Gateway::before(&upstream);
    gateway.get("/v2/employees").expect(200);
    let via = upstream.only().head.field("via").unwrap().to_owned();
    let again = gateway.call_with("GET", "/v2/employees", &[("via", &via)], b"");
    problem(again, 508, "loop");
    gateway
        .call_with("GET", "/v2/employees", &[("via", "1.1 squid")], b"")
        .expect(200);
}

/// Requirement 44; `problem` looks for addresses and inner talk in what is said.
#[test]
fn a_pleo_that_cannot_be_reached_or_understood_is_a_bad_gateway() {
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let gateway = Setup::at(&nobody).start_with_acme();
    problem(gateway.get("/v2/employees"), 502, "upstream-unreachable");

    let odd = Upstream::start(|exchange| {
        exchange.body();
        match exchange.head.word(1) {
            "/v2/employees/1" => exchange.reply("SSH-2.0-OpenSSH\r\n\r\n"),
            "/v2/employees/2" => exchange.reply(
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
            ),
            "/v2/employees/3" => exchange
                .reply("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx"),
            _ => {}
        }
        exchange.close();
    });
    let gateway = Gateway::before(&odd);
    for place in 1..5 {
        problem(
            gateway.get(&format!("/v2/employees/{place}")),
            502,
            "upstream-invalid",
        );
    }
}

/// Requirement 44.
#[test]
fn a_pleo_that_is_silent_is_a_gateway_timeout() {
    let (release, released) = channel::<()>();
    let released = Mutex::new(released);
    let upstream = Upstream::start(move |exchange| {
        exchange.body();
        let _ = released.lock().unwrap().recv_timeout(SOON);
        exchange.close();
    });
    let gateway = Gateway::limited(&upstream, "first_byte_timeout = \"300ms\"");
    problem(gateway.get("/v2/employees"), 504, "upstream-timeout");
    drop(release);
}

#[test]
fn an_authorisation_that_ended_needs_a_person() {
    let sandbox = Sandbox::start("15m");
    let minted = sandbox.mint().without_access();
    let gateway = Setup::with(&sandbox).start_connected(&[("acme", &minted)]);
    sandbox.revoke(&minted);
    let said = problem(
        gateway.get("/v3/export-jobs"),
        503,
        "reauthorization-required",
    );
    assert_eq!(said["state"], "reauthorization_required");
    problem(
        gateway.get("/v3/export-jobs"),
        503,
        "reauthorization-required",
    );
    assert_eq!(
        sandbox.count("token_calls"),
        1,
        "a rejected token was presented again"
    );
    assert_eq!(gateway.connection("acme")["reason"], "revoked");
}

#[test]
fn a_refresh_that_fails_for_now_says_when_to_come_back() {
    let sandbox = Sandbox::start("15m");
    let minted = sandbox.mint().without_access();
    sandbox.fault(&json!({"endpoint": "token", "kind": "status", "status": 429, "headers": {"retry-after": "20"}}));
    let gateway = Setup::with(&sandbox).start_connected(&[("acme", &minted)]);
    let said = problem(gateway.get("/v3/export-jobs"), 503, "token-unavailable");
    assert!(
        (1..=20).contains(&said["retry_after"].as_u64().unwrap()),
        "{said}"
    );
    problem(gateway.get("/v3/export-jobs"), 503, "token-unavailable");
    let asked = sandbox.count("faults_played") + sandbox.count("token_calls");
    assert_eq!(asked, 1, "Retry-After was not obeyed");
}

/// A Pleo that refuses the first access token, and gives a second one.
fn changed_its_mind() -> Upstream {
    let fresh = json!({"access_token": "second-canary", "refresh_token": "r2-canary", "expires_in": 900, "token_type": "Bearer"}).to_string();
    let length = fresh.len();
    let pair = Arc::new(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{fresh}"
    ));
    Upstream::start(move |exchange| {
        exchange.body();
        let is_old = exchange.head.field("authorization") == Some("Bearer access-canary");
        match exchange.head.word(1) {
            "/oauth/token" => exchange.reply(pair.as_str()),
            _ if is_old => exchange.reply("HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Bearer error=\"invalid_token\"\r\ncontent-length: 0\r\n\r\n"),
            _ => exchange.reply(FINE),
        }
    })
}

/// Requirement 47.
#[test]
fn a_refused_token_is_replaced_and_the_kept_body_sent_again() {
    let upstream = changed_its_mind();
    let gateway = Gateway::before(&upstream);
    gateway
        .call("POST", "/v1/vendors:search", b"kept")
        .expect(200);
    let calls = upstream
        .seen()
        .into_iter()
        .filter(|seen| seen.head.word(1) == "/v1/vendors:search");
    let calls: Vec<_> = calls.map(|seen| seen.body).collect();
    assert_eq!(calls, [b"kept", b"kept"]);
}

/// Requirement 47.
#[test]
fn a_refused_token_with_a_body_that_was_not_kept_is_safe_to_retry() {
    let upstream = changed_its_mind();
    let gateway = Gateway::limited(&upstream, "replay_buffer = \"1KiB\"");
    let body = vec![b'x'; 4096];
    problem(
        gateway.call("POST", "/v1/vendors:search", &body),
        503,
        "token-rejected",
    );
    gateway
        .call("POST", "/v1/vendors:search", &body)
        .expect(200);
}
