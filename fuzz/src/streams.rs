//! Target: an HTTP/2 request. Input: lines `name: value`, an empty line, the body; after another empty line more of the
//! body, after a third one trailers. It becomes one HTTP/1.1 request to Pleo at most, with the same method, target and
//! body.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use crate::heads::same_target;
use crate::stand::STAND;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Frame types (RFC 9113 section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// What a frame may hold unless it was said otherwise.
const LONGEST: usize = 16 * 1024;

type Lines<'a> = Vec<(&'a [u8], &'a [u8])>;

pub(crate) fn target(input: &[u8]) {
    let parts: Vec<&[u8]> = parts(input);
    let fields = lines(parts[0]);
    let bodies: Vec<&[u8]> = parts[1..].iter().take(2).copied().collect();
    let trailers = parts.get(3).map(|part| lines(part));
    let Some(sent) = frames(&fields, &bodies, trailers.as_ref()) else {
        return;
    };
    let mut link = STAND.call();
    if link.write_all(&sent).is_ok() {
        wait_for_the_end(&mut link);
    }
    let seen = STAND.upstream.take();
    assert!(seen.len() <= 1, "one became many: {seen:?}");
    if let Some(seen) = seen.first() {
        let value = |name: &[u8]| {
            let named = fields.iter().find(|(known, _)| *known == name);
            String::from_utf8_lossy(named.unwrap().1).into_owned()
        };
        assert_eq!(seen.method, value(b":method"));
        same_target(&seen.target, &value(b":path"));
        assert_eq!(seen.body, bodies.concat());
    }
}

fn parts(input: &[u8]) -> Vec<&[u8]> {
    let (mut parts, mut rest) = (Vec::new(), input);
    while let Some(place) = rest.windows(2).position(|two| two == b"\n\n") {
        parts.push(&rest[..place]);
        rest = &rest[place + 2..];
    }
    parts.push(rest);
    parts
}

/// A pseudo field's name begins with a colon.
fn lines(part: &[u8]) -> Lines<'_> {
    let field = |line: &'_ [u8]| -> Option<(usize, usize)> {
        let colon = 1 + line.get(1..)?.iter().position(|byte| *byte == b':')?;
        let value = if line.get(colon + 1) == Some(&b' ') {
            colon + 2
        } else {
            colon + 1
        };
        Some((colon, value))
    };
    let lines = part.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| field(line).map(|(colon, value)| (&line[..colon], &line[value..])))
        .collect()
}

/// All that is sent; `None` if it does not fit into a frame each.
fn frames(fields: &Lines<'_>, bodies: &[&[u8]], trailers: Option<&Lines<'_>>) -> Option<Vec<u8>> {
    let mut sent = PREFACE.to_vec();
    let trailers = trailers.filter(|trailers| !trailers.is_empty());
    frame(&mut sent, SETTINGS, 0, 0, &[])?;
    let ends = |last: bool| {
        if last && trailers.is_none() {
            END_STREAM
        } else {
            0
        }
    };
    frame(
        &mut sent,
        HEADERS,
        END_HEADERS | ends(bodies.is_empty()),
        1,
        &block(fields),
    )?;
    for (place, body) in bodies.iter().enumerate() {
        frame(&mut sent, DATA, ends(place + 1 == bodies.len()), 1, body)?;
    }
    if let Some(trailers) = trailers {
        frame(
            &mut sent,
            HEADERS,
            END_HEADERS | END_STREAM,
            1,
            &block(trailers),
        )?;
    }
    Some(sent)
}

fn frame(sent: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Option<()> {
    let length = u32::try_from(payload.len())
        .ok()
        .filter(|_| payload.len() <= LONGEST)?;
    sent.extend_from_slice(&length.to_be_bytes()[1..]);
    sent.extend_from_slice(&[kind, flags]);
    sent.extend_from_slice(&stream.to_be_bytes());
    sent.extend_from_slice(payload);
    Some(())
}

/// Every field a literal that is not indexed (RFC 7541 section 6.2.2).
fn block(fields: &Lines<'_>) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        text(&mut block, name);
        text(&mut block, value);
    }
    block
}

/// Its length in 7 bits and then some (RFC 7541 section 5.1), without Huffman's code.
fn text(block: &mut Vec<u8>, bytes: &[u8]) {
    let mut length = bytes.len();
    if length < 127 {
        block.push(length.to_le_bytes()[0]);
    } else {
        block.push(127);
        length -= 127;
        while length > 127 {
            block.push(length.to_le_bytes()[0] | 128);
            length >>= 7;
        }
        block.push(length.to_le_bytes()[0]);
    }
    block.extend_from_slice(bytes);
}

/// Reads until the stream, or the link, is over.
fn wait_for_the_end(link: &mut UnixStream) {
    let mut leaving = false;
    let mut head = [0; 9];
    loop {
        match link.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("no end"),
            Err(_) => return,
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        if link.read_exact(&mut payload).is_err() {
            return;
        }
        let (kind, flags, stream) = (head[3], head[4], head[8]);
        let ends = matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0;
        leaving |= kind == GOAWAY;
        if stream == 1 && (ends || kind == RESET) && !leaving {
            return;
        }
    }
}
