//! Pleo's answers on their way to the caller (requirements 40 to 43, 52, 70, 71): interim ones, malformed ones, those that
//! break off, and what the others say.

use super::Fate::{Replaced, Served};
use super::{Scene, request};
use crate::harness::client::{Answer, answer};
use crate::harness::eventually;
use crate::harness::link::Link;
use crate::harness::upstream::{Exchange, FINE};

/// Pleo answers `/any/N` with the Nth of these, byte for byte, and everything else well. After an answer that is followed by
/// `close`, it closes.
pub(super) fn answering(limits: &str, answers: &'static [(&'static str, bool)]) -> Scene {
    Scene::with(limits, move |exchange: &mut Exchange| {
        if exchange.whole().is_none() {
            return exchange.close();
        }
        let target = exchange.head.word(1).to_owned();
        let place: Option<usize> = target.strip_prefix("/any/").and_then(|n| n.parse().ok());
        match place.and_then(|place| answers.get(place)) {
            Some((text, close)) => {
                exchange.reply(text);
                if *close {
                    exchange.close();
                }
            }
            None => exchange.reply(FINE),
        }
    })
}

/// Requirement 40: interim answers are never the final one, however many; an endless row of them is no answer, and holds
/// up nobody else. Switching protocols unasked is no answer either.
#[test]
fn interim_answers_are_not_answers() {
    let scene = Scene::with("", |exchange| {
        if exchange.whole().is_none() {
            return exchange.close();
        }
        match exchange.head.word(1) {
            "/any/one" => {
                exchange.reply(format!("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n{FINE}"));
            }
            "/any/many" => {
                let many = "HTTP/1.1 102 Processing\r\n\r\n".repeat(500);
                exchange.reply(format!("HTTP/1.1 100 Continue\r\n\r\n{many}{FINE}"));
            }
            "/any/endless" => {
                while exchange
                    .link
                    .send("HTTP/1.1 102 Processing\r\n\r\n".repeat(100))
                    .is_ok()
                {}
            }
            "/any/switch" => exchange.reply(
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
            ),
            _ => exchange.reply(FINE),
        }
    });
    for target in ["one", "many"] {
        let outcome = scene.check(&request(&format!("GET /any/{target}"), "", ""), Served(""));
        assert_eq!(outcome.answers[0].text(), "{\"ok\":true}");
    }
    scene.check(&request("GET /any/switch", "", ""), Replaced(502));
    let mut endless = Link::to(scene.gateway.base());
    endless.send(request("GET /any/endless", "", "")).unwrap();
    for _ in 0..10 {
        scene.gateway.get("/any/g").expect(200);
    }
    answer(&mut endless, "GET")
        .unwrap()
        .refused(502, "upstream-invalid");
}

/// Requirement 41: HEAD, 204 and 304 have no body, and one that Pleo sends nevertheless is not the next answer.
#[test]
fn answers_without_a_body_stay_without() {
    let scene = answering(
        "",
        &[
            (
                "HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello",
                false,
            ),
            (
                "HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                false,
            ),
            (
                "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
                false,
            ),
            (
                "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\nhello",
                false,
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
                false,
            ),
        ],
    );
    for (place, status) in [(0, 204), (1, 204), (2, 204), (3, 304), (4, 200)] {
        let outcome = scene.send(&request(&format!("GET /any/{place}"), "", ""));
        let answers: Vec<_> = (outcome.answers.iter())
            .map(|answer| (answer.status, answer.text()))
            .collect();
        let body = if status == 200 { "hello" } else { "" };
        let next = (200, "{\"ok\":true}".to_owned());
        assert_eq!(answers, [(status, body.to_owned()), next], "{place}");
    }
    let mut link = Link::to(scene.gateway.base());
    for _ in 0..2 {
        link.send(request("HEAD /any/4", "", "")).unwrap();
        let head = answer(&mut link, "HEAD").unwrap().expect(200);
        assert_eq!(
            (head.header("content-length"), head.text().as_str()),
            (Some("5"), "")
        );
    }
}

