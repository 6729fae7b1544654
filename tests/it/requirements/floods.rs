//! Callers that keep an HTTP/2 link busy for nothing (requirements 57 to 60, 63): the link ends, or nothing grows; others are
//! served all the while.

use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;

use super::http2::FINE;
use super::{Scene, served};
use crate::harness::frames::{
    CONTINUATION, DATA, END_HEADERS, Frame, Frames, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM,
    SETTINGS, WHOLE, WINDOW_UPDATE, fields, frame,
};
use crate::harness::{SOON, eventually};

const PROTOCOL_ERROR: u32 = 1;
const ENHANCE_YOUR_CALM: u32 = 11;
/// What a flood may cost.
const BOUND: u64 = 64 << 20;

/// What is sent last: once it is answered, all that came before it has been read.
const LAST: [u8; 8] = *b"the last";

/// Sends `opening` and then pieces until the link ends or there are no more. The reason that was given, if any.
fn flood(
    scene: &Scene,
    opening: &[u8],
    pieces: u32,
    piece: impl Fn(u32) -> Vec<u8>,
) -> Option<u32> {
    let before = scene.gateway.program.memory_now();
    let mut link = Frames::to(scene.gateway.base(), b"");
    let mut reader = link.other();
    let reason = thread::spawn(move || {
        let is_told = |frame: &Frame| frame.kind == GOAWAY || frame.payload == LAST;
        let told = std::iter::from_fn(|| reader.next()).find(is_told);
        told.filter(|frame| frame.kind == GOAWAY)
            .map(|end| end.reason())
    });
    let mut is_open = link.send(opening).is_ok();
    for number in 0..pieces {
        is_open = is_open && link.send(piece(number)).is_ok();
    }
    // One that has ended takes no more.
    let _ = link.send(frame(PING, 0, 0, LAST));
    scene.gateway.get("/any/g").expect(200);
    let reason = reason.join().unwrap();
    let grown = scene.gateway.program.memory_now().saturating_sub(before);
    assert!(grown < BOUND, "grew by {} MiB", grown >> 20);
    reason
}

fn stream(number: u32) -> u32 {
    2 * number + 1
}

fn open(number: u32) -> Vec<u8> {
    frame(HEADERS, WHOLE, stream(number), fields(&FINE))
}

fn reset(number: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream(number), [0, 0, 0, 8])
}

/// Requirements 57, 58, 59: resets, one's own or those that are provoked, and heads without an end cost the link.
/// Requirement 60: what costs nothing is borne, and nothing is kept of it.
#[test]
fn floods_end_the_link_or_cost_nothing() {
    let scene = Scene::new();
    let resets = flood(&scene, b"", 5_000, |number| {
        [open(number), reset(number)].concat()
    });
    assert_eq!(resets, Some(ENHANCE_YOUR_CALM));
    let head = frame(HEADERS, 1, 1, fields(&FINE));
    let more = fields(&[("x-a", &"a".repeat(8_000))]);
    for part in [&more[..], b""] {
        let endless = flood(&scene, &head, 20_000, |_| frame(CONTINUATION, 0, 1, part));
        assert_eq!(endless, Some(ENHANCE_YOUR_CALM));
    }
    let windows = flood(&scene, b"", 5_000, |number| {
        [
            open(number),
            frame(WINDOW_UPDATE, 0, stream(number), [0; 4]),
        ]
        .concat()
    });
    let provoked = |what: Option<u32>| {
        [Some(PROTOCOL_ERROR), Some(5), Some(ENHANCE_YOUR_CALM)].contains(&what)
    };
    assert!(provoked(windows), "{windows:?}");
    let ended = flood(&scene, b"", 5_000, |number| {
        [open(number), frame(DATA, 0, stream(number), "x")].concat()
    });
    assert!(provoked(ended), "{ended:?}");

    let hundred = |one: Vec<u8>| one.repeat(100);
    let settings = [0, 3, 0, 0, 0, 100].repeat(100);
    let upload = frame(
        HEADERS,
        END_HEADERS,
        1,
        fields(&[&[(":method", "POST")], &FINE[1..]].concat()),
    );
    for (opening, piece) in [
        (&b""[..], hundred(frame(PING, 0, 0, [0; 8]))),
        (b"", hundred(frame(SETTINGS, 0, 0, b""))),
        (b"", frame(SETTINGS, 0, 0, settings)),
        (b"", hundred(frame(WINDOW_UPDATE, 0, 0, [0, 0, 0, 1]))),
        (b"", hundred(frame(77, 0, 0, "unknown"))),
        (&upload, hundred(frame(DATA, 0, 1, b""))),
    ] {
        let end = flood(&scene, opening, 1_000, |_| piece.clone());
        assert!(matches!(end, None | Some(ENHANCE_YOUR_CALM)), "{end:?}");
    }
    let order = flood(&scene, b"", 1_000, |place| {
        (0..100)
            .flat_map(|n| frame(PRIORITY, 0, stream(place * 100 + n), [0, 0, 0, 0, 16]))
            .collect()
    });
    assert_eq!(order, None);
}

