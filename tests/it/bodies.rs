//! Bodies: they stream both ways as they come, within bounds, and a truncated body never passes for a whole one.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::json;

use crate::harness::SOON;
use crate::harness::client::{answer, answer_head, send};
use crate::harness::gateway::{Gateway, KEY, Setup};
use crate::harness::link::{Link, Rest};
use crate::harness::upstream::{FINE, Upstream};
use crate::stand::is_long;

const CALLER: (&str, &str) = ("pleo-gateway-key", KEY);
const LARGE: usize = 64 * 1024 * 1024;
/// What a body may cost beside what the gateway holds anyway: far less than the body.
const BOUND: u64 = 16 * 1024 * 1024;

/// A sender for the upstream's thread, and its receiver for the test.
fn signal() -> (impl Fn() + Send + Sync, Receiver<()>) {
    let (sender, receiver): (Sender<()>, _) = channel();
    let sender = Mutex::new(sender);
    (move || sender.lock().unwrap().send(()).unwrap(), receiver)
}

/// Requirement 48: nothing waits for the end.
/// Sends the head of an upload, and the first piece of its body.
fn begin_upload(gateway: &Gateway) -> Link {
    let mut link = Link::to(gateway.base());
    let head =
        format!("POST /v1/vendors:search HTTP/1.1\r\nhost: x\r\npleo-gateway-key: {KEY}\r\n");
    link.send(format!(
        "{head}transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n"
    ))
    .unwrap();
    link
}

#[test]
fn an_upload_arrives_while_it_is_still_being_sent() {
    let (arrived, first_arrived) = signal();
    let upstream = Upstream::start(move |exchange| {
        let first = exchange.some();
        arrived();
        let rest = exchange.body();
        exchange.reply(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{:05}",
            first.len() + rest.len()
        ));
    });
    let gateway = Gateway::before(&upstream);
    let mut link = begin_upload(&gateway);
    first_arrived.recv_timeout(SOON).unwrap();
    link.send("4\r\nlast\r\n0\r\n\r\n").unwrap();
    assert_eq!(
        answer(&mut link, "POST").unwrap().expect(200).text(),
        "00009"
    );
}

#[test]
fn an_answer_arrives_while_it_is_still_being_made() {
    let (arrived, first_arrived) = signal();
    let waiting = Mutex::new(first_arrived);
    let upstream = Upstream::start(move |exchange| {
        exchange.reply("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n");
        waiting.lock().unwrap().recv_timeout(SOON).unwrap();
        exchange.reply("4\r\nlast\r\n0\r\n\r\n");
    });
    let gateway = Gateway::before(&upstream);
    let mut link = Link::to(gateway.base());
    send(&mut link, "GET", "/v2/employees", &[CALLER], b"");
    let (status, _, mut rest) = answer_head(&mut link, "GET").unwrap();
    assert_eq!(
        (status, link.some(&mut rest).unwrap()),
        (200, b"first".to_vec())
    );
    arrived();
    assert_eq!(link.all(rest).unwrap(), b"last");
}

