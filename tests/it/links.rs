//! Links as old and odd clients and servers use them: HTTP/1.0, pipelining, absolute targets, a Pleo that closes or answers
//! early, long heads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::harness::client::{answer, answer_head, call, send};
use crate::harness::gateway::{Gateway, KEY, Setup};
use crate::harness::link::{Link, Rest};
use crate::harness::upstream::{FINE, Upstream};

const CALLER: (&str, &str) = ("pleo-gateway-key", KEY);

fn request(line: &str, more: &str) -> String {
    format!("{line}\r\nhost: 127.0.0.1\r\npleo-gateway-key: {KEY}\r\n{more}\r\n")
}

#[test]
fn an_http_1_0_client_is_answered_in_its_own_way() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    );
    let gateway = Gateway::before(&upstream);
    let mut link = Link::to(gateway.base());
    link.send(request("GET /v2/employees HTTP/1.0", ""))
        .unwrap();
    let head = link.head().unwrap().unwrap();
    assert_eq!(head.word(1), "200");
    assert_eq!(
        head.field("transfer-encoding"),
        None,
        "HTTP/1.0 knows no chunks"
    );
    assert_eq!(link.all(Rest::UntilClose).unwrap(), b"hello");
}

#[test]
fn requests_sent_ahead_are_answered_in_their_order() {
    let upstream = Upstream::start(|exchange| {
        exchange.body();
        let target = exchange.head.word(1).to_owned();
        exchange.reply(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{target}",
            target.len()
        ));
    });
    let gateway = Gateway::before(&upstream);
    let mut link = Link::to(gateway.base());
    let all: String = (0..5)
        .map(|n| request(&format!("GET /v2/employees?n={n} HTTP/1.1"), ""))
        .collect();
    link.send(all).unwrap();
    for n in 0..5 {
        let text = answer(&mut link, "GET").unwrap().expect(200).text();
        assert_eq!(text, format!("/v2/employees?n={n}"));
    }
}

#[test]
fn a_client_that_wants_to_close_is_closed_and_the_others_keep_their_link() {
    let upstream = Upstream::fine();
    let gateway = Gateway::before(&upstream);
    let mut link = Link::to(gateway.base());
    for _ in 0..3 {
        send(&mut link, "GET", "/v2/employees", &[CALLER], b"");
        answer(&mut link, "GET").unwrap().expect(200);
    }
    send(
        &mut link,
        "GET",
        "/v2/employees",
        &[CALLER, ("connection", "close")],
        b"",
    );
    answer(&mut link, "GET").unwrap().expect(200);
    assert!(link.is_closed());
}

#[test]
fn a_pleo_that_says_that_it_closes_each_link_costs_no_request() {
    let closing = FINE.replace("content-length", "connection: close\r\ncontent-length");
    let upstream = Upstream::start(move |exchange| {
        exchange.body();
        exchange.reply(&closing);
        exchange.close();
    });
    let gateway = Gateway::before(&upstream);
    let mut link = Link::to(gateway.base());
    for place in 0..100 {
        let method = if place % 2 == 0 { "GET" } else { "POST" };
        let target = if place % 2 == 0 {
            "/v2/employees"
        } else {
            "/v1/vendors:search"
        };
        send(&mut link, method, target, &[CALLER], b"");
        answer(&mut link, method).unwrap().expect(200);
    }
    assert_eq!(upstream.seen().len(), 100);
}

#[test]
fn links_to_pleo_are_kept_and_used_again() {
    let dialled = std::sync::Arc::new(std::sync::Mutex::new(std::collections::BTreeSet::new()));
    let threads = std::sync::Arc::clone(&dialled);
    let upstream = Upstream::start(move |exchange| {
        exchange.body();
        threads
            .lock()
            .unwrap()
            .insert(format!("{:?}", std::thread::current().id()));
        exchange.reply(FINE);
    });
    let gateway = Gateway::before(&upstream);
    for _ in 0..20 {
        gateway.get("/v2/employees").expect(200);
    }
    assert_eq!(dialled.lock().unwrap().len(), 1, "one link was enough");
}

