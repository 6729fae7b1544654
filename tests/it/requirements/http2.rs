//! HTTP/2 at the callers' door (requirements 11, 53 to 56, 61, 62, 64). Floods are in `floods`, Pleo's end in
//! `multiplexed`.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use super::Scene;
use crate::harness::SOON;
use crate::harness::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, Frames, GOAWAY, HEADERS, PING, PRIORITY,
    PUSH_PROMISE, RST_STREAM, SETTINGS, WHOLE, WINDOW_UPDATE, fields, frame,
};
use crate::harness::gateway::KEY;

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const COMPRESSION_ERROR: u32 = 9;

const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "http");
const PATH: (&str, &str) = (":path", "/any/g");
const AUTHORITY: (&str, &str) = (":authority", "x");
const CALLER: (&str, &str) = ("pleo-gateway-key", KEY);
/// A request that is served.
pub(super) const FINE: [(&str, &str); 5] = [METHOD, SCHEME, PATH, AUTHORITY, CALLER];

/// What becomes of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Answered(u16),
    /// The stream is reset, or the link ends; with this reason.
    Ended(u32),
}

fn fate(link: &mut Frames) -> Fate {
    match link.next_of(&[HEADERS, RST_STREAM, GOAWAY]) {
        Some(head) if head.kind == HEADERS => Fate::Answered(head.status()),
        Some(end) => Fate::Ended(end.reason()),
        None => panic!("the link ended without a word"),
    }
}

/// What becomes of a request with these fields and no body.
fn of(scene: &Scene, all: &[(&str, &str)]) -> Fate {
    let mut link = Frames::to(scene.gateway.base(), b"");
    link.send(frame(HEADERS, WHOLE, 1, fields(all))).unwrap();
    fate(&mut link)
}

/// `FINE` with further fields.
fn with(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    FINE.iter().chain(more).copied().collect()
}

/// What RFC 9113 calls malformed (sections 8.2 and 8.3, 8.5).
fn malformed() -> Vec<Vec<(&'static str, &'static str)>> {
    vec![
        vec![SCHEME, PATH, AUTHORITY, CALLER],
        vec![METHOD, PATH, AUTHORITY, CALLER],
        vec![METHOD, SCHEME, AUTHORITY, CALLER],
        vec![METHOD, SCHEME, (":path", ""), AUTHORITY, CALLER],
        vec![METHOD, SCHEME, ("host", "x"), CALLER],
        vec![METHOD, SCHEME, PATH, CALLER, AUTHORITY],
        vec![METHOD, SCHEME, PATH, PATH, AUTHORITY, CALLER],
        vec![METHOD, SCHEME, PATH, AUTHORITY, AUTHORITY, CALLER],
        vec![METHOD, SCHEME, PATH, AUTHORITY, (":status", "200"), CALLER],
        vec![METHOD, SCHEME, PATH, AUTHORITY, (":odd", "1"), CALLER],
        vec![METHOD, SCHEME, PATH, (":authority", "a b"), CALLER],
        vec![METHOD, SCHEME, (":path", "/any/a b"), AUTHORITY, CALLER],
        vec![METHOD, SCHEME, (":path", "/any/a\r\nb"), AUTHORITY, CALLER],
        vec![(":method", "GE T"), SCHEME, PATH, AUTHORITY, CALLER],
        vec![(":method", "GET\r\n"), SCHEME, PATH, AUTHORITY, CALLER],
        vec![(":method", "CONNECT"), CALLER],
        vec![
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            SCHEME,
            PATH,
            AUTHORITY,
            CALLER,
        ],
        with(&[("X-Upper", "1")]),
        with(&[("connection", "close")]),
        with(&[("keep-alive", "1")]),
        with(&[("proxy-connection", "close")]),
        with(&[("transfer-encoding", "chunked")]),
        with(&[("upgrade", "h2c")]),
        with(&[("te", "gzip")]),
        with(&[("", "1")]),
        with(&[("x a", "1")]),
        with(&[("x:a", "1")]),
        with(&[("x\"a", "1")]),
        with(&[("x\u{0}a", "1")]),
        with(&[("x\u{e9}", "1")]),
        with(&[("x-a", "a\rb")]),
        with(&[("x-a", "a\nb")]),
        with(&[("x-a", "a\u{0}b")]),
        with(&[("x-a", "a\u{7f}b")]),
        with(&[("x-a", " a")]),
        with(&[("x-a", "\ta")]),
        with(&[("x-a", "a ")]),
        with(&[("x-a", "a\t")]),
        with(&[("x-a", " ")]),
    ]
}

