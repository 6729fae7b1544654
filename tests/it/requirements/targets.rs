//! Hosts, target forms and targets (requirements 20 to 25).

use std::time::{Duration, Instant};

use super::Fate::{Declined, Refused, Served};
use super::{Scene, fields, numbered, request};
use crate::harness::gateway::KEY;

fn get(target: &str) -> String {
    request(&format!("GET {target}"), "", "")
}

/// Requirement 20: one Host, and it is one. Requirement 23 holds for all that arrives: Pleo's own Host, never the caller's.
#[test]
fn a_request_has_one_host() {
    let scene = Scene::new();
    for (hosts, fate) in [
        ("host: x\r\n", Served("")),
        ("HOST: X:8080\r\n", Served("")),
        ("host: [::1]:80\r\n", Served("")),
        ("", Refused(400)),
        ("host: a\r\nhost: a\r\n", Refused(400)),
        ("host: a\r\nhost: b\r\n", Refused(400)),
        ("host:\r\n", Refused(400)),
        ("host: \r\n", Refused(400)),
        ("host: a b\r\n", Refused(400)),
        ("host: a,b\r\n", Refused(400)),
        ("host: u@a\r\n", Refused(400)),
        ("host: a/b\r\n", Refused(400)),
        ("host: a?b\r\n", Refused(400)),
        ("host: a#b\r\n", Refused(400)),
        ("host: a\\b\r\n", Refused(400)),
        ("host: a%00\r\n", Refused(400)),
        ("host: http://a\r\n", Refused(400)),
        ("host: a:x\r\n", Refused(400)),
        ("host: a:99999\r\n", Refused(400)),
        ("host: [::1\r\n", Refused(400)),
        ("host: \u{e9}\r\n", Refused(400)),
    ] {
        let rest = format!("GET /any/g HTTP/1.1\r\n{hosts}pleo-gateway-key: {KEY}\r\n\r\n");
        scene.check(&rest, fate);
    }
}

/// Requirement 21: an absolute target names this gateway, or nothing. Requirement 22: no other form is served.
#[test]
fn no_target_leads_elsewhere() {
    let scene = Scene::new();
    for target in ["http://x/any/g", "HTTP://X/any/g", "https://x/any/g"] {
        let outcome = scene.check(&get(target), Served(""));
        assert_eq!(outcome.head().word(1), "/any/g");
    }
    for (target, fate) in [
        ("http://evil/any/g", Refused(400)),
        ("http://x:81/any/g", Refused(400)),
        ("http://u@x/any/g", Refused(400)),
        ("http:/any/g", Refused(400)),
        ("http:///any/g", Refused(400)),
        ("file:///etc/passwd", Refused(400)),
        ("x:443", Refused(400)),
        ("any/g", Refused(400)),
        ("ftp://x/any/g", Declined(400)),
        ("ws://x/any/g", Declined(400)),
        ("//evil/any/g", Declined(400)),
        ("*", Declined(400)),
        ("x", Declined(400)),
        ("http://x", Declined(403)),
        ("http://x?q", Declined(403)),
    ] {
        scene.check(&get(target), fate);
    }
    for (line, fate) in [
        ("CONNECT x:443", Refused(405)),
        ("CONNECT x", Refused(405)),
        ("CONNECT /any/g", Refused(405)),
        ("CONNECT http://x/any/g", Refused(405)),
        ("TRACE *", Refused(405)),
        ("OPTIONS *", Declined(400)),
    ] {
        scene.check(&request(line, "", ""), fate);
    }
}

/// Requirement 24: a target is what RFC 3986 allows, or refused; what is decoded never ends a line. A fragment, which has no
/// place in a target, is dropped by the HTTP library before there is anything to see: it is neither matched nor sent.
#[test]
fn a_target_has_one_reading() {
    let scene = Scene::new();
    for (target, arrives) in [
        ("/any/g?", "/any/g?"),
        ("/any/g?q=%0d%0a", "/any/g?q=%0d%0a"),
        ("/any/g?q=%zz&[]", "/any/g?q=%zz&[]"),
        ("/any/%c3%a9", "/any/%C3%A9"),
        ("/any/%7eg%3Aa", "/any/~g:a"),
        ("/any/g#part", "/any/g"),
        ("/any/g?a#part", "/any/g?a"),
    ] {
        let outcome = scene.check(&get(target), Served(""));
        assert_eq!(outcome.head().word(1), arrives);
    }
    for target in [
        "/any/a\\b",
        "/any/\u{c3}\u{a9}",
        "/any/\"",
        "/any/{a}",
        "/any/a|b",
        "/any/a^b",
        "/any/a%0d%0ab",
        "/any/a%0ab",
        "/any/a%00",
        "/any/%",
        "/any/%4",
        "/any/%e9",
        "/any/g?q=\u{c3}\u{a9}",
    ] {
        scene.check(&get(target), Declined(400));
    }
    for target in [
        "/any/\u{e9}",
        "/any/<a",
        "/any/a>",
        "/any/`",
        "/any/a\u{1}",
        "/any/a\u{7f}",
        "/any/a b",
        "/any/g?q=\u{1}",
        "/any/g?q=<",
        "/any/g?a\u{0}b",
    ] {
        scene.check(&get(target), Refused(400));
    }
}

/// Requirement 25: heads over their limits are refused at once, after a small bounded read.
#[test]
fn a_head_over_its_limits_is_refused_at_once() {
    // What is not refused at once waits for this.
    let scene = Scene::limited("header_timeout = \"2m\"");
    let filler = "a".repeat(10_000_000);
    let (few, more, many) = (numbered(98), numbered(99), numbered(9_900));
    let with = |more: &str| request("GET /any/g", more, "");
    scene.check(&with(&few), Served(""));
    let before = scene.gateway.program.peak_memory();
    let begun = Instant::now();
    for (bytes, status) in [
        (get(&format!("/any/{}", &filler[..17_000])), 414),
        (get(&format!("/any/{}", &filler[..70_000])), 431),
        (get(&format!("/any/{filler}")), 431),
        (with(&format!("x: {}\r\n", &filler[..66_000])), 431),
        (with(&format!("x: {filler}\r\n")), 431),
        (with(&more), 431),
        (with(&many), 431),
        (
            format!("GET /any/g HTTP/1.1\r\n{}x: {filler}", fields()),
            431,
        ),
    ] {
        scene.check(&bytes, Refused(status));
    }
    let grown = scene.gateway.program.peak_memory() - before;
    assert!(grown < 4 << 20, "grew by {grown} bytes");
    assert!(
        begun.elapsed() < Duration::from_mins(1),
        "{:?}",
        begun.elapsed()
    );
}
