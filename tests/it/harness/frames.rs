//! HTTP/2 by hand, from either end: frames as a test wrote them, and what comes back. Fields are written as literals, so
//! that they can be anything.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use super::SOON;
use super::link::Link;
use crate::canary;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
/// A whole request without a body.
pub(crate) const WHOLE: u8 = END_STREAM | END_HEADERS;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame that came.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// A link, its settings exchanged.
pub(crate) struct Frames<S = TcpStream> {
    stream: S,
    read: Vec<u8>,
}

impl Frames {
    /// To `http://host:port`, with these settings.
    pub(crate) fn to(base: &str, settings: &[u8]) -> Self {
        let address = base.strip_prefix("http://").unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_write_timeout(Some(SOON)).unwrap();
        let mut link = Self {
            stream,
            read: Vec::new(),
        };
        link.send(PREFACE).unwrap();
        link.send(frame(SETTINGS, 0, 0, settings)).unwrap();
        link
    }

    /// Another handle to the same link.
    pub(crate) fn other(&self) -> Self {
        Self {
            stream: self.stream.try_clone().unwrap(),
            read: Vec::new(),
        }
    }
}

impl<'l> Frames<&'l mut Link> {
    /// The server's end of a link on which the first half of the preface was read, as if it were a head.
    pub(crate) fn from(link: &'l mut Link) -> Self {
        assert_eq!(link.line().unwrap(), "SM");
        assert_eq!(link.line().unwrap(), "");
        let mut link = Self {
            stream: link,
            read: Vec::new(),
        };
        link.send(frame(SETTINGS, 0, 0, [])).unwrap();
        link
    }
}

impl<S: Read + Write> Frames<S> {
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())?;
        self.stream.flush()
    }

    /// The next frame; none once the link has ended.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.take() {
                return Some(frame);
            }
            let mut some = [0; 16 * 1024];
            match self.stream.read(&mut some) {
                Ok(size) if size > 0 => self.read.extend_from_slice(&some[..size]),
                _ => return None,
            }
        }
    }

    /// The next frame that is one of these kinds.
    pub(crate) fn next_of(&mut self, kinds: &[u8]) -> Option<Frame> {
        std::iter::from_fn(|| self.next()).find(|frame| kinds.contains(&frame.kind))
    }

    fn take(&mut self) -> Option<Frame> {
        let head = self.read.get(..9)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let (kind, flags) = (head[3], head[4]);
        let payload = self.read.get(9..9 + length)?.to_vec();
        self.read.drain(..9 + length);
        canary::search("a frame", &payload);
        Some(Frame {
            kind,
            flags,
            stream,
            payload,
        })
    }
}

impl Frame {
    /// The status that a head begins with.
    pub(crate) fn status(&self) -> u16 {
        let is_resize = |byte: &&u8| **byte & 0xe0 == 0x20;
        let block = &self.payload[self.payload.iter().take_while(is_resize).count()..];
        match block[0] {
            // the static table (RFC 7541, appendix A)
            byte @ 0x88..=0x8e => [200, 204, 206, 304, 400, 404, 500][usize::from(byte - 0x88)],
            _ if block[1] & 0x80 == 0 => digits(block[2..5].iter().map(|byte| byte - b'0')),
            _ => huffman(&block[2..]),
        }
    }

    /// Why a stream or a link ended.
    pub(crate) fn reason(&self) -> u32 {
        let place = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[place..place + 4].try_into().unwrap())
    }
}

/// Three digits in the code of RFC 7541, appendix B: 0 to 2 take five bits, the others six.
fn huffman(bytes: &[u8]) -> u16 {
    let mut bits = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1));
    let mut read = |count: usize, from: u8| {
        bits.by_ref()
            .take(count)
            .fold(from, |sum, bit| sum << 1 | bit)
    };
    let mut digit = || match read(5, 0) {
        short @ 0..=2 => short,
        long => read(1, long) - 0x19 + 3,
    };
    digits([digit(), digit(), digit()].into_iter())
}

fn digits(digits: impl Iterator<Item = u8>) -> u16 {
    digits.fold(0, |sum, digit| sum * 10 + u16::from(digit))
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Fields as literals that no table keeps; each letter below U+0100 is one byte.
pub(crate) fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            let bytes: Vec<u8> = text
                .chars()
                .map(|letter| u8::try_from(u32::from(letter)).unwrap())
                .collect();
            length(&mut block, bytes.len());
            block.extend(bytes);
        }
    }
    block
}

/// An integer of seven bits and more (RFC 7541 section 5.1).
fn length(block: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(127) else {
        return block.push(u8::try_from(length).unwrap());
    };
    block.push(127);
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}
