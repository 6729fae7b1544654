//! Framing and syntax of HTTP/1.1 requests (requirements 1 to 19).

use std::sync::Mutex;
use std::sync::mpsc::channel;

use super::Fate::{Declined, Last, Refused, Served};
use super::{Scene, fields, numbered, request};
use crate::harness::SOON;
use crate::harness::client::answer;
use crate::harness::link::Link;

const CHUNKS: &str = "5\r\nhello\r\n0\r\n\r\n";
/// Its bytes look like a request to who reads the wrong length.
const SMUGGLED: &str = "0\r\n\r\nGET /any/smuggled HTTP/1.1\r\nx: ";

fn post(more: &str, body: &str) -> String {
    request("POST /any/p", more, body)
}

/// Requirements 1, 6: of two lengths none is trusted: one framing of our own goes on, and the link is closed.
/// Requirements 2, 3: a length is digits, once.
#[test]
fn a_body_has_one_length() {
    let scene = Scene::new();
    for more in [
        "content-length: 4\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 0\r\n",
    ] {
        scene.check(&post(more, CHUNKS), Last("hello"));
        // What came after the chunks is nobody's request.
        let smuggled = post(more, SMUGGLED);
        assert_eq!(scene.send(&smuggled).seen.len(), 1, "{more}");
    }
    for (length, fate) in [
        ("5", Served("hello")),
        (" 5 ", Served("hello")),
        ("\t5", Served("hello")),
        ("05", Served("hello")),
        ("5\r\ncontent-length: 5", Served("hello")),
        ("5\r\ncontent-length: 6", Refused(400)),
        ("5, 5", Refused(400)),
        ("5, 6", Refused(400)),
        ("+5", Refused(400)),
        ("-0", Refused(400)),
        ("0x5", Refused(400)),
        ("5 5", Refused(400)),
        ("5_0", Refused(400)),
        ("5.0", Refused(400)),
        ("5;a", Refused(400)),
        ("\"5\"", Refused(400)),
        ("", Refused(400)),
        (" ", Refused(400)),
        ("\u{b}5", Refused(400)),
        ("\u{d9}\u{a5}", Refused(400)),
        ("18446744073709551616", Refused(400)),
        ("99999999999999999999999", Refused(400)),
        // Not a number too many, but a body that no memory could count.
        ("18446744073709551615", Refused(431)),
    ] {
        scene.check(
            &post(&format!("content-length: {length}\r\n"), "hello"),
            fate,
        );
    }
}

/// Requirements 4, 5: a coding is `chunked`, once, and not for HTTP/1.0.
#[test]
fn a_coding_is_chunked_once() {
    let scene = Scene::new();
    for (coding, fate) in [
        ("chunked", Served("hello")),
        ("CHUNKED", Served("hello")),
        (" chunked\t", Served("hello")),
        ("chunked, chunked", Refused(400)),
        (", chunked", Refused(400)),
        ("chunked,", Refused(400)),
        ("gzip, chunked", Refused(400)),
        ("chunked, gzip", Refused(400)),
        ("gzip", Refused(400)),
        ("identity", Refused(400)),
        ("\"chunked\"", Refused(400)),
        ("chunked;q=1", Refused(400)),
        ("xchunked", Refused(400)),
        ("\u{b}chunked", Refused(400)),
        ("chunked\u{b}", Refused(400)),
        ("", Refused(400)),
        ("\r\n chunked", Refused(400)),
        ("chunked\r\ntransfer-encoding: chunked", Refused(400)),
        ("chunked\r\ntransfer-encoding: identity", Refused(400)),
        ("identity\r\ntransfer-encoding: chunked", Refused(400)),
    ] {
        scene.check(
            &post(&format!("transfer-encoding: {coding}\r\n"), CHUNKS),
            fate,
        );
    }
    scene.check(
        &post("transfer-encoding : chunked\r\n", CHUNKS),
        Refused(400),
    );
    let old = |more: &str, body: &str| post(more, body).replacen("1.1", "1.0", 1);
    let kept = "connection: keep-alive\r\n";
    scene.check(
        &old(&format!("{kept}transfer-encoding: chunked\r\n"), CHUNKS),
        Refused(400),
    );
    scene.check(
        &old(&format!("{kept}content-length: 5\r\n"), "hello"),
        Served("hello"),
    );
    scene.check(&old("content-length: 5\r\n", "hello"), Last("hello"));
}