/// Sends a body of `size` bytes and takes one as large back. By how much the gateway's memory grew, at most.
fn there_and_back(size: usize) -> u64 {
    let upstream = Upstream::start(|exchange| {
        let mut size = 0;
        while let more = exchange.some().len()
            && more > 0
        {
            size += more;
        }
        exchange.reply(format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n"));
        let piece = vec![b'x'; 64 * 1024];
        for _ in 0..size / piece.len() {
            exchange.reply(&piece);
        }
    });
    let gateway = Gateway::limited(&upstream, "max_request_body = \"1GiB\"");
    gateway
        .call("POST", "/v1/vendors:search", &vec![0; 64 * 1024])
        .expect(200);
    let usual = gateway.program.peak_memory();

    let mut link = Link::to(gateway.base());
    let head =
        format!("POST /v1/vendors:search HTTP/1.1\r\nhost: x\r\npleo-gateway-key: {KEY}\r\n");
    link.send(format!("{head}content-length: {size}\r\n\r\n"))
        .unwrap();
    let piece = vec![b'y'; 64 * 1024];
    for _ in 0..size / piece.len() {
        link.send(&piece).unwrap();
    }
    let (status, _, mut rest) = answer_head(&mut link, "POST").unwrap();
    assert_eq!(status, 200);
    let mut came = 0;
    while let more = link.some(&mut rest).unwrap().len()
        && more > 0
    {
        came += more;
    }
    assert_eq!(came, size);
    gateway.program.peak_memory() - usual
}

/// Requirement 48.
#[test]
fn sixty_four_mebibytes_go_each_way_in_bounded_memory() {
    let grown = there_and_back(LARGE);
    assert!(grown < BOUND, "grew by {} MiB", grown >> 20);
}

/// Requirement 48.
#[test]
fn long_a_gibibyte_goes_each_way_in_bounded_memory() {
    if !is_long() {
        return;
    }
    let begun = std::time::Instant::now();
    let grown = there_and_back(1 << 30);
    println!(
        "1 GiB each way: {:?}, memory grew by {} KiB",
        begun.elapsed(),
        grown >> 10
    );
    assert!(grown < BOUND, "grew by {} MiB", grown >> 20);
}

#[test]
fn a_body_over_the_limit_is_refused_with_and_without_a_length() {
    let upstream = Upstream::fine();
    let gateway = Gateway::limited(&upstream, "max_request_body = \"1KiB\"");
    gateway
        .call("POST", "/v1/vendors:search", &[b'x'; 1024])
        .expect(200);
    let told = gateway.call("POST", "/v1/vendors:search", &[b'x'; 1025]);
    told.refused(413, "body-too-large");

    let mut link = Link::to(gateway.base());
    let head =
        format!("POST /v1/vendors:search HTTP/1.1\r\nhost: x\r\npleo-gateway-key: {KEY}\r\n");
    let chunk = "x".repeat(1025);
    let _ = link.send(format!(
        "{head}transfer-encoding: chunked\r\n\r\n401\r\n{chunk}\r\n0\r\n\r\n"
    ));
    answer(&mut link, "POST")
        .unwrap()
        .refused(413, "body-too-large");
    let whole = upstream
        .seen()
        .iter()
        .filter(|seen| seen.body.len() == 1025)
        .count();
    assert_eq!(whole, 0, "a body over the limit arrived whole");
}

#[test]
fn head_204_and_304_have_no_body_and_the_link_stays_good() {
    let upstream = Upstream::start(|exchange| {
        exchange.body();
        match exchange.head.word(1) {
            "/v2/employees/1" => exchange.reply("HTTP/1.1 204 No Content\r\n\r\n"),
            "/v2/employees/2" => exchange
                .reply("HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\netag: \"e\"\r\n\r\n"),
            _ if exchange.head.word(0) == "HEAD" => {
                exchange.reply("HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n");
            }
            _ => exchange.reply(FINE),
        }
    });
    let mut setup = Setup::at(&upstream.origin());
    setup.routes.push_str(
        "[[routes]]\nmethods = [\"HEAD\"]\npath = \"/v2/employees\"\nscopes = [\"users:read\"]\n",
    );
    let gateway = setup.start_with_acme();
    let mut link = Link::to(gateway.base());
    for (method, target, status) in [
        ("HEAD", "/v2/employees", 200),
        ("GET", "/v2/employees/1", 204),
        ("GET", "/v2/employees/2", 304),
        ("GET", "/v2/employees", 200),
    ] {
        send(&mut link, method, target, &[CALLER], b"");
        let answer = answer(&mut link, method).unwrap().expect(status);
        match method {
            "HEAD" => assert_eq!(answer.header("content-length"), Some("1234")),
            _ => assert_eq!(answer.body.is_empty(), status != 200),
        }
    }
}

fn cut_off(text: &'static str) {
    let upstream = Upstream::start(move |exchange| {
        exchange.body();
        exchange.reply(text);
        exchange.close();
    });
    let gateway = Gateway::before(&upstream);
    let mut link = Link::to(gateway.base());
    send(&mut link, "GET", "/v2/employees", &[CALLER], b"");
    let (status, _, rest) = answer_head(&mut link, "GET").unwrap();
    assert_eq!(status, 200);
    assert!(
        !matches!(rest, Rest::UntilClose),
        "the caller could not tell"
    );
    assert!(
        link.all(rest).is_err(),
        "a cut body was passed for a whole one"
    );
}

#[test]
fn an_answer_that_breaks_off_breaks_off_for_the_caller_too() {
    cut_off("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nten bytes.");
    cut_off("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n64\r\nten bytes.");
    cut_off("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\nten bytes.\r\n");
}

#[test]
fn an_upload_that_breaks_off_is_never_finished_for_the_caller() {
    let (arrived, first_arrived) = signal();
    let (over, is_over) = channel();
    let over = Mutex::new(over);
    let upstream = Upstream::start(move |exchange| {
        exchange.some();
        arrived();
        over.lock().unwrap().send(exchange.is_whole()).unwrap();
        exchange.close();
    });
    let gateway = Gateway::before(&upstream);
    let link = begin_upload(&gateway);
    first_arrived.recv_timeout(SOON).unwrap();
    drop(link);
    assert!(
        !is_over.recv_timeout(SOON).unwrap(),
        "Pleo saw a complete request"
    );
}

/// Requirement 38.
#[test]
fn continue_is_said_once_there_is_a_token_and_refusals_come_before_the_body() {
    let upstream = Upstream::fine();
    let gateway = Gateway::before(&upstream);
    let ask = |target: &str| {
        let mut link = Link::to(gateway.base());
        link.send(format!(
            "POST {target} HTTP/1.1\r\nhost: x\r\npleo-gateway-key: {KEY}\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n"
        ))
        .unwrap();
        let head = link.head().unwrap().unwrap();
        (link, head)
    };
    let (mut link, head) = ask("/v1/vendors:search");
    assert_eq!(head.word(1), "100");
    link.send("body").unwrap();
    answer(&mut link, "POST").unwrap().expect(200);
    let seen = upstream.only();
    assert_eq!(seen.body, b"body");
    assert_eq!(seen.head.field("expect"), None);
    let (_, head) = ask("/v1/nowhere");
    assert_eq!(head.word(1), "403");
}

#[test]
fn trailers_pass() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\ntrailer: x-sum, alt-svc, strict-transport-security\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nalt-svc: h3\r\nx-sum: 42\r\nstrict-transport-security: max-age=1\r\n\r\n",
    );
    let gateway = Gateway::before(&upstream);
    let mut link = Link::to(gateway.base());
    send(
        &mut link,
        "GET",
        "/v2/employees",
        &[CALLER, ("te", "trailers")],
        b"",
    );
    let (_, head, _) = answer_head(&mut link, "GET").unwrap();
    assert!(head.field("transfer-encoding").is_some());
    // by hand: the reader of bodies skips trailers
    let mut raw = Rest::UntilClose;
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.extend(link.some(&mut raw).unwrap());
    }
    let text = String::from_utf8(text).unwrap().to_ascii_lowercase();
    assert!(text.contains("x-sum: 42"), "{text}");
    assert!(
        !text.contains("alt-svc") && !text.contains("strict-transport"),
        "{text}"
    );
    let told = gateway.program.wait_for("the call's line", |_, line| {
        line.contains("\"bytes_out\"").then(|| line.to_owned())
    });
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (&told["error"], &told["bytes_out"]),
        (&json!(null), &json!(2))
    );
}

/// Requirement 48.
#[test]
fn a_slow_reader_slows_pleo_down_and_nobody_else() {
    let written = Arc::new(Mutex::new(0_usize));
    let count = Arc::clone(&written);
    let upstream = Upstream::start(move |exchange| {
        exchange.body();
        if exchange.head.word(1) != "/v2/employees/slow" {
            return exchange.reply(FINE);
        }
        exchange.reply(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n"
        ));
        let piece = vec![b'x'; 64 * 1024];
        while *count.lock().unwrap() < LARGE && exchange.link.send(&piece).is_ok() {
            *count.lock().unwrap() += piece.len();
        }
    });
    let gateway = Gateway::before(&upstream);
    let mut link = Link::to(gateway.base());
    send(&mut link, "GET", "/v2/employees/slow", &[CALLER], b"");
    let (status, _, _) = answer_head(&mut link, "GET").unwrap();
    assert_eq!(status, 200);
    thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| gateway.get("/v2/employees").expect(200));
        }
    });
    let buffered = *written.lock().unwrap();
    assert!(
        buffered < LARGE / 2,
        "{buffered} bytes were taken from Pleo for a caller that reads nothing"
    );
}