/// Requirements 53, 54: what RFC 9113 calls malformed resets the stream. Requirement 56: one authority, without a user, or
/// 400. Requirement 64: no extended CONNECT, and no CONNECT at all. Nothing of any of them is forwarded.
#[test]
fn malformed_requests_end_their_stream() {
    let scene = Scene::new();
    for all in malformed() {
        assert_eq!(of(&scene, &all), Fate::Ended(PROTOCOL_ERROR), "{all:?}");
    }
    for (all, status) in [
        (with(&[("host", "y")]), 400),
        (with(&[("host", "x"), ("host", "x")]), 400),
        (vec![METHOD, SCHEME, PATH, CALLER], 400),
        (
            vec![METHOD, SCHEME, PATH, (":authority", "u@x"), CALLER],
            400,
        ),
        (vec![(":method", "CONNECT"), AUTHORITY, CALLER], 405),
        (
            vec![(":method", "TRACE"), SCHEME, PATH, AUTHORITY, CALLER],
            405,
        ),
        (
            vec![(":method", "get"), SCHEME, PATH, AUTHORITY, CALLER],
            403,
        ),
    ] {
        assert_eq!(of(&scene, &all), Fate::Answered(status), "{all:?}");
    }
    assert!(scene.upstream.seen().is_empty());
    for all in [
        with(&[("te", "trailers")]),
        with(&[("host", "x")]),
        with(&[("x-a", "a b\tc \u{e9}")]),
        vec![METHOD, SCHEME, PATH, ("host", "x"), CALLER],
    ] {
        assert_eq!(of(&scene, &all), Fate::Answered(200), "{all:?}");
    }
    for seen in scene.upstream.seen() {
        scene.assert_clean(&seen);
    }
}

/// Requirement 55: a body is as long as it was said to be, or the stream is reset and Pleo never sees it whole.
#[test]
fn a_body_is_as_long_as_it_says() {
    let scene = Scene::new();
    for (length, pieces) in [
        ("10", &["hello"][..]),
        ("3", &["hello"]),
        ("9", &["hello", "again"]),
        ("5", &[]),
    ] {
        let mut all = with(&[]);
        all[0] = (":method", "POST");
        all.push(("content-length", length));
        let mut link = Frames::to(scene.gateway.base(), b"");
        let ends = if pieces.is_empty() {
            WHOLE
        } else {
            END_HEADERS
        };
        link.send(frame(HEADERS, ends, 1, fields(&all))).unwrap();
        for (place, piece) in pieces.iter().enumerate() {
            let flags = if place + 1 == pieces.len() {
                END_STREAM
            } else {
                0
            };
            link.send(frame(DATA, flags, 1, piece)).unwrap();
        }
        assert_eq!(
            fate(&mut link),
            Fate::Ended(PROTOCOL_ERROR),
            "{length} {pieces:?}"
        );
    }
    assert!(scene.upstream.seen().is_empty());
}