/// Requirements 7, 8, 9: chunks are as RFC 9112 has them; extensions end here, and are bounded.
/// Requirement 10: trailers are bounded, and carry nothing that belongs into heads. The link is closed after them.
#[test]
fn chunks_are_taken_by_the_letter() {
    let scene = Scene::new();
    let chunked = |body: &str| post("transfer-encoding: chunked\r\n", body);
    for (size, fate) in [
        ("5", Served("hello")),
        ("00000005", Served("hello")),
        ("5 ", Served("hello")),
        ("5;a=b", Served("hello")),
        ("5 ; a=\"b\"", Served("hello")),
        ("0x5", Refused(400)),
        ("+5", Refused(400)),
        ("-5", Refused(400)),
        ("5_", Refused(400)),
        (" 5", Refused(400)),
        ("", Refused(400)),
        ("5g", Refused(400)),
        ("5,5", Refused(400)),
        ("5\u{0}", Refused(400)),
        ("10000000000000005", Refused(400)),
        ("5;a\nb", Refused(400)),
        ("5;a\rb", Refused(400)),
    ] {
        scene.check(&chunked(&format!("{size}\r\nhello\r\n0\r\n\r\n")), fate);
    }
    let endless = "a".repeat(20_000);
    scene.check(
        &chunked(&format!("5;{endless}\r\nhello\r\n0\r\n\r\n")),
        Refused(400),
    );
    for body in [
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "5\r\nhellooo\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\n\r\n",
        "5\r\nhello\r\n0\r\nXX",
    ] {
        scene.check(&chunked(body), Refused(400));
    }
    let trailing = |trailers: &str| chunked(&format!("5\r\nhello\r\n0\r\n{trailers}\r\n"));
    let forbidden = "content-length: 3\r\nhost: evil\r\nauthorization: Bearer evil-canary\r\ntransfer-encoding: chunked\r\nx_api_key: evil\r\ncookie: evil\r\ncontent-type: evil\r\n";
    for trailers in ["x-sum: 42\r\n", forbidden] {
        scene.check(&trailing(trailers), Last("hello"));
    }
    // hyper ends trailers at a bare LF and drops the rest: a request that somebody else saw there is not served, nor
    // any after it.
    for trailers in ["\n", "x-sum: 1\n"] {
        scene.check(&trailing(trailers), Last("hello"));
    }
    let many = numbered(20_000);
    let large = format!("x: {}\r\n", "a".repeat(100_000));
    for trailers in [
        &many,
        &large,
        "x-sum\r\n",
        "x-sum : 1\r\n",
        "x-sum: 1\r\n 2\r\n",
    ] {
        scene.check(&trailing(trailers), Refused(400));
    }
}

/// Requirement 10: what trailers carry on, by the byte.
#[test]
fn trailers_that_pass_are_the_callers_own() {
    let (told, trailers) = channel();
    let told = Mutex::new(told);
    let scene = Scene::with("", move |exchange| {
        let raw = std::iter::from_fn(|| exchange.link.line().ok());
        let lines: Vec<String> = raw.skip(3).take_while(|line| !line.is_empty()).collect();
        told.lock().unwrap().send(lines).unwrap();
        exchange.reply(crate::harness::upstream::FINE);
        exchange.close();
    });
    let more = "trailer: x-sum, authorization, host\r\ntransfer-encoding: chunked\r\n";
    let trailers_sent = "authorization: Bearer evil-canary\r\nx-sum: 42\r\nhost: evil\r\n";
    scene.send(&post(
        more,
        &format!("5\r\nhello\r\n0\r\n{trailers_sent}\r\n"),
    ));
    assert_eq!(trailers.recv_timeout(SOON).unwrap(), ["x-sum: 42"]);
}

