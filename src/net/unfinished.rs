//! Messages that the peer of an HTTP/2 link has begun and not ended, in either direction. hyper takes a reset with
//! `NO_ERROR` for the end of a body, and accepts any number of interim answers. Here such a reset gets another reason on its
//! way to h2, so that a part is never taken for the whole, and endless fields come to an end. Not here: frames that are
//! wrong in themselves (`net::frames`).

use std::collections::BTreeMap;

use super::frames::{CONTINUATION, DATA, END_STREAM, HEAD, HEADERS, RST_STREAM, filled};

/// Bytes of fields in one message, interim answers among them; several of the largest heads.
const FIELDS: usize = 512 * 1024;
/// How many are followed: more than are under way at once. What we gave up ourselves may never end.
const FOLLOWED: usize = 4096;
/// RFC 9113 section 7: the stream is no longer needed.
const CANCEL: u8 = 8;

/// What was seen of a link so far.
#[derive(Debug)]
pub(super) struct Unfinished {
    place: Place,
    /// By stream: how many bytes of fields it had.
    streams: BTreeMap<u32, usize>,
}

/// Where in a frame the link is.
#[derive(Debug)]
enum Place {
    Head {
        bytes: [u8; HEAD],
        have: usize,
    },
    /// In the reason of a reset of a stream that had not ended.
    Reason {
        bytes: [u8; 4],
        have: usize,
    },
    /// In what is not looked at; this much is to come.
    Payload(usize),
}

const NEXT: Place = Place::Head {
    bytes: [0; HEAD],
    have: 0,
};

/// A message that is all fields.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("more than {FIELDS} bytes of fields came for one message")]
pub(super) struct EndlessFields;

impl Unfinished {
    /// For a link whose peer first sends this many bytes that are no frame.
    pub(super) fn after(preface: usize) -> Self {
        Self {
            place: payload(preface),
            streams: BTreeMap::new(),
        }
    }

    /// Looks at what was read next, and changes the reasons of resets that would pass for an end.
    pub(super) fn look(&mut self, mut rest: &mut [u8]) -> Result<(), EndlessFields> {
        while !rest.is_empty() {
            let before = rest.len();
            let mut unread = &*rest;
            let mut is_end = false;
            match &mut self.place {
                Place::Payload(left) => {
                    let size = before.min(*left);
                    *left -= size;
                    unread = &unread[size..];
                    if *left == 0 {
                        self.place = NEXT;
                    }
                }
                Place::Head { bytes, have } => {
                    if let Some(head) = filled(bytes, have, &mut unread) {
                        self.place = self.begin(head)?;
                    }
                }
                Place::Reason { bytes, have } => {
                    if let Some(reason) = filled(bytes, have, &mut unread) {
                        is_end = reason == [0; 4];
                        self.place = NEXT;
                    }
                }
            }
            let (read, after) = rest.split_at_mut(before - unread.len());
            if let (true, Some(last)) = (is_end, read.last_mut()) {
                *last = CANCEL;
            }
            rest = after;
        }
        Ok(())
    }

    fn begin(&mut self, head: [u8; HEAD]) -> Result<Place, EndlessFields> {
        let [l2, l1, l0, kind, flags, s3, s2, s1, s0] = head;
        let length = usize::from(l2) << 16 | usize::from(l1) << 8 | usize::from(l0);
        let stream = u32::from_be_bytes([s3 & 0x7f, s2, s1, s0]);
        let ends = flags & END_STREAM != 0;
        match kind {
            DATA | HEADERS if ends => {
                self.streams.remove(&stream);
            }
            HEADERS => self.add(stream, length)?,
            CONTINUATION if self.streams.contains_key(&stream) => self.add(stream, length)?,
            RST_STREAM if length == 4 && self.streams.remove(&stream).is_some() => {
                return Ok(Place::Reason {
                    bytes: [0; 4],
                    have: 0,
                });
            }
            _ => {}
        }
        Ok(payload(length))
    }

    fn add(&mut self, stream: u32, length: usize) -> Result<(), EndlessFields> {
        let fields = self.streams.entry(stream).or_default();
        *fields += HEAD + length;
        if *fields > FIELDS {
            return Err(EndlessFields);
        }
        if self.streams.len() > FOLLOWED {
            self.streams.pop_first();
        }
        Ok(())
    }
}

fn payload(length: usize) -> Place {
    if length == 0 {
        NEXT
    } else {
        Place::Payload(length)
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::tests::frame;
    use super::*;

    /// `bytes` as h2 gets to see them, in pieces of this size.
    fn seen(bytes: &[u8], size: usize) -> Vec<u8> {
        let mut link = Unfinished::after(0);
        let mut seen = bytes.to_vec();
        for piece in seen.chunks_mut(size) {
            assert_eq!(link.look(piece), Ok(()));
        }
        seen
    }

    /// What a reset for this reason has become, after these frames on its stream.
    #[track_caller]
    fn becomes(before: &[Vec<u8>], reason: [u8; 4]) -> [u8; 4] {
        let mut all = before.concat();
        let untouched = [all.clone(), frame(RST_STREAM, 0, 3, b"")].concat();
        all.extend(frame(RST_STREAM, 0, 3, &reason));
        all.extend(frame(DATA, 0, 1, &[0; 4]));
        let whole = seen(&all, all.len());
        for size in 1..all.len() {
            assert_eq!(seen(&all, size), whole, "the size of the pieces decided");
        }
        let place = untouched.len();
        assert_eq!(whole[..place - 9], untouched[..place - 9]);
        assert_eq!(whole[place + 4..], all[place + 4..]);
        whole[place..place + 4].try_into().unwrap()
    }

    #[test]
    fn a_reset_before_the_end_is_never_an_end() {
        let head = frame(HEADERS, 4, 3, &[0x88]);
        let some = frame(DATA, 0, 3, &[0; 300]);
        for before in [vec![head.clone()], vec![head.clone(), some.clone()]] {
            assert_eq!(becomes(&before, [0; 4]), [0, 0, 0, CANCEL]);
            assert_eq!(becomes(&before, [0, 0, 0, 7]), [0, 0, 0, 7]);
            assert_eq!(becomes(&before, [1, 0, 0, 0]), [1, 0, 0, 0]);
        }
    }

    #[test]
    fn a_reset_after_the_end_keeps_its_reason() {
        let head = frame(HEADERS, 4, 3, &[0x88]);
        let last = frame(DATA, END_STREAM, 3, b"x");
        let trailers = frame(HEADERS, 4 | END_STREAM, 3, &[0x88]);
        for before in [
            vec![],
            vec![trailers.clone()],
            vec![head.clone(), last],
            vec![head, trailers],
        ] {
            assert_eq!(becomes(&before, [0; 4]), [0; 4]);
        }
    }

    #[test]
    fn a_message_of_fields_alone_has_an_end() {
        let mut link = Unfinished::after(24);
        assert_eq!(link.look(&mut [0; 24]), Ok(()));
        let mut one = frame(HEADERS, 4, 5, &[0; 1000]);
        for stream in [5, 7] {
            one[8] = stream;
            for _ in 0..FIELDS / 1009 {
                assert_eq!(link.look(&mut one), Ok(()), "{stream}");
            }
        }
        assert_eq!(link.look(&mut one), Err(EndlessFields));
    }

    #[test]
    fn what_is_never_ended_is_forgotten() {
        let mut link = Unfinished::after(0);
        for stream in 0..10_000 {
            assert_eq!(link.look(&mut frame(HEADERS, 4, stream, b"")), Ok(()));
        }
        assert_eq!(link.streams.len(), FOLLOWED);
    }
}