/// Requirement 55: nor is a body whole that is said to be empty, before it has ended: what comes instead of its end comes
/// before Pleo acts.
#[test]
fn a_body_that_is_said_to_be_empty_is_waited_for() {
    let scene = Scene::new();
    for (body, expected) in [
        ("hello", Fate::Ended(PROTOCOL_ERROR)),
        ("", Fate::Answered(200)),
    ] {
        assert!(scene.upstream.seen().is_empty());
        let mut all = with(&[("content-length", "0")]);
        all[0] = (":method", "POST");
        let mut link = Frames::to(scene.gateway.base(), b"");
        link.send(frame(HEADERS, END_HEADERS, 1, fields(&all)))
            .unwrap();
        // Its answer comes after what the head alone would lead to.
        link.send(frame(PING, 0, 0, [7; 8])).unwrap();
        link.next_of(&[PING]).unwrap();
        link.send(frame(DATA, END_STREAM, 1, body)).unwrap();
        assert_eq!(fate(&mut link), expected, "{body}");
    }
    let seen = scene.upstream.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].head.field("content-length"), Some("0"));
}

/// Requirement 11: an upload that its caller resets, for whatever reason, is never whole for Pleo; not even one that is
/// answered already.
#[test]
fn an_upload_that_is_reset_is_never_whole() {
    let (over, is_over) = channel();
    let over = Mutex::new(over);
    let scene = Scene::with("", move |exchange| {
        if exchange.head.word(1) == "/any/early" {
            exchange.reply("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello");
        } else {
            assert_eq!(exchange.some(), b"half");
            over.lock().unwrap().send(false).unwrap();
        }
        let is_whole = exchange.is_whole();
        over.lock().unwrap().send(is_whole).unwrap();
        exchange.close();
    });
    for reason in [0, 2, 8] {
        for path in ["/any/early", "/any/late"] {
            let all = [
                (":method", "POST"),
                SCHEME,
                (":path", path),
                AUTHORITY,
                CALLER,
            ];
            let mut link = Frames::to(scene.gateway.base(), b"");
            link.send(frame(HEADERS, END_HEADERS, 1, fields(&all)))
                .unwrap();
            link.send(frame(DATA, 0, 1, "half")).unwrap();
            if path == "/any/early" {
                link.next_of(&[DATA]).unwrap();
            } else {
                is_over.recv_timeout(SOON).unwrap();
            }
            link.send(frame(RST_STREAM, 0, 1, [0, 0, 0, reason]))
                .unwrap();
            assert!(!is_over.recv_timeout(SOON).unwrap(), "{reason} {path}");
        }
    }
}