/// Requirement 12: after an answer of our own the rest of the body is read, if that is little, or the link is closed;
/// either way none of it is taken for a request.
#[test]
fn a_body_that_nobody_wants_is_never_the_next_request() {
    let scene = Scene::limited("max_request_body = \"1MiB\"");
    let inside = "GET /any/inside HTTP/1.1\r\nhost: x\r\n\r\n";
    let to = |line: &str, length: usize, body: &str| {
        request(line, &format!("content-length: {length}\r\n"), body)
    };
    let nowhere = "POST /v9/nothing";
    scene.check(&to(nowhere, inside.len(), inside), Declined(403));
    let size = format!("{:x}", inside.len());
    let chunks = format!("{size}\r\n{inside}\r\n0\r\n\r\n");
    scene.check(
        &request(nowhere, "transfer-encoding: chunked\r\n", &chunks),
        Declined(403),
    );
    let nobody = to("POST /any/p", inside.len(), inside).replace("pleo-gateway-key", "x-key");
    scene.check(&nobody, Declined(401));
    let ambiguous = to("POST /any/%2e%2e/p", inside.len(), inside);
    scene.check(&ambiguous, Declined(400));
    scene.check(&to("TRACE /any/p", inside.len(), inside), Refused(405));
    let large = inside.repeat(5_000);
    scene.check(&to(nowhere, large.len(), &large), Refused(403));
    scene.check(&to("POST /any/p", 2 << 20, inside), Refused(413));
    // Shorter than it was said to be: what comes next would be its rest.
    scene.check(&to(nowhere, 60_000, inside), Refused(403));
    scene.check(
        &request(nowhere, "transfer-encoding: chunked\r\n", "5\r\nhelloXX"),
        Refused(403),
    );
    let length = inside.len();
    let waits = format!("content-length: {length}\r\nexpect: 100-continue\r\n");
    let outcome = scene.send(&request(nowhere, &waits, inside));
    assert!(
        outcome
            .seen
            .iter()
            .all(|seen| seen.head.word(1) == "/any/after")
    );
}

/// Requirement 11: a body that ends before its end, by FIN or by RST, never looks whole to Pleo.
#[test]
fn a_request_that_breaks_off_breaks_off_for_pleo() {
    let ((begun, has_begun), (over, is_over)) = (channel(), channel());
    let (begun, over) = (Mutex::new(begun), Mutex::new(over));
    let scene = Scene::with("", move |exchange| {
        begun.lock().unwrap().send(()).unwrap();
        let whole = exchange.whole().is_some();
        over.lock().unwrap().send(whole).unwrap();
        exchange.close();
    });
    for (more, part) in [
        ("content-length: 10\r\n", "hello"),
        ("transfer-encoding: chunked\r\n", "5\r\nhello\r\n"),
        ("transfer-encoding: chunked\r\n", "a\r\nhello"),
        ("transfer-encoding: chunked\r\n", "5\r\nhello\r\n0\r\n"),
    ] {
        let mut link = Link::to(scene.gateway.base());
        link.send(post(more, part)).unwrap();
        // What breaks off before Pleo hears of it need not reach it at all.
        has_begun.recv_timeout(SOON).unwrap();
        drop(link);
        let whole = is_over.recv_timeout(SOON).unwrap();
        assert!(!whole, "{part:?} passed for a whole body");
    }
}

/// Requirement 13: no control bytes. Requirements 14, 16: line ends leave as CRLF, folded lines not at all.
/// Requirement 15: a field is a name, a colon, a value.
#[test]
fn fields_are_fields() {
    let scene = Scene::new();
    let with = |field: &str| request("GET /any/g", &format!("{field}\r\n"), "");
    for field in [
        "x-a: a\rb",
        "x-a: a\u{0}b",
        "x-a: a\u{1}b",
        "x-a: a\u{b}b",
        "x-a: a\u{7f}b",
        "x\u{0}a: b",
        "x-a : b",
        "x-a\t: b",
        "x-a",
        ": b",
        "x a: b",
        "x\"a: b",
        "x(a): b",
        "x/a: b",
        "\"x\": b",
        "\u{e9}: b",
        "x-a: b\r\n c",
        "x-a: b\r\n\tc",
    ] {
        scene.check(&with(field), Refused(400));
    }
    let seen = scene.check(&with("x-a: caf\u{e9}\r\nX-A:\r\nx-a:\t b \t"), Served(""));
    assert_eq!(seen.head().all("x-a"), ["caf\u{fffd}", "", "b"]);
    let first = format!("GET /any/g HTTP/1.1\r\n x-a: b\r\n{}\r\n", fields());
    scene.check(&first, Refused(400));
    let bare = request("GET /any/g", "x-a: b\r\n", "").replace("\r\n", "\n");
    let seen = scene.check(&bare, Served(""));
    assert_eq!(seen.head().field("x-a"), Some("b"));
}

