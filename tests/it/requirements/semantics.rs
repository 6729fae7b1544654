//! What a proxy does with well-formed requests (requirements 34, 35, 37 to 39, 50). Sizes, speed and retries have tests of
//! their own elsewhere.

use super::Fate::{Refused, Served};
use super::answers::answering;
use super::{Scene, request};
use crate::harness::link::Link;

/// Requirements 34, 35: what `Connection` names, and what else concerns one link, ends here, both ways; what we put on
/// cannot be named away.
#[test]
fn hops_end_here_both_ways() {
    let scene = answering(
        "",
        &[(
            "HTTP/1.1 200 OK\r\nconnection: x-hop, close\r\nconnection: X-Other\r\nx-hop: 1\r\nx-other: 1\r\nkeep-alive: timeout=1\r\nproxy-connection: close\r\nupgrade: h2c\r\nte: gzip\r\nx-kept: 1\r\ncontent-length: 0\r\n\r\n",
            true,
        )],
    );
    let more = "connection: X-Hop , x-other\r\nconnection: host, authorization, via, x-request-id, content-length, te\r\nx-hop: 1\r\nx-other: 1\r\nkeep-alive: timeout=1\r\nproxy-connection: close\r\nte: gzip, trailers\r\nupgrade: h2c\r\ntrailer: x-sum\r\nx-kept: 1\r\ncontent-length: 5\r\n";
    let outcome = scene.check(&request("POST /any/0", more, "hello"), Served("hello"));
    let head = outcome.head();
    for gone in [
        "x-hop",
        "x-other",
        "keep-alive",
        "proxy-connection",
        "upgrade",
    ] {
        assert_eq!(head.field(gone), None, "{}", head.raw);
        assert_eq!(outcome.answers[0].header(gone), None, "{gone}");
    }
    assert_eq!(head.field("te"), Some("trailers"));
    assert_eq!(head.field("connection"), Some("te"));
    assert_eq!(head.field("x-kept"), Some("1"));
    assert!(head.field("x-request-id").is_some());
    assert_eq!(outcome.answers[0].header("te"), None);
    assert_eq!(outcome.answers[0].header("connection"), None);
    assert_eq!(outcome.answers[0].header("x-kept"), Some("1"));
}

/// Requirement 37: an OPTIONS that may go no further is answered here, others lose one of what they may; TRACE is never
/// served, so that nobody is shown the token (requirement 76).
#[test]
fn max_forwards_is_counted_for_options() {
    let scene = Scene::new();
    let ask = |method: &str, left: &str| {
        request(
            &format!("{method} /any/g"),
            &format!("max-forwards: {left}\r\n"),
            "",
        )
    };
    let outcome = scene.send(&ask("OPTIONS", "0"));
    assert_eq!(outcome.answers[0].status, 204);
    let allowed = outcome.answers[0].header("allow").unwrap();
    assert!(
        allowed.split(", ").any(|method| method == "OPTIONS"),
        "{allowed}"
    );
    assert_eq!(outcome.seen.len(), 1, "only what came after it was sent on");
    for (method, left, arrives) in [
        ("OPTIONS", "1", "0"),
        ("OPTIONS", "10", "9"),
        ("OPTIONS", "x", "x"),
        ("GET", "0", "0"),
        ("GET", "3", "3"),
    ] {
        let outcome = scene.check(&ask(method, left), Served(""));
        assert_eq!(
            outcome.head().field("max-forwards"),
            Some(arrives),
            "{method}"
        );
    }
    for left in ["0", "5"] {
        scene.check(&ask("TRACE", left), Refused(405));
    }
    let nobody = ask("OPTIONS", "0").replace("pleo-gateway-key", "x-key");
    assert_eq!(scene.send(&nobody).answers[0].status, 401);
}

/// Requirement 38: 100 is said before the body is asked for; an expectation that nobody knows is refused (with 400: the
/// contract has no 417); HTTP/1.0 gets no 100; Pleo never sees one, so that it has none to refuse.
#[test]
fn only_a_continue_may_be_expected() {
    let scene = Scene::new();
    let ask = |expect: &str| {
        request(
            "POST /any/p",
            &format!("expect: {expect}\r\ncontent-length: 5\r\n"),
            "hello",
        )
    };
    for known in ["100-continue", "100-Continue"] {
        scene.check(&ask(known), Served("hello"));
    }
    for unknown in [
        "200-ok",
        "",
        "100-continue, 100-continue",
        "100-continue\r\nexpect: x",
    ] {
        scene.check(&ask(unknown), Refused(400));
    }
    scene.check(
        &request("GET /any/g", "expect: 100-continue\r\n", ""),
        Served(""),
    );
    let old = ask("100-continue").replacen("1.1", "1.0", 1);
    let mut link = Link::to(scene.gateway.base());
    link.send(old).unwrap();
    assert_eq!(link.head().unwrap().unwrap().word(1), "200");
}

/// Requirement 39: nothing is ever upgraded: the request is served as it is, and what follows is the next request, with a
/// caller of its own. Requirement 50: so is each of several that were sent ahead.
#[test]
fn what_follows_is_a_request_of_its_own() {
    let scene = Scene::new();
    for upgrade in [
        "upgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\nconnection: upgrade, http2-settings\r\n",
        "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n",
        "upgrade: TLS/1.0\r\n",
    ] {
        let outcome = scene.check(&request("GET /any/g", upgrade, ""), Served(""));
        assert_eq!(outcome.head().field("http2-settings"), None);
        let body = format!("{upgrade}content-length: 5\r\n");
        scene.check(&request("POST /any/p", &body, "hello"), Served("hello"));
    }
    let ahead: String = ["pleo-gateway-key", "x-key", "pleo-gateway-key"]
        .iter()
        .map(|name| request("GET /any/g", "", "").replace("pleo-gateway-key", name))
        .collect();
    let outcome = scene.send(&ahead);
    let statuses: Vec<u16> = outcome.answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 401, 200, 200]);
    assert_eq!(outcome.seen.len(), 3);
}