#[test]
fn an_answer_that_comes_before_the_body_is_whole_is_handed_on() {
    let upstream = Upstream::start(|exchange| {
        exchange.keep(Vec::new());
        exchange
            .reply("HTTP/1.1 413 Too Large\r\ncontent-length: 5\r\nconnection: close\r\n\r\npleo!");
        exchange.close();
    });
    let gateway = Gateway::before(&upstream);
    let mut link = Link::to(gateway.base());
    link.send(request(
        "POST /v1/vendors:search HTTP/1.1",
        "content-length: 10000000\r\n",
    ))
    .unwrap();
    link.send(vec![b'x'; 10_000]).unwrap();
    let early = answer(&mut link, "POST").unwrap().expect(413);
    assert_eq!((early.code(), early.text().as_str()), (None, "pleo!"));
}

#[test]
fn an_answer_without_a_length_ends_with_pleos_link() {
    let upstream = Upstream::start(|exchange| {
        exchange.body();
        exchange.reply("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nall of it");
        exchange.close();
    });
    let gateway = Gateway::before(&upstream);
    let mut link = Link::to(gateway.base());
    for _ in 0..2 {
        send(&mut link, "GET", "/v2/employees", &[CALLER], b"");
        assert_eq!(
            answer(&mut link, "GET").unwrap().expect(200).text(),
            "all of it"
        );
    }
}

#[test]
fn a_long_head_of_pleos_passes_and_an_endless_one_does_not() {
    let upstream = Upstream::start(|exchange| {
        exchange.body();
        let size = if exchange.head.word(1).ends_with("/long") {
            12_000
        } else {
            4_000_000
        };
        let filler = "y".repeat(size);
        exchange.reply(format!(
            "HTTP/1.1 200 OK\r\nx-long: {filler}\r\ncontent-length: 0\r\n\r\n"
        ));
    });
    let gateway = Gateway::before(&upstream);
    let long = gateway.get("/v2/employees/long").expect(200);
    assert_eq!(long.header("x-long").map(str::len), Some(12_000));
    gateway
        .get("/v2/employees/endless")
        .refused(502, "upstream-invalid");
}

/// Requirement 49.
#[test]
fn a_caller_that_goes_away_ends_its_call_at_pleo() {
    let gone = std::sync::Arc::new(AtomicUsize::new(0));
    let noticed = std::sync::Arc::clone(&gone);
    let upstream = Upstream::start(move |exchange| {
        exchange.body();
        exchange.reply("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n");
        if exchange.link.is_closed() {
            noticed.fetch_add(1, Ordering::SeqCst);
        }
        exchange.close();
    });
    let gateway = Gateway::before(&upstream);
    let mut link = Link::to(gateway.base());
    send(&mut link, "GET", "/v2/employees", &[CALLER], b"");
    let (_, _, mut rest) = answer_head(&mut link, "GET").unwrap();
    link.some(&mut rest).unwrap();
    drop(link);
    crate::harness::eventually("the call at Pleo to be ended", || {
        (gone.load(Ordering::SeqCst) == 1).then_some(())
    });
}

#[test]
fn an_idle_gateway_ends_at_once() {
    let upstream = Upstream::fine();
    let mut gateway = Gateway::before(&upstream);
    let mut link = Link::to(gateway.base());
    send(&mut link, "GET", "/v2/employees", &[CALLER], b"");
    answer(&mut link, "GET").unwrap().expect(200);
    let asked = Instant::now();
    assert!(gateway.terminate().success());
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
    assert!(link.is_closed());
}

#[test]
fn a_client_that_says_nothing_or_half_a_head_is_let_go() {
    let upstream = Upstream::fine();
    let mut setup = Setup::at(&upstream.origin());
    setup.limits = "header_timeout = \"4s\"\nidle_timeout = \"300ms\"".to_owned();
    let gateway = setup.start_with_acme();
    // All at once: they are let go at the same time.
    let begun = [
        "",
        "GET /v2/employees HTT",
        "GET /v2/employees HTTP/1.1\r\nhost: x\r\n",
        "PRI * HTTP/2.0\r\n\r\n",
    ]
    .map(|begun| {
        let mut link = Link::to(gateway.base());
        link.send(begun).unwrap();
        (begun, link)
    });
    for (begun, mut link) in begun {
        let status = link
            .head()
            .unwrap()
            .map_or(408, |head| head.word(1).parse().unwrap());
        assert!(matches!(status, 400 | 408), "{begun}: {status}");
    }
    let mut idle = Link::to(gateway.base());
    send(&mut idle, "GET", "/v2/employees", &[CALLER], b"");
    answer(&mut idle, "GET").unwrap().expect(200);
    assert!(idle.is_closed());
    call(gateway.base(), "GET", "/v2/employees", &[CALLER], b"").expect(200);
}
