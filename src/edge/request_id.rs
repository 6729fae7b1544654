//! A request's id: the caller's own if it is well formed, otherwise a new UUID of version 7. Also the trace it belongs to.

use std::cell::{Cell, RefCell};

use bytes::BytesMut;
use http::{HeaderMap, HeaderValue};
use uuid::{Builder, Uuid};

use crate::clock::Timestamp;
use crate::proxy::headers::X_REQUEST_ID;

const LONGEST: usize = 128;

/// One allocation makes room for the text of this many ids.
const IDS_AT_ONCE: usize = 100;

/// Makes one thread's ids, from a random start, without a system call, a lock or an allocation for each.
#[derive(Debug)]
pub(super) struct RequestIds {
    state: Cell<u64>,
    room: RefCell<BytesMut>,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        let (high, low) = Uuid::now_v7().as_u64_pair();
        Self {
            state: Cell::new(high.rotate_left(32) ^ low),
            room: RefCell::default(),
        }
    }

    /// The caller's id, or a new one.
    pub(super) fn of(&self, headers: &HeaderMap, now: Timestamp) -> HeaderValue {
        let mut given = headers.get_all(X_REQUEST_ID).iter();
        match (given.next(), given.next()) {
            (Some(id), None) if is_well_formed(id.as_bytes()) => id.clone(),
            _ => self.make(now),
        }
    }

    #[expect(
        clippy::expect_used,
        reason = "a UUID is written in hexadecimal and '-'"
    )]
    pub(super) fn make(&self, now: Timestamp) -> HeaderValue {
        let millis = u64::try_from(now.0 / 1000).unwrap_or(0);
        let mut random = [0; 10];
        random[..8].copy_from_slice(&self.next().to_ne_bytes());
        random[8..].copy_from_slice(&self.next().to_ne_bytes()[..2]);
        let id = Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
        let mut text = Uuid::encode_buffer();
        let text = id.hyphenated().encode_lower(&mut text);
        let mut room = self.room.borrow_mut();
        if room.capacity() < text.len() {
            *room = BytesMut::with_capacity(IDS_AT_ONCE * text.len());
        }
        room.extend_from_slice(text.as_bytes());
        HeaderValue::from_maybe_shared(room.split().freeze()).expect("a UUID is a header value")
    }

    /// `SplitMix64`: distinct for 2^64 steps. An id need not be secret, only unique.
    fn next(&self) -> u64 {
        let state = self.state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.state.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Fit for a log line, a header and a URL.
fn is_well_formed(id: &[u8]) -> bool {
    let fits = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'.' | b'_' | b'~' | b':' | b'+' | b'/' | b'=' | b'-')
    };
    (1..=LONGEST).contains(&id.len()) && id.iter().all(fits)
}

/// The `traceparent`, if there is one and it is one (W3C Trace Context section 3.2); several are none.
pub(super) fn trace_parent(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut values = headers.get_all("traceparent").iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let text = value.as_bytes();
    let hex = |range: std::ops::Range<usize>| {
        text[range]
            .iter()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let shaped = text.len() >= 55
        && (text.len() == 55 || (text[55] == b'-' && !text.starts_with(b"00")))
        && [text[2], text[35], text[52]] == *b"---"
        && hex(0..2)
        && !text.starts_with(b"ff")
        && hex(3..35)
        && hex(36..52)
        && hex(53..55);
    let named = shaped && text[3..35] != [b'0'; 32] && text[36..52] != [b'0'; 16];
    named.then(|| value.clone())
}

/// The trace's id within a `traceparent`.
pub(super) fn trace_id(parent: &HeaderValue) -> Option<&str> {
    parent.to_str().ok().and_then(|text| text.get(3..35))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn with(name: &'static str, values: &[&str]) -> HeaderMap {
        let values = values
            .iter()
            .map(|v| (http::HeaderName::from_static(name), v.parse().unwrap()));
        values.collect()
    }

    #[test]
    fn a_well_formed_id_of_the_caller_is_kept() {
        let ids = RequestIds::new();
        let longest = "x".repeat(LONGEST);
        for good in ["a", "A.b_c~d:e+f/g=h-1", &longest] {
            assert_eq!(ids.of(&with("x-request-id", &[good]), Timestamp(0)), good);
        }
    }

    #[test]
    fn anything_else_is_replaced_by_a_uuid() {
        let ids = RequestIds::new();
        let too_long = "x".repeat(LONGEST + 1);
        for bad in [
            &[][..],
            &[""],
            &["a b"],
            &["a\"b"],
            &["é"],
            &[&too_long],
            &["a", "b"],
        ] {
            let id = ids.of(&with("x-request-id", bad), Timestamp(1_700_000_000_000_000));
            let uuid = Uuid::parse_str(id.to_str().unwrap()).unwrap();
            assert_eq!(uuid.get_version_num(), 7);
            assert_eq!(uuid.get_timestamp().unwrap().to_unix().0, 1_700_000_000);
        }
    }

    #[test]
    fn ids_differ() {
        let ids = RequestIds::new();
        let made: HashSet<_> = (0..1000).map(|_| ids.make(Timestamp(0))).collect();
        assert_eq!(made.len(), 1000);
    }

    #[test]
    fn a_trace_is_taken_if_it_is_one() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let parent = trace_parent(&with(
            "traceparent",
            &[&format!("00-{id}-00f067aa0ba902b7-01")],
        ));
        assert_eq!(trace_id(parent.as_ref().unwrap()), Some(id));
        let twice = [parent.as_ref().unwrap().to_str().unwrap(); 2];
        assert_eq!(trace_parent(&with("traceparent", &twice)), None);
        for bad in [
            "",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(trace_parent(&with("traceparent", &[bad])), None, "{bad}");
        }
    }
}
