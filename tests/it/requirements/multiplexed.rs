//! Pleo over HTTP/2, frame by frame (requirements 11, 40, 43, 45, 46): where messages end, and what may be sent twice.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};

use super::http2::FINE;
use super::{ANY, request};
use crate::harness::authority::Authority;
use crate::harness::client::{Answer, answer, answer_head};
use crate::harness::frames::{
    DATA, END_HEADERS, END_STREAM, Frame, Frames, GOAWAY, HEADERS, RST_STREAM, WHOLE, fields, frame,
};
use crate::harness::gateway::{Gateway, Setup};
use crate::harness::link::Link;
use crate::harness::upstream::Upstream;
use crate::harness::{SOON, eventually};

/// Pleo's end of a link.
type Pleo<'l> = Frames<&'l mut Link>;

const NO_ERROR: u8 = 0;
const INTERNAL_ERROR: u8 = 2;
const REFUSED_STREAM: u8 = 7;
const CANCEL: u8 = 8;

/// A gateway whose Pleo speaks HTTP/2. `act` is called for every link, with its number.
fn before(act: impl Fn(&mut Pleo<'_>, usize) + Send + Sync + 'static) -> Gateway {
    let authority = Authority::new();
    let config = authority.certificate(&["localhost"]).http2_server();
    let links = AtomicUsize::new(0);
    let upstream = Upstream::secure(config, move |exchange| {
        let number = links.fetch_add(1, Ordering::Relaxed);
        act(&mut Frames::from(&mut exchange.link), number);
        exchange.close();
    });
    let mut setup = Setup::at(&format!("https://localhost:{}", upstream.port));
    authority.write(setup.folder());
    setup.pleo = "ca_file = \"ca.pem\"".into();
    setup.routes = ANY.into();
    setup.limits = "replay_buffer = \"1KiB\"".into();
    setup.start_with_acme()
}

/// The head of the next request.
fn head(pleo: &mut Pleo<'_>) -> Option<Frame> {
    pleo.next_of(&[HEADERS])
}

fn ok(stream: u32, flags: u8) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, stream, [0x88])
}

fn reset(stream: u32, reason: u8) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, [0, 0, 0, reason])
}

/// The answer to a GET; an error if it breaks off.
fn got(gateway: &Gateway) -> std::io::Result<Answer> {
    let mut link = Link::to(gateway.base());
    link.send(request("GET /any/g", "", "")).unwrap();
    answer(&mut link, "GET")
}

/// Requirement 43: an answer that is reset before its end breaks off for the caller, whatever the reason: `NO_ERROR` too says
/// that it is over, not that it is whole. After its end it says that the rest of the request is not needed.
#[test]
fn a_reset_is_never_the_end_of_an_answer() {
    for reason in [NO_ERROR, INTERNAL_ERROR, CANCEL] {
        let gateway = before(move |pleo, _| {
            while let Some(head) = head(pleo) {
                let half = frame(DATA, 0, head.stream, "half");
                let all = [ok(head.stream, 0), half, reset(head.stream, reason)];
                let _ = pleo.send(all.concat());
            }
        });
        let mut link = Link::to(gateway.base());
        link.send(request("GET /any/g", "", "")).unwrap();
        // Who gets nothing at all takes the link for dead, and sends even a POST again.
        let (status, _, rest) = answer_head(&mut link, "GET").expect("the head at least");
        assert_eq!(status, 200);
        let body = link.all(rest);
        assert!(body.is_err(), "{reason}: half was whole: {body:?}");
        let mut link = Frames::to(gateway.base(), b"");
        link.send(frame(HEADERS, WHOLE, 1, fields(&FINE))).unwrap();
        let next = |link: &mut Frames| link.next_of(&[HEADERS, DATA, RST_STREAM]).unwrap();
        let mut last = next(&mut link);
        assert_eq!(last.kind, HEADERS, "{reason}: {last:?}");
        while last.kind != RST_STREAM {
            assert_eq!(last.flags & END_STREAM, 0, "{reason}: {last:?}");
            last = next(&mut link);
        }
    }
    let gateway = before(|pleo, _| {
        while let Some(head) = head(pleo) {
            let last = frame(DATA, END_STREAM, head.stream, "whole");
            let all = [ok(head.stream, 0), last, reset(head.stream, NO_ERROR)];
            let _ = pleo.send(all.concat());
        }
    });
    assert_eq!(got(&gateway).unwrap().expect(200).text(), "whole");
    let answer = gateway.call("POST", "/any/g", &vec![b'x'; 1 << 20]);
    assert_eq!(answer.expect(200).text(), "whole");
}