/// Requirement 57: a stream that is reset ends its call at Pleo at once, also if it waits for the call first; and who does
/// that over and over loses the link.
#[test]
fn a_call_ends_with_its_stream() {
    // None for a call that has begun, some reason for the link's end.
    let ((told, is_told), (over, is_over)) = (channel(), channel());
    let (begun, over) = (Mutex::new(told.clone()), Mutex::new(over));
    let scene = Scene::with("", move |exchange| {
        if exchange.head.word(1) != "/any/g" {
            return served(exchange);
        }
        begun.lock().unwrap().send(None).unwrap();
        let closed = exchange.link.is_closed();
        over.lock().unwrap().send(closed).unwrap();
        exchange.close();
    });
    let mut link = Frames::to(scene.gateway.base(), b"");
    let mut reader = link.other();
    thread::spawn(move || {
        let end = reader.next_of(&[GOAWAY]);
        let _ = told.send(Some(end.map_or(0, |end| end.reason())));
    });
    let (mut calls, mut reason) = (0, None);
    while reason.is_none() {
        let _ = link.send(open(calls));
        reason = is_told.recv_timeout(SOON).unwrap();
        if reason.is_none() {
            let _ = link.send(reset(calls));
            assert!(is_over.recv_timeout(SOON).unwrap(), "the call went on");
            calls += 1;
        }
    }
    assert_eq!(reason, Some(ENHANCE_YOUR_CALM));
    assert!((50..=200).contains(&calls), "{calls}");
    scene.gateway.get("/any/after").expect(200);
}

/// Requirement 57: calls that were given up count against the caller's rate like any others.
#[test]
fn calls_that_were_given_up_are_counted() {
    let scene = Scene::made(
        |setup| {
            setup.callers = setup
                .callers
                .replacen("tenants", "rate = \"5/h\"\ntenants", 1);
        },
        served,
    );
    let mut link = Frames::to(scene.gateway.base(), b"");
    for number in 0..5 {
        link.send(open(number)).unwrap();
        let answered = link.next_of(&[HEADERS]).unwrap();
        assert_eq!(answered.status(), 200);
        let _ = link.send(reset(number));
    }
    link.send(open(5)).unwrap();
    assert_eq!(link.next_of(&[HEADERS]).unwrap().status(), 429);
}

/// Requirement 63: a caller that takes nothing of its answers loses them in time, and until then they cost a bounded
/// amount.
#[test]
fn answers_that_nobody_takes_are_given_up() {
    let (over, is_over) = channel();
    let over = Mutex::new(over);
    let scene = Scene::with("body_idle_timeout = \"1s\"", move |exchange| {
        if exchange.head.word(1) != "/any/g" {
            return served(exchange);
        }
        let length = 16 << 20;
        exchange.reply(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"
        ));
        let given_up = exchange.link.send(vec![b'x'; length]).is_err();
        over.lock().unwrap().send(given_up).unwrap();
        exchange.close();
    });
    let before = scene.gateway.program.memory_now();
    let mut link = Frames::to(scene.gateway.base(), &[0, 4, 0, 0, 0, 0]);
    for number in 0..60 {
        link.send(open(number)).unwrap();
    }
    for _ in 0..60 {
        assert_eq!(link.next_of(&[HEADERS]).unwrap().status(), 200);
    }
    for _ in 0..60 {
        assert!(is_over.recv_timeout(SOON).unwrap(), "somebody took it");
    }
    let grown = scene.gateway.program.memory_now().saturating_sub(before);
    assert!(grown < BOUND, "grew by {} MiB", grown >> 20);
    eventually("the next call", || {
        (scene.gateway.get("/any/after").status == 200).then_some(())
    });
}
