//! What arrives at Pleo and what comes back: the caller's own bytes, without what is not for Pleo or not for the caller.

use std::sync::{Arc, OnceLock};

use crate::harness::client::{Answer, call};
use crate::harness::gateway::{Gateway, KEY, Setup};
use crate::harness::upstream::Upstream;

#[test]
fn the_target_arrives_byte_for_byte_and_the_body_untouched() {
    let upstream = Upstream::fine();
    let gateway = Gateway::before(&upstream);
    let query = "?b=%7e%3a&a=+%20&&c=%C3%A6;x=[1]&a=%2F..%2F&empty=&'q'";
    let body = [0, 255, 13, 10, 13, 10, 128];
    gateway
        .call("POST", &format!("/v1/vendors%3asearch{query}"), &body)
        .expect(200);
    let seen = upstream.only();
    assert_eq!(
        seen.head.first,
        format!("POST /v1/vendors:search{query} HTTP/1.1")
    );
    assert_eq!(seen.body, body);
}

#[test]
fn nothing_of_the_callers_own_credentials_and_hops_is_sent_on() {
    let upstream = Upstream::fine();
    let gateway = Gateway::before(&upstream);
    let headers = [
        ("authorization", "Bearer erp-canary"),
        ("cookie", "session=a-canary"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-host", "canary"),
        ("forwarded", "for=canary"),
        ("x-api-key", "a-canary"),
        ("proxy-authorization", "Basic a-canary"),
        ("proxy-connection", "keep-alive"),
        ("pleo-gateway-anything", "canary"),
        ("connection", "x-hop"),
        ("x-hop", "canary"),
        ("keep-alive", "timeout=5"),
        ("te", "gzip"),
        ("x-own", "kept"),
        ("user-agent", "legacy/1.0"),
        ("accept-encoding", "identity;q=0.5"),
    ];
    gateway
        .call_with("GET", "/v2/employees", &headers, b"")
        .expect(200);
    let head = upstream.only().head;
    assert_eq!(head.all("authorization"), ["Bearer access-canary"]);
    assert_eq!(head.field("x-own"), Some("kept"));
    assert_eq!(head.field("user-agent"), Some("legacy/1.0"));
    assert_eq!(head.field("accept-encoding"), Some("identity;q=0.5"));
    assert_eq!(
        head.field("host"),
        Some(&upstream.origin()["http://".len()..])
    );
    assert!(head.field("via").is_some_and(|via| via.starts_with("1.1 ")));
    assert!(head.field("x-request-id").is_some());
    let rest = head.raw.replace("access-canary", "");
    for word in [
        "canary",
        KEY,
        "forwarded",
        "10.0.0.1",
        "x-hop",
        "keep-alive",
        "gzip",
        "cookie",
    ] {
        assert!(
            !rest.to_ascii_lowercase().contains(word),
            "{word} in {rest}"
        );
    }
}

#[test]
fn the_callers_request_id_is_kept_and_told() {
    let upstream = Upstream::fine();
    let gateway = Gateway::before(&upstream);
    let answer = gateway.call_with("GET", "/v2/employees", &[("x-request-id", "abc-123")], b"");
    assert_eq!(answer.expect(200).header("x-request-id"), Some("abc-123"));
    assert_eq!(upstream.only().head.all("x-request-id"), ["abc-123"]);
}

/// What a caller gets of this answer.
fn handed_on(answer: &str) -> Answer {
    let upstream = Upstream::answering(answer);
    Gateway::before(&upstream).get("/v2/employees")
}

#[test]
fn pleos_answer_is_untouched_but_for_hops_cookies_and_challenges() {
    let answer = handed_on(
        "HTTP/1.1 418 Odd\r\ncontent-length: 4\r\nx-odd: a\r\nx-odd: b\r\netag: \"x\"\r\nset-cookie: a=b\r\n\
         www-authenticate: Bearer\r\nproxy-authenticate: Basic\r\nalt-svc: h3\r\nstrict-transport-security: max-age=1\r\n\
         pleo-gateway-error: forged\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=3\r\n\r\n\0\u{1}ab",
    )
    .expect(418);
    assert_eq!(answer.body, b"\0\x01ab");
    assert_eq!(answer.head.all("x-odd"), ["a", "b"]);
    assert_eq!(answer.header("etag"), Some("\"x\""));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    for gone in [
        "set-cookie",
        "www-authenticate",
        "proxy-authenticate",
        "alt-svc",
        "strict-transport-security",
        "pleo-gateway-error",
        "x-hop",
        "keep-alive",
    ] {
        assert_eq!(answer.header(gone), None, "{gone}");
    }
}

/// Requirement 51.
#[test]
fn redirects_are_passed_on_and_lead_back_to_the_gateway() {
    let own = Arc::new(OnceLock::<String>::new());
    let location = Arc::clone(&own);
    let upstream = Upstream::start(move |exchange| {
        exchange.body();
        let target = location.get().unwrap();
        exchange.reply(format!(
            "HTTP/1.1 303 See Other\r\ncontent-length: 0\r\nlocation: {target}\r\n\r\n"
        ));
    });
    own.set(format!("{}/v3/export-jobs/7?x=1", upstream.origin()))
        .unwrap();
    let mut setup = Setup::at(&upstream.origin());
    setup.proxy = "public_url = \"http://gateway.test:8080\"".to_owned();
    let gateway = setup.start_with_acme();
    let plain = gateway.get("/v3/export-jobs").expect(303);
    assert_eq!(
        plain.header("location"),
        Some("http://gateway.test:8080/v3/export-jobs/7?x=1")
    );
    let prefixed = gateway.get("/tenants/acme/v3/export-jobs").expect(303);
    let expected = "http://gateway.test:8080/tenants/acme/v3/export-jobs/7?x=1";
    assert_eq!(prefixed.header("location"), Some(expected));
    assert_eq!(upstream.seen().len(), 2);
}

/// Requirement 51: where the tenant is pinned, too, and whatever the scheme.
#[test]
fn redirects_keep_the_way_the_request_was_addressed() {
    let upstream = Upstream::start(|exchange| {
        exchange.body();
        let pleo = exchange.head.field("host").unwrap().to_owned();
        exchange.reply(format!(
            "HTTP/1.1 303 See Other\r\ncontent-length: 0\r\nlocation: https://user@{pleo}/v1/x\r\n\r\n"
        ));
    });
    let mut setup = Setup::at(&upstream.origin());
    setup.doors = "[[listen]]\naddress = \"127.0.0.1:0\"\ntenant = \"acme\"\n".to_owned();
    setup.proxy = "public_url = \"http://gw.pleo.test:8080\"\ntenant_host = \"{tenant}.pleo.test\""
        .to_owned();
    let gateway = setup.start_with_acme();
    let ours = "http://gw.pleo.test:8080";
    for (host, target, expected) in [
        ("127.0.0.1", "/v3/export-jobs", format!("{ours}/v1/x")),
        (
            "gw.pleo.test:8080",
            "/v3/export-jobs",
            format!("{ours}/v1/x"),
        ),
        (
            "gw.pleo.test:8080",
            "/tenants/acme/v3/export-jobs",
            format!("{ours}/tenants/acme/v1/x"),
        ),
        (
            "acme.pleo.test:8080",
            "/v3/export-jobs",
            "http://acme.pleo.test:8080/v1/x".to_owned(),
        ),
    ] {
        let fields = [("pleo-gateway-key", KEY), ("host", host)];
        let answer = call(gateway.base(), "GET", target, &fields, b"");
        let location = answer.expect(303).header("location").map(str::to_owned);
        assert_eq!(location, Some(expected), "{host} {target}");
    }
}

/// Requirement 51.
#[test]
fn redirects_to_elsewhere_are_left_as_they_are() {
    let answer = handed_on(
        "HTTP/1.1 302 Found\r\ncontent-length: 0\r\nlocation: https://files.example.com/x?sig=1\r\n\r\n",
    );
    assert_eq!(
        answer.expect(302).header("location"),
        Some("https://files.example.com/x?sig=1")
    );
}
