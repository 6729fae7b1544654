//! Every error of the gateway's own looks like one: a problem document that a program can rely on, with nothing of the inside.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::harness::client::{Answer, answer, call, send};
use crate::harness::gateway::{Gateway, KEY, OFFICE_KEY, Setup};
use crate::harness::link::Link;
use crate::harness::sandbox::{Minted, Sandbox};
use crate::harness::upstream::{FINE, Upstream};
use crate::harness::{SOON, free_port};

const CALLER: (&str, &str) = ("pleo-gateway-key", KEY);

fn pair() -> Minted {
    let pair = json!({
        "access_token": "access-canary", "refresh_token": "refresh-canary", "expires_in": 3600,
        "scope": "users:read vendors:read", "company_id": "company-1",
    });
    Minted {
        pair,
        authorisation: 0,
        company: "company-1".to_owned(),
    }
}

fn before(upstream: &Upstream, limits: &str) -> Gateway {
    let mut setup = Setup::at(&upstream.origin());
    setup.limits = limits.to_owned();
    setup.start_connected(&[("acme", &pair())])
}

/// Fails unless the answer is a problem document as the contract has it; gives the document.
#[track_caller]
fn problem(answer: Answer, status: u16, code: &str) -> Value {
    let answer = answer.refused(status, code);
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    assert!(
        answer
            .header("proxy-status")
            .is_some_and(|value| !value.is_empty())
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let document = answer.json();
    assert_eq!(document["type"], format!("urn:pleo-gateway:error:{code}"));
    assert_eq!(document["status"], status);
    assert_eq!(document["code"], code);
    assert_eq!(
        document["request_id"].as_str(),
        answer.header("x-request-id")
    );
    for text in ["title", "detail"] {
        assert!(
            document[text].as_str().is_some_and(|text| text.len() > 3),
            "{document}"
        );
    }
    if let Some(wait) = document["retry_after"].as_u64() {
        assert_eq!(
            answer.header("retry-after"),
            Some(wait.to_string().as_str())
        );
        assert!(wait > 0);
    }
    let whole = format!("{}{}", answer.head.raw, answer.text());
    for inside in [
        "canary",
        "sandbox-secret",
        "/tmp/",
        "src/",
        ".rs",
        "Os {",
        "hyper",
        "rusqlite",
        KEY,
    ] {
        assert!(!whole.contains(inside), "{inside} in {whole}");
    }
    document
}

#[test]
fn what_a_caller_did_wrong_is_said_as_a_problem() {
    let upstream = Upstream::fine();
    let gateway = before(&upstream, "max_request_body = \"1KiB\"");
    let get = |target: &str| gateway.get(target);
    problem(get("/v2/employees/%2e%2e/x"), 400, "bad-request");
    problem(
        call(gateway.base(), "GET", "/v2/employees", &[], b""),
        401,
        "caller-unknown",
    );
    let foreign = gateway.call_with(
        "GET",
        "/v2/employees",
        &[("pleo-gateway-tenant", "beta")],
        b"",
    );
    problem(foreign, 403, "tenant-forbidden");
    problem(get("/v9/nothing"), 403, "route-denied");
    let missing = problem(get("/v3/export-jobs"), 403, "scope-missing");
    assert_eq!(missing["missing_scopes"], json!(["export-jobs:read"]));
    assert_eq!(missing["tenant"], "acme");
    assert_eq!(missing["route"], "getExportJobsListV3");
    problem(
        gateway.call("POST", "/v1/vendors:search", &[b'x'; 2000]),
        413,
        "body-too-large",
    );
    let beta = [
        ("pleo-gateway-key", OFFICE_KEY),
        ("pleo-gateway-tenant", "beta"),
    ];
    problem(
        call(gateway.base(), "GET", "/v2/employees", &beta, b""),
        503,
        "not-connected",
    );
    assert!(upstream.seen().is_empty());
}

#[test]
fn heads_that_are_too_large_and_methods_that_are_never_served_are_refused() {
    let upstream = Upstream::fine();
    let gateway = before(&upstream, "max_uri_bytes = \"1KiB\"\nmax_headers = 20");
    let long = format!("/v2/employees?x={}", "y".repeat(2000));
    problem(gateway.get(&long), 414, "uri-too-long");
    let fields: Vec<(String, String)> = (0..40)
        .map(|n| (format!("x-{n}"), "1".to_owned()))
        .collect();
    let fields: Vec<_> = fields
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    assert_eq!(
        gateway
            .call_with("GET", "/v2/employees", &fields, b"")
            .status,
        431
    );
    problem(
        gateway.call("TRACE", "/v2/employees", b""),
        405,
        "method-refused",
    );
    problem(
        gateway.call("CONNECT", "pleo.test:443", b""),
        405,
        "method-refused",
    );
    assert!(upstream.seen().is_empty());
}

#[test]
fn an_error_has_no_body_for_head() {
    let gateway = before(&Upstream::fine(), "");
    let mut link = Link::to(gateway.base());
    for _ in 0..2 {
        send(&mut link, "HEAD", "/v9/nothing", &[CALLER], b"");
        let answer = answer(&mut link, "HEAD")
            .unwrap()
            .refused(403, "route-denied");
        assert!(answer.body.is_empty());
    }
}

#[test]
fn without_a_key_only_own_names_are_answered_and_no_web_page_of_another_site() {
    let upstream = Upstream::fine();
    let mut setup = Setup::at(&upstream.origin());
    setup
        .callers
        .push_str("[[callers]]\nname = \"local\"\nanonymous = true\ntenants = [\"acme\"]\n");
    let gateway = setup.start_connected(&[("acme", &pair())]);
    let get = |headers: &[(&str, &str)]| call(gateway.base(), "GET", "/v2/employees", headers, b"");
    get(&[]).expect(200);
    problem(get(&[("host", "rebound.example.com")]), 421, "misdirected");
    problem(
        get(&[("origin", "https://evil.example.com")]),
        403,
        "cross-site",
    );
    problem(get(&[("sec-fetch-site", "cross-site")]), 403, "cross-site");
    problem(
        get(&[("authorization", "Bearer wrong")]),
        401,
        "caller-unknown",
    );
    // the page of another site could send a key as well
    let keyed = get(&[CALLER, ("host", "rebound.example.com")]);
    problem(keyed, 421, "misdirected");
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn a_body_that_stalls_is_a_request_timeout() {
    let upstream = Upstream::fine();
    let gateway = before(&upstream, "body_idle_timeout = \"300ms\"");
    let mut link = Link::to(gateway.base());
    let head =
        format!("POST /v1/vendors:search HTTP/1.1\r\nhost: x\r\npleo-gateway-key: {KEY}\r\n");
    link.send(format!("{head}content-length: 10\r\n\r\nhalf"))
        .unwrap();
    let late = answer(&mut link, "POST").unwrap();
    problem(late, 408, "request-timeout");
    assert!(link.is_closed());
}

#[test]
fn limits_of_our_own_are_429_and_a_full_gateway_503() {
    let (begun, has_begun) = channel();
    let begun = Mutex::new(begun);
    let (release, released) = channel::<()>();
    let released = Mutex::new(released);
    let upstream = Upstream::start(move |exchange| {
        exchange.body();
        if exchange.head.word(1) == "/v2/employees/slow" {
            begun.lock().unwrap().send(()).unwrap();
            released.lock().unwrap().recv_timeout(SOON).unwrap();
        }
        exchange.reply(FINE);
    });
    let mut setup = Setup::at(&upstream.origin());
    setup.callers = setup
        .callers
        .replace("name = \"erp\"", "name = \"erp\"\nmax_in_flight = 1");
    setup.callers.push_str(&crate::harness::gateway::caller(
        "slow",
        "slow-key",
        r#"["acme"]"#,
    ));
    setup.callers.push_str("rate = \"2/min\"\n");
    setup.limits = "max_in_flight = 2".to_owned();
    let gateway = setup.start_connected(&[("acme", &pair())]);
    let get = |key: &str, target: &str| {
        call(
            gateway.base(),
            "GET",
            target,
            &[("pleo-gateway-key", key)],
            b"",
        )
    };
    let office = [
        ("pleo-gateway-key", OFFICE_KEY),
        ("pleo-gateway-tenant", "acme"),
    ];

    get("slow-key", "/v2/employees").expect(200);
    get("slow-key", "/v2/employees").expect(200);
    let limited = problem(get("slow-key", "/v2/employees"), 429, "rate-limited");
    assert!((1..=60).contains(&limited["retry_after"].as_u64().unwrap()));

    std::thread::scope(|threads| {
        threads.spawn(|| get(KEY, "/v2/employees/slow").expect(200));
        has_begun.recv_timeout(SOON).unwrap();
        problem(get(KEY, "/v2/employees"), 429, "rate-limited");
        let second = threads
            .spawn(|| call(gateway.base(), "GET", "/v2/employees/slow", &office, b"").expect(200));
        has_begun.recv_timeout(SOON).unwrap();
        let full = call(gateway.base(), "GET", "/v2/employees", &office, b"");
        problem(full, 503, "overloaded");
        release.send(()).unwrap();
        release.send(()).unwrap();
        second.join().unwrap();
    });
}

#[test]
fn pleos_own_429_is_passed_on_and_remembered_for_that_tenant() {
    let upstream = Upstream::answering(
        "HTTP/1.1 429 Too Many Requests\r\nretry-after: 30\r\ncontent-length: 5\r\n\r\npleo!",
    );
    let gateway = before(&upstream, "");
    let first = gateway.get("/v2/employees").expect(429);
    assert_eq!((first.code(), first.text().as_str()), (None, "pleo!"));
    let second = problem(gateway.get("/v2/employees"), 429, "rate-limited");
    assert!((1..=30).contains(&second["retry_after"].as_u64().unwrap()));
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn a_request_that_was_here_before_is_a_loop() {
    let upstream = Upstream::fine();
    let gateway = before(&upstream, "");
    gateway.get("/v2/employees").expect(200);
    let via = upstream.only().head.field("via").unwrap().to_owned();
    let again = gateway.call_with("GET", "/v2/employees", &[("via", &via)], b"");
    problem(again, 508, "loop");
    gateway
        .call_with("GET", "/v2/employees", &[("via", "1.1 squid")], b"")
        .expect(200);
}

#[test]
fn a_pleo_that_cannot_be_reached_or_understood_is_a_bad_gateway() {
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let gateway = Setup::at(&nobody).start_connected(&[("acme", &pair())]);
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
    let gateway = before(&odd, "");
    for place in 1..5 {
        problem(
            gateway.get(&format!("/v2/employees/{place}")),
            502,
            "upstream-invalid",
        );
    }
}

#[test]
fn a_pleo_that_is_silent_is_a_gateway_timeout() {
    let (release, released) = channel::<()>();
    let released = Mutex::new(released);
    let upstream = Upstream::start(move |exchange| {
        exchange.body();
        let _ = released.lock().unwrap().recv_timeout(SOON);
        exchange.close();
    });
    let gateway = before(&upstream, "first_byte_timeout = \"300ms\"");
    problem(gateway.get("/v2/employees"), 504, "upstream-timeout");
    drop(release);
}

#[test]
fn an_authorisation_that_ended_needs_a_person() {
    let sandbox = Sandbox::start("15m");
    let mut minted = sandbox.mint();
    minted.pair.as_object_mut().unwrap().remove("access_token");
    let gateway = Setup::with(&sandbox).start_connected(&[("acme", &minted)]);
    sandbox.revoke(minted.authorisation);
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
    let mut minted = sandbox.mint();
    minted.pair.as_object_mut().unwrap().remove("access_token");
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
    let fresh = json!({"access_token": "second", "refresh_token": "r2", "expires_in": 900, "token_type": "Bearer"}).to_string();
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

#[test]
fn a_refused_token_is_replaced_and_the_kept_body_sent_again() {
    let upstream = changed_its_mind();
    let gateway = before(&upstream, "");
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

#[test]
fn a_refused_token_with_a_body_that_was_not_kept_is_safe_to_retry() {
    let upstream = changed_its_mind();
    let gateway = before(&upstream, "replay_buffer = \"1KiB\"");
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
