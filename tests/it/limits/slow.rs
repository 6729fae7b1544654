//! Slow attacks: hundreds of links that send or take next to nothing are cut in time, at every door, while others are served
//! as ever.

use super::attack::Attack;
use super::{SLOW, gateway, pleo};
use crate::harness::authority::Authority;
use crate::harness::frames::{
    DATA, END_HEADERS, HEADERS, PING, SETTINGS, WHOLE, WINDOW_UPDATE, fields, frame,
};
use crate::harness::gateway::{Gateway, KEY};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const PING_FRAME: [u8; 8] = [0; 8];
/// No window for any stream.
const NO_WINDOW: [u8; 6] = [0, 4, 0, 0, 0, 0];

pub(super) fn head(line: &str, more: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\nhost: x\r\npleo-gateway-key: {KEY}\r\n{more}").into_bytes()
}

pub(super) fn head_frame(flags: u8, stream: u32, method: &str, path: &str) -> Vec<u8> {
    let named = [
        (":method", method),
        (":scheme", "http"),
        (":path", path),
        (":authority", "x"),
        ("pleo-gateway-key", KEY),
    ];
    frame(HEADERS, flags, stream, fields(&named))
}

/// The beginning of an HTTP/2 link.
fn http2(settings: &[u8], frames: &[Vec<u8>]) -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, settings), &frames.concat()].concat()
}

fn attack(
    gateway: &Gateway,
    name: &'static str,
    opening: Vec<u8>,
    drop: impl Into<Vec<u8>>,
) -> Attack {
    Attack {
        name,
        door: gateway.base().to_owned(),
        opening,
        drop: drop.into(),
        sip: 0,
    }
}