/// Requirement 40: an endless row of interim answers is no answer.
#[test]
fn interim_answers_without_an_end_are_not_an_answer() {
    let (count, counted) = channel();
    let count = Mutex::new(count);
    let gateway = before(move |pleo, number| {
        let head = head(pleo).unwrap();
        let long = [(":status", "103"), ("link", &"x".repeat(1000))];
        let interim = frame(HEADERS, END_HEADERS, head.stream, fields(&long));
        if number > 0 {
            let some = interim.repeat(100);
            return pleo
                .send([some, ok(head.stream, END_STREAM)].concat())
                .unwrap();
        }
        let sent = (0..1_000_000).take_while(|_| pleo.send(&interim).is_ok());
        count.lock().unwrap().send(sent.count()).unwrap();
    });
    got(&gateway).unwrap().refused(502, "upstream-invalid");
    let sent = counted.recv_timeout(SOON).unwrap();
    assert!(sent < 100_000, "{sent} were taken");
    eventually("the next link", || {
        (got(&gateway).unwrap().status == 200).then_some(())
    });
}

/// Pleo refuses the first so many requests in this way; then it answers. Tells of every request when all of it was there.
fn refusing(
    first: usize,
    refuse: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static,
) -> (Gateway, Receiver<()>) {
    let (came, has_come) = channel();
    let (came, count) = (Mutex::new(came), AtomicUsize::new(0));
    let gateway = before(move |pleo, _| {
        while let Some(frame) = pleo.next_of(&[HEADERS, DATA]) {
            if frame.flags & END_STREAM == 0 {
                continue;
            }
            came.lock().unwrap().send(()).unwrap();
            let refused = count.fetch_add(1, Ordering::Relaxed) < first;
            let answer = if refused {
                refuse(frame.stream)
            } else {
                ok(frame.stream, END_STREAM)
            };
            let _ = pleo.send(answer);
        }
    });
    (gateway, has_come)
}

/// A farewell after the stream of this number.
fn goaway(last: u32) -> Vec<u8> {
    let payload = [last.to_be_bytes(), [0; 4]].concat();
    frame(GOAWAY, 0, 0, payload)
}

/// Requirements 45, 46: what Pleo says that it did not process is sent once more, whatever the method, if all of it is in
/// hand; and no third time. What it may have acted upon is not.
#[test]
fn what_pleo_did_not_process_is_sent_once_more() {
    let refused = |stream| reset(stream, REFUSED_STREAM);
    let (gateway, came) = refusing(1, refused);
    gateway.call("POST", "/any/g", b"order").expect(200);
    assert_eq!(came.try_iter().count(), 2);
    let metrics = gateway.metrics();
    let counted = "pleo_gateway_replays_total{reason=\"not_processed\"} 1";
    assert!(metrics.contains(counted), "{metrics}");

    let (gateway, came) = refusing(1, |_| goaway(0));
    gateway.call("POST", "/any/g", b"order").expect(200);
    assert_eq!(came.try_iter().count(), 2);

    let (gateway, came) = refusing(9, refused);
    let answer = gateway.call("POST", "/any/g", b"order");
    answer.refused(502, "upstream-unreachable");
    assert_eq!(came.try_iter().count(), 2);

    let (gateway, came) = refusing(1, refused);
    let answer = gateway.call("POST", "/any/g", &[b'x'; 2000]);
    answer.refused(502, "upstream-unreachable");
    assert_eq!(came.try_iter().count(), 1);

    let (gateway, came) = refusing(1, |stream| [goaway(stream), reset(stream, CANCEL)].concat());
    let answer = gateway.get("/any/g").refused(502, "upstream-invalid");
    assert!(
        answer.text().contains("may have acted"),
        "{}",
        answer.text()
    );
    assert_eq!(came.try_iter().count(), 1);
}

/// Requirement 11: an upload that its caller breaks off is reset, never ended.
#[test]
fn an_upload_that_breaks_off_is_reset() {
    let (over, is_over) = channel();
    let over = Mutex::new(over);
    let (begun, has_begun) = channel();
    let begun = Mutex::new(begun);
    let gateway = before(move |pleo, _| {
        while let Some(frame) = pleo.next_of(&[HEADERS, DATA, RST_STREAM]) {
            match frame.kind {
                HEADERS => {}
                DATA if frame.flags & END_STREAM == 0 => begun.lock().unwrap().send(()).unwrap(),
                kind => over.lock().unwrap().send(kind).unwrap(),
            }
        }
    });
    for framing in ["content-length: 50", "transfer-encoding: chunked"] {
        let mut link = Link::to(gateway.base());
        let some = request("POST /any/g", &format!("{framing}\r\n"), "5\r\nhello\r\n");
        link.send(some).unwrap();
        has_begun.recv_timeout(SOON).unwrap();
        drop(link);
        assert_eq!(is_over.recv_timeout(SOON).unwrap(), RST_STREAM, "{framing}");
        has_begun.try_iter().count();
    }
}