/// Requirement 65: the frames that RFC 9113 forbids end the link with the reason that it gives them.
#[test]
fn forbidden_frames_end_the_link() {
    let scene = Scene::new();
    let head = frame(HEADERS, END_HEADERS, 1, fields(&FINE));
    let whole = frame(HEADERS, WHOLE, 1, fields(&FINE));
    let after = |end: &[u8], more: Vec<u8>| [end, &more].concat();
    let reset = after(&head, frame(RST_STREAM, 0, 1, [0; 4]));
    for (bytes, reason) in [
        (frame(PING, 0, 0, [0; 7]), FRAME_SIZE_ERROR),
        (frame(PRIORITY, 0, 1, [0; 4]), FRAME_SIZE_ERROR),
        (
            after(&head, frame(RST_STREAM, 0, 1, [0; 3])),
            FRAME_SIZE_ERROR,
        ),
        (
            after(&head, frame(WINDOW_UPDATE, 0, 1, [0; 3])),
            FRAME_SIZE_ERROR,
        ),
        (frame(SETTINGS, 0, 0, [0; 5]), FRAME_SIZE_ERROR),
        (frame(SETTINGS, 1, 0, [0; 6]), FRAME_SIZE_ERROR),
        (frame(DATA, 0, 1, vec![0; 20_000]), FRAME_SIZE_ERROR),
        (
            frame(SETTINGS, 0, 0, [0, 4, 0x80, 0, 0, 0]),
            FLOW_CONTROL_ERROR,
        ),
        (frame(SETTINGS, 0, 0, [0, 2, 0, 0, 0, 2]), PROTOCOL_ERROR),
        (frame(SETTINGS, 0, 1, []), PROTOCOL_ERROR),
        (frame(PING, 0, 1, [0; 8]), PROTOCOL_ERROR),
        (
            frame(PUSH_PROMISE, END_HEADERS, 1, [0, 0, 0, 2]),
            PROTOCOL_ERROR,
        ),
        (frame(DATA, 0, 1, "x"), PROTOCOL_ERROR),
        (frame(RST_STREAM, 0, 1, [0; 4]), PROTOCOL_ERROR),
        (frame(HEADERS, WHOLE, 2, fields(&FINE)), PROTOCOL_ERROR),
        (frame(CONTINUATION, END_HEADERS, 1, ""), PROTOCOL_ERROR),
        (after(&whole, frame(DATA, 0, 1, "x")), STREAM_CLOSED),
        (after(&whole, whole.clone()), STREAM_CLOSED),
        (after(&reset, whole.clone()), STREAM_CLOSED),
    ] {
        let mut link = Frames::to(scene.gateway.base(), b"");
        link.send(&bytes).unwrap();
        let end = link
            .next_of(&[GOAWAY])
            .unwrap_or_else(|| panic!("no goodbye: {bytes:?}"));
        assert_eq!(end.reason(), reason, "{bytes:?}");
        assert!(link.next().is_none(), "the link went on");
    }
    // h2 calls a table that cannot be read a protocol error; the link ends as it must.
    let mut link = Frames::to(scene.gateway.base(), b"");
    link.send(frame(
        HEADERS,
        WHOLE,
        1,
        [0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
    ))
    .unwrap();
    let end = link.next_of(&[GOAWAY]).unwrap();
    assert!([PROTOCOL_ERROR, COMPRESSION_ERROR].contains(&end.reason()));
    assert_eq!(of(&scene, &FINE), Fate::Answered(200));
}

/// Requirements 61, 62, 64: what we say of ourselves: as many bytes of head as HTTP/1.1 may have, few streams, small windows,
/// no extended CONNECT; and the budget for heads holds for what they are when decompressed.
#[test]
fn settings_are_modest_and_kept() {
    let scene = Scene::new();
    let mut link = Frames::to(scene.gateway.base(), b"");
    let settings = link.next().unwrap();
    assert_eq!((settings.kind, settings.flags), (SETTINGS, 0));
    let said = |wanted: u16| {
        let mut entries = settings.payload.chunks(6);
        let entry = entries.find(|entry| entry[..2] == wanted.to_be_bytes())?;
        Some(u32::from_be_bytes(entry[2..].try_into().unwrap()))
    };
    assert_eq!(said(3), Some(100), "streams at once");
    assert_eq!(said(4), Some(64 * 1024), "a stream's window");
    assert_eq!(said(6), Some(64 * 1024), "a head");
    assert_eq!(said(8), None, "extended CONNECT");
    let more: Frame = link.next_of(&[WINDOW_UPDATE]).unwrap();
    assert_eq!(
        (more.stream, more.reason()),
        (0, (1 << 20) - 65_535),
        "the link's window"
    );

    // Two bytes each name a field of four thousand.
    let long = "a".repeat(4_000);
    let mut block = fields(&FINE);
    block.extend([0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
    block.extend(long.as_bytes());
    block.extend([0xbe; 30]);
    link.send(frame(HEADERS, WHOLE, 1, block)).unwrap();
    assert_eq!(fate(&mut link), Fate::Answered(431));
    let many: Vec<(String, &str)> = (0..100).map(|n| (format!("x{n}"), "1")).collect();
    let many: Vec<(&str, &str)> = (FINE.iter().copied())
        .chain(many.iter().map(|(name, value)| (name.as_str(), *value)))
        .collect();
    assert_eq!(of(&scene, &many), Fate::Answered(431));
    assert!(scene.upstream.seen().is_empty());
}