/// Requirement 42: an answer that is not well framed is 502, its link not used again. So are broken heads.
/// Requirement 43: one that breaks off later breaks off for the caller.
#[test]
fn answers_that_are_not_well_formed_are_502() {
    const CHUNKS: &str = "5\r\nhello\r\n0\r\n\r\n";
    let heads = [
        "content-length: 4\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 4",
        "content-length: 4\r\ncontent-length: 5",
        "content-length: 5, 5",
        "content-length: +5",
        "content-length: x",
        "content-length:",
        "transfer-encoding: gzip",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: chunked, chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "transfer-encoding: identity",
        "x-a: a\u{0}b\r\ncontent-length: 5",
        "x-a: a\rb\r\ncontent-length: 5",
        "x-a: a\r\n b\r\ncontent-length: 5",
        "x-a\r\ncontent-length: 5",
        "content-length : 5",
    ];
    let mut texts: Vec<String> = (heads.iter())
        .map(|head| format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{CHUNKS}"))
        .collect();
    for line in [
        "HTTP/2.0 200 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1 OK",
        "SSH-2.0-x",
    ] {
        texts.push(format!("{line}\r\ncontent-length: 5\r\n\r\nhello"));
    }
    texts.push(format!(
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{CHUNKS}"
    ));
    for chunks in [
        "xx\r\nhello\r\n",
        "5\nhello\r\n",
        "\r\nhello",
        "-5\r\nhello\r\n",
        "fffffffffffffffff\r\n",
    ] {
        texts.push(format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}"
        ));
    }
    let count = texts.len();
    let scene = Scene::with("", move |exchange| {
        if exchange.whole().is_none() {
            return exchange.close();
        }
        let target = exchange.head.word(1).to_owned();
        match target
            .strip_prefix("/any/")
            .and_then(|place| place.parse::<usize>().ok())
        {
            Some(place) => exchange.reply(&texts[place]),
            None => exchange.reply(FINE),
        }
    });
    for place in 0..count {
        let outcome = scene.check(
            &request(&format!("GET /any/{place}"), "", ""),
            Replaced(502),
        );
        let answer = &outcome.answers[0];
        assert_eq!(answer.code(), Some("upstream-invalid"), "{place}");
        assert_eq!(outcome.answers[1].text(), "{\"ok\":true}");
    }
}

/// Requirement 43: whatever ends Pleo's link before the announced end, the caller is not shown an end.
#[test]
fn a_part_of_an_answer_is_never_the_whole() {
    let scene = answering(
        "body_idle_timeout = \"500ms\"",
        &[
            ("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello", true),
            ("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello", false),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
                false,
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
                true,
            ),
        ],
    );
    for place in 0..5 {
        let outcome = scene.send(&request(&format!("GET /any/{place}"), "", ""));
        let whole: Vec<_> = outcome.answers.iter().map(Answer::text).collect();
        assert_eq!(whole, [""; 0], "{place}: taken for a whole answer");
        assert_eq!(outcome.seen.len(), 1, "{place}: the link went on after it");
    }
}

/// Requirement 43: where only the end of the link tells the end of an answer (HTTP/1.0), one that breaks off ends with a
/// reset.
#[test]
fn a_part_of_an_answer_is_never_the_whole_for_http_1_0() {
    const CHUNK: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
    const WHOLE: &str =
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let scene = answering("", &[(CHUNK, true), (WHOLE, false)]);
    let ask = |place: usize| {
        let mut link = Link::to(scene.gateway.base());
        let old = format!("GET /any/{place} HTTP/1.0\r\n{}\r\n", super::fields());
        link.send(old).unwrap();
        answer(&mut link, "GET")
    };
    let error = ask(0).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(ask(1).unwrap().text(), "hello");
}

/// Requirements 45, 46: a link that Pleo closes at the moment it is used again costs no call that changes nothing; one that
/// does change something is not sent again, nor is one that Pleo had on a fresh link.
#[test]
fn an_idle_link_that_pleo_closed_costs_no_safe_call() {
    let scene = Scene::with("", |exchange| {
        let target = exchange.head.word(1).to_owned();
        exchange.body();
        let is_first = exchange.link_is_fresh();
        match target.as_str() {
            "/any/never" => exchange.close(),
            _ if is_first => exchange.reply(FINE),
            _ => exchange.close(),
        }
    });
    let tries = |target: &str| {
        let seen = scene.upstream.seen();
        seen.iter()
            .filter(|seen| seen.head.word(1) == target)
            .count()
    };
    scene.gateway.get("/any/first").expect(200);
    scene.gateway.get("/any/again").expect(200);
    assert_eq!(tries("/any/again"), 2);
    scene
        .gateway
        .call("POST", "/any/order", b"1")
        .refused(502, "upstream-invalid");
    assert_eq!(tries("/any/order"), 1);
    scene
        .gateway
        .get("/any/never")
        .refused(502, "upstream-invalid");
    assert_eq!(tries("/any/never"), 1);
    let metrics = scene.gateway.metrics();
    let counted = "pleo_gateway_replays_total{reason=\"stale_link\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
}