/// Requirement 117: who says nothing, or a head that never ends, holds no link; on HTTP/1.1, on HTTP/2, under TLS.
#[test]
fn slow_heads_are_cut() {
    let (authority, pleo) = (Authority::new(), pleo());
    let gateway = gateway(&pleo, |setup| {
        let door = authority.certificate(&["localhost"]);
        door.write(setup.folder(), "door");
        // Not what cuts them.
        setup.limits = setup
            .limits
            .replace("idle_timeout = \"3s\"", "idle_timeout = \"60s\"");
        setup.doors.push_str("[[listen]]\naddress = \"127.0.0.1:0\"\ntls = { cert_file = \"door.pem\", key_file = \"door.key\" }\n");
    });
    // The beginning of a ClientHello that is 512 bytes long, and is said one byte at a time.
    let hello = vec![22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
    let secure = gateway.callers[1].clone();
    let unfinished = http2(&[], &[head_frame(0, 1, "GET", "/v2/employees")]);
    // One request is served before: the rules of a link's first head are not all there is.
    let second = http2(
        &[],
        &[
            head_frame(WHOLE, 1, "GET", "/v2/employees"),
            head_frame(0, 3, "GET", "/v2/employees"),
        ],
    );
    // A head whose frame does not end.
    let cut = head_frame(WHOLE, 1, "GET", "/v2/employees");
    let half = http2(&[], &[cut[..20].to_vec()]);
    let line = head("GET /v2/employees", "x-a: ");
    for attack in [
        attack(&gateway, "silence", Vec::new(), ""),
        attack(&gateway, "slow heads", line, "a"),
        attack(&gateway, "slow heads, HTTP/2", unfinished, ""),
        attack(&gateway, "slow second heads, HTTP/2", second, ""),
        attack(&gateway, "slow frames, HTTP/2", half, [0]),
        Attack {
            door: secure.clone(),
            ..attack(&gateway, "slow handshakes", hello, "a")
        },
        Attack {
            door: secure,
            ..attack(&gateway, "no handshake", Vec::new(), "")
        },
    ] {
        attack.run(&gateway);
    }
}

/// Requirement 117: a body that stalls, and one that drips for longer than a request may take, ends with its request.
#[test]
fn slow_bodies_are_cut() {
    let pleo = pleo();
    let gateway = gateway(&pleo, |_| {});
    let chunked = head(
        "POST /v1/vendors:search",
        "transfer-encoding: chunked\r\n\r\n",
    );
    let upload = head_frame(END_HEADERS, 1, "POST", "/v1/vendors:search");
    let upload = http2(&[], &[upload]);
    let stalled = head(
        "POST /v1/vendors:search",
        "content-length: 1000\r\n\r\nbegun",
    );
    for attack in [
        attack(&gateway, "stalled bodies", stalled, ""),
        attack(&gateway, "slow bodies", chunked, "1\r\nx\r\n"),
        attack(
            &gateway,
            "slow bodies, HTTP/2",
            upload,
            frame(DATA, 0, 1, "x"),
        ),
    ] {
        attack.run(&gateway);
    }
}

/// Requirement 117, and 63: who takes little or nothing of an answer is cut, however often it asks for a little more or
/// whether the gateway is there.
#[test]
fn slow_readers_are_cut() {
    let pleo = pleo();
    let gateway = gateway(&pleo, |setup| {
        setup.limits = "header_timeout = \"2s\"\nbody_idle_timeout = \"4s\"\nidle_timeout = \"1s\"\nrequest_timeout = \"6s\"".to_owned();
    });
    let get = head(&format!("GET {SLOW}"), "\r\n");
    let stream = head_frame(WHOLE, 1, "GET", SLOW);
    let closed = http2(&NO_WINDOW, std::slice::from_ref(&stream));
    let open = http2(&[], &[stream]);
    let ping = frame(PING, 0, 0, PING_FRAME);
    let more = [0, 1].map(|stream| frame(WINDOW_UPDATE, 0, stream, [0, 0, 0, 1]));
    for (attack, sip) in [
        (attack(&gateway, "no readers", get, ""), 0),
        (
            attack(&gateway, "no windows, HTTP/2", closed.clone(), ping),
            4096,
        ),
        (
            attack(&gateway, "no windows and silence, HTTP/2", closed, ""),
            4096,
        ),
        (
            attack(&gateway, "small windows, HTTP/2", open, more.concat()),
            64 * 1024,
        ),
    ] {
        Attack { sip, ..attack }.run(&gateway);
    }
}

/// Requirement 117: who takes a little again and again never stalls, and has `request_timeout` for all of it.
#[test]
fn sipped_answers_end_with_their_time() {
    let pleo = pleo();
    let gateway = gateway(&pleo, |setup| {
        setup.limits = "body_idle_timeout = \"60s\"\nrequest_timeout = \"5s\"".to_owned();
    });
    let get = head(&format!("GET {SLOW}"), "\r\n");
    let sipping = attack(&gateway, "sipping readers", get, "");
    Attack {
        sip: 256 * 1024,
        ..sipping
    }
    .run(&gateway);
}

/// Requirement 117: the doors of browsers and operators hold slow callers to the same.
#[test]
fn the_desk_is_no_slower_to_cut() {
    let pleo = pleo();
    let gateway = gateway(&pleo, |_| {});
    let file = gateway.setup.folder().join("data/admin.token");
    let token = std::fs::read_to_string(file).unwrap();
    let import = format!(
        "POST /v1/connections/beta/import HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ntransfer-encoding: chunked\r\n\r\n",
        token.trim()
    );
    let line = b"GET /livez HTTP/1.1\r\nhost: x\r\nx-a: ".to_vec();
    for door in [&gateway.admin, &gateway.connect] {
        let at_desk = |attack: Attack| Attack {
            door: door.clone(),
            ..attack
        };
        at_desk(attack(&gateway, "silence at the desk", Vec::new(), "")).run(&gateway);
        at_desk(attack(
            &gateway,
            "slow heads at the desk",
            line.clone(),
            "a",
        ))
        .run(&gateway);
    }
    let slow = attack(
        &gateway,
        "slow bodies at the desk",
        import.into_bytes(),
        "1\r\n \r\n",
    );
    Attack {
        door: gateway.admin.clone(),
        ..slow
    }
    .run(&gateway);
}