/// Requirement 17: the first line is a method, a target and a version, each once. Requirement 18: methods are compared byte
/// for byte. Requirement 19: `_` is no way around a name.
#[test]
fn the_first_line_and_the_names_mean_one_thing() {
    let scene = Scene::new();
    for (line, fate) in [
        ("GET /any/g HTTP/1.1", Served("")),
        ("GET /any/g HTTP/1.0", Last("")),
        ("\r\nGET /any/g HTTP/1.1", Served("")),
        ("GET\t/any/g HTTP/1.1", Refused(400)),
        ("GET  /any/g HTTP/1.1", Refused(400)),
        ("GET /any/g  HTTP/1.1", Refused(400)),
        ("GET /any/g HTTP/1.1 ", Refused(400)),
        (" GET /any/g HTTP/1.1", Refused(400)),
        ("GET /any/g x HTTP/1.1", Refused(400)),
        ("GET /any/g http/1.1", Refused(400)),
        ("GET /any/g HTTP/0.9", Refused(400)),
        ("GET /any/g HTTP/2.0", Refused(400)),
        ("GET /any/g HTTP/1.2", Refused(400)),
        ("GET /any/g HTTP/1.10", Refused(400)),
        ("GET /any/g HTTP/01.1", Refused(400)),
        ("GET /any/g HTTP/1", Refused(400)),
        ("GET /any/g", Refused(400)),
        ("GET HTTP/1.1", Refused(400)),
        ("/any/g HTTP/1.1", Refused(400)),
        ("GET /any/g\u{b}HTTP/1.1", Refused(400)),
        ("G@T /any/g HTTP/1.1", Refused(400)),
        ("\"GET\" /any/g HTTP/1.1", Refused(400)),
        ("PRI * HTTP/2.0", Refused(400)),
        ("get /any/g HTTP/1.1", Declined(403)),
        ("Get /any/g HTTP/1.1", Declined(403)),
        ("GE /any/g HTTP/1.1", Declined(403)),
        ("PURGE /any/g HTTP/1.1", Declined(403)),
    ] {
        scene.check(&format!("{line}\r\n{}\r\n", fields()), fate);
    }
    for name in [
        "Transfer_Encoding",
        "Content_Length",
        "X_Forwarded_For",
        "x-forwarded_for",
        "X_Api_Key",
        "AUTHORIZATION_",
        "Pleo_Gateway_Key",
        "Proxy_Authorization",
        "Te_",
    ] {
        let more = format!("{name}: 7\r\ncontent-length: 5\r\n");
        let seen = scene.check(&post(&more, "hello"), Served("hello"));
        let arrived = seen.head().field(name).is_some();
        // With a `_` at its end it collides with nothing.
        assert_eq!(arrived, name.ends_with('_'), "{name}");
    }
}

/// Requirement 12: the same where we answer before we have read the body: its trailers may yet come.
#[test]
fn an_answer_before_the_trailers_is_the_last_of_its_link() {
    let scene = Scene::new();
    let mut link = Link::to(scene.gateway.base());
    let options = request(
        "OPTIONS /any/p",
        "max-forwards: 0\r\ntransfer-encoding: chunked\r\n",
        "5\r\nhello\r\n0\r\nx-sum: 1\n\r\n",
    );
    let _ = link.send(format!("{options}{}", request("GET /any/b", "", "")));
    assert_eq!(answer(&mut link, "OPTIONS").unwrap().status, 204);
    assert!(link.is_closed());
    assert!(scene.upstream.seen().is_empty());
}

/// Requirement 12: an answer of Pleo's that comes before the body is whole ends the link too, or what is left is read.
#[test]
fn an_early_answer_does_not_leave_a_body_to_be_served() {
    let scene = Scene::with("", |exchange| {
        exchange.keep(Vec::new());
        exchange.reply("HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        // Until the gateway closes: closing first would take the answer back.
        while !exchange.some().is_empty() {}
        exchange.close();
    });
    let inside = "GET /any/inside HTTP/1.1\r\nhost: x\r\n\r\n".repeat(3_000);
    for part in [inside.as_str(), "silence after this"] {
        let mut link = Link::to(scene.gateway.base());
        let _ = link.send(post("content-length: 10000000\r\n", part));
        assert_eq!(answer(&mut link, "POST").unwrap().status, 413);
        assert!(link.is_closed(), "{part:.20}");
    }
    let seen = scene.upstream.seen();
    assert!(seen.iter().all(|seen| seen.head.word(1) == "/any/p"));
}
