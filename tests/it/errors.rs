//! Every error of the gateway's own looks like one: a problem document that programs can rely on, with nothing of the
//! internals.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use serde_json::{Value, json};

use crate::harness::SOON;
use crate::harness::client::{Answer, answer, call, send};
use crate::harness::gateway::{Gateway, KEY, OFFICE_KEY, Setup};
use crate::harness::link::Link;
use crate::harness::upstream::{FINE, Upstream};

const CALLER: (&str, &str) = ("pleo-gateway-key", KEY);

/// Fails unless the answer is a problem document as the contract has it; gives the document.
#[track_caller]
pub(crate) fn problem(answer: Answer, status: u16, code: &str) -> Value {
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
    let gateway = Gateway::limited(&upstream, "max_request_body = \"1KiB\"");
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
    let missing = problem(
        gateway.call("POST", "/v3/export-jobs", b"{}"),
        403,
        "scope-missing",
    );
    assert_eq!(missing["missing_scopes"], json!(["export-jobs:write"]));
    assert_eq!(missing["tenant"], "acme");
    assert_eq!(missing["route"], "createExportJobV3");
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
    let gateway = Gateway::limited(&upstream, "max_uri_bytes = \"1KiB\"\nmax_headers = 20");
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
    let gateway = Gateway::limited(&Upstream::fine(), "");
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
    let gateway = setup.start_with_acme();
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
        get(&[("authorization", "Bearer wrong-canary")]),
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
    let gateway = Gateway::limited(&upstream, "body_idle_timeout = \"300ms\"");
    let mut link = Link::to(gateway.base());
    let head =
        format!("POST /v1/vendors:search HTTP/1.1\r\nhost: x\r\npleo-gateway-key: {KEY}\r\n");
    link.send(format!("{head}content-length: 10\r\n\r\nhalf"))
        .unwrap();
    let late = answer(&mut link, "POST").unwrap();
    problem(late, 408, "request-timeout");
    assert!(link.is_closed());
}

/// Requirement 117: `max_in_flight`, of a caller and of all.
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
        "slow-canary",
        r#"["acme"]"#,
    ));
    setup.callers.push_str("rate = \"2/min\"\n");
    setup.limits = "max_in_flight = 2".to_owned();
    let gateway = setup.start_with_acme();
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

    get("slow-canary", "/v2/employees").expect(200);
    get("slow-canary", "/v2/employees").expect(200);
    let limited = problem(get("slow-canary", "/v2/employees"), 429, "rate-limited");
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