/// Trailers are the end of an answer: it was not broken off.
#[test]
fn an_answer_with_trailers_is_counted_as_whole() {
    let scene = answering(
        "",
        &[(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n",
            false,
        )],
    );
    scene.send(&request("GET /any/0", "te: trailers\r\n", ""));
    let counted = "requests_total{route=\"any\",method=\"GET\",status=\"200\",error=\"\"} 2";
    // Once the gateway has let go of it, which may be after the caller has it all.
    eventually("both to be counted as whole", || {
        scene.gateway.metrics().contains(counted).then_some(())
    });
}

/// Requirement 52: nothing of a body is changed, nor what is said about it. Requirements 70, 71: what is for Pleo's own
/// clients is taken off, and no cache keeps what a token brought, whatever Pleo says of it.
#[test]
fn answers_arrive_as_they_were_made() {
    let scene = answering(
        "",
        &[
            (
                "HTTP/1.1 200 Fine\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\netag: W/\"x\"\r\ncontent-encoding: gzip\r\ncontent-type: text/x\r\nlast-modified: x\r\naccept-ranges: bytes\r\nvary: a\r\nvary: b\r\nserver: pleo\r\nvia: 1.1 front\r\ncontent-length: 5\r\n\r\n\u{1f}\u{0b}\u{08}\r\n",
                false,
            ),
            (
                "HTTP/1.1 200 OK\r\ncache-control: public, max-age=60\r\nset-cookie: a=b\r\nset-cookie2: a=b\r\nwww-authenticate: Bearer\r\nproxy-authenticate: Basic\r\nproxy-authentication-info: x\r\nalt-svc: h3=\":443\"\r\nstrict-transport-security: max-age=1\r\npleo-gateway-error: forged\r\nauthorization: Bearer access-canary\r\nproxy-authorization: x\r\ncontent-length: 0\r\n\r\n",
                false,
            ),
            (
                "HTTP/1.1 200 OK\r\ncache-control: private, no-store\r\ncontent-length: 0\r\n\r\n",
                false,
            ),
        ],
    );
    let outcome = scene.check(&request("GET /any/0", "", ""), Served(""));
    let kept = &outcome.answers[0];
    assert_eq!(kept.body, b"\x1f\x0b\x08\r\n");
    for (name, values) in [
        ("date", &["Sun, 06 Nov 1994 08:49:37 GMT"][..]),
        ("etag", &["W/\"x\""]),
        ("content-encoding", &["gzip"]),
        ("content-type", &["text/x"]),
        ("content-length", &["5"]),
        ("last-modified", &["x"]),
        ("accept-ranges", &["bytes"]),
        ("vary", &["a", "b"]),
        ("server", &["pleo"]),
        ("via", &["1.1 front"]),
        ("cache-control", &["no-store"]),
    ] {
        assert_eq!(kept.head.all(name), values, "{name}");
    }
    let outcome = scene.check(&request("GET /any/1", "", ""), Served(""));
    let stripped = &outcome.answers[0];
    let fields = stripped.head.fields.iter();
    let names: std::collections::BTreeSet<&str> = fields.map(|(name, _)| name.as_str()).collect();
    let kept = ["cache-control", "content-length", "date", "x-request-id"];
    assert_eq!(names, kept.into());
    let caching = stripped.head.all("cache-control");
    assert_eq!(caching, ["public, max-age=60", "no-store"]);
    let outcome = scene.check(&request("GET /any/2", "", ""), Served(""));
    assert_eq!(
        outcome.answers[0].head.all("cache-control"),
        ["private, no-store"]
    );
}
