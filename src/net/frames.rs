//! Incoming HTTP/2 frames, inspected on their way to h2: lengths and settings that h2 would accept, or would refuse with
//! another error than RFC 9113 asks for, and peers that do little but reset streams. Not here: everything else about a
//! frame, which is h2's.

use h2::Reason;

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(super) const HEAD: usize = 9;
const SETTING: usize = 6;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
pub(super) const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const INITIAL_WINDOW_SIZE: u16 = 4;
const LARGEST_WINDOW: u32 = (1 << 31) - 1;

/// A peer's credit for resetting streams (CVE-2023-44487): a reset costs two, a new stream earns one.
const CREDIT: u32 = 100;

/// What was seen of a link so far.
#[derive(Debug)]
pub(super) struct Frames {
    place: Place,
    last_stream: u32,
    /// The stream that the peer ended last.
    ended: u32,
    /// In fields that go on in another frame.
    in_block: bool,
    /// In a frame that carries fields.
    in_fields: bool,
    credit: u32,
}

/// Where in a frame the link is.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// In the connection preface; this much is to come.
    Preface(usize),
    Head {
        bytes: [u8; HEAD],
        have: usize,
    },
    Setting {
        bytes: [u8; SETTING],
        have: usize,
        left: usize,
    },
    /// In a payload that is not looked at; this much is to come.
    Payload(usize),
}

const NEXT: Place = Place::Head {
    bytes: [0; HEAD],
    have: 0,
};

/// A frame that ends the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// How many of the bytes come before it.
    pub(super) at: usize,
    pub(super) reason: Reason,
}

impl Frames {
    /// For a link of which nothing was read yet.
    pub(super) fn new() -> Self {
        Self {
            place: Place::Preface(PREFACE.len()),
            last_stream: 0,
            ended: 0,
            in_block: false,
            in_fields: false,
            credit: CREDIT,
        }
    }

    /// Looks at what was read next. Nothing that follows a fault means anything.
    pub(super) fn look(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let (mut rest, mut at) = (bytes, 0);
        while !rest.is_empty() {
            let place = bytes.len() - rest.len();
            if matches!(self.place, Place::Head { have: 0, .. }) {
                at = place;
            }
            self.step(&mut rest)
                .map_err(|reason| Fault { at, reason })?;
        }
        Ok(())
    }

    /// True while the peer owes the rest of fields it has begun: until then nothing else can come on the link.
    pub(super) fn are_owed_fields(&self) -> bool {
        self.in_block || (self.in_fields && matches!(self.place, Place::Payload(_)))
    }

    /// The GOAWAY for a link that ends for this reason.
    pub(super) fn goaway(&self, reason: Reason) -> [u8; HEAD + 8] {
        let mut frame = [0; HEAD + 8];
        frame[2] = 8;
        frame[3] = GOAWAY;
        frame[9..13].copy_from_slice(&self.last_stream.to_be_bytes());
        frame[13..].copy_from_slice(&u32::from(reason).to_be_bytes());
        frame
    }

    fn step(&mut self, rest: &mut &[u8]) -> Result<(), Reason> {
        match &mut self.place {
            Place::Preface(left) | Place::Payload(left) => {
                let size = rest.len().min(*left);
                *left -= size;
                *rest = &rest[size..];
                if *left == 0 {
                    self.place = NEXT;
                }
            }
            Place::Head { bytes, have } => {
                if let Some(head) = filled(bytes, have, rest) {
                    self.place = self.begin(head)?;
                }
            }
            Place::Setting { bytes, have, left } => {
                if let Some(setting) = filled(bytes, have, rest) {
                    check_setting(setting)?;
                    self.place = settings(*left - SETTING);
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, head: [u8; HEAD]) -> Result<Place, Reason> {
        let [l2, l1, l0, kind, flags, s3, s2, s1, s0] = head;
        let length = usize::from(l2) << 16 | usize::from(l1) << 8 | usize::from(l0);
        let stream = u32::from_be_bytes([s3 & 0x7f, s2, s1, s0]);
        let fits = match kind {
            PRIORITY => length == 5,
            RST_STREAM | WINDOW_UPDATE => length == 4,
            SETTINGS if flags & ACK != 0 => length == 0,
            SETTINGS => length % SETTING == 0,
            PING => length == 8,
            GOAWAY => length >= 8,
            _ => true,
        };
        if !fits {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        if self.in_block && kind != CONTINUATION {
            return Err(Reason::PROTOCOL_ERROR);
        }
        self.in_fields = matches!(kind, HEADERS | CONTINUATION);
        self.in_block = self.in_fields && flags & END_HEADERS == 0;
        let is_message = matches!(kind, DATA | HEADERS);
        if is_message && stream == self.ended && stream != 0 {
            return Err(Reason::STREAM_CLOSED);
        }
        if kind == RST_STREAM || (is_message && flags & END_STREAM != 0) {
            self.ended = stream;
        }
        match kind {
            HEADERS if stream > self.last_stream => {
                self.last_stream = stream;
                self.credit = (self.credit + 1).min(CREDIT);
            }
            RST_STREAM => {
                let left = self.credit.checked_sub(2);
                self.credit = left.ok_or(Reason::ENHANCE_YOUR_CALM)?;
            }
            // Only servers promise.
            PUSH_PROMISE => return Err(Reason::PROTOCOL_ERROR),
            SETTINGS => return Ok(settings(length)),
            _ => {}
        }
        Ok(payload(length))
    }
}

fn payload(length: usize) -> Place {
    if length == 0 {
        NEXT
    } else {
        Place::Payload(length)
    }
}

fn settings(left: usize) -> Place {
    if left == 0 {
        return NEXT;
    }
    Place::Setting {
        bytes: [0; SETTING],
        have: 0,
        left,
    }
}

fn check_setting([i1, i0, v3, v2, v1, v0]: [u8; SETTING]) -> Result<(), Reason> {
    let is_window = u16::from_be_bytes([i1, i0]) == INITIAL_WINDOW_SIZE;
    if is_window && u32::from_be_bytes([v3, v2, v1, v0]) > LARGEST_WINDOW {
        return Err(Reason::FLOW_CONTROL_ERROR);
    }
    Ok(())
}

/// Moves bytes over until there are `N`.
pub(super) fn filled<const N: usize>(
    bytes: &mut [u8; N],
    have: &mut usize,
    rest: &mut &[u8],
) -> Option<[u8; N]> {
    let size = rest.len().min(N - *have);
    bytes[*have..*have + size].copy_from_slice(&rest[..size]);
    *have += size;
    *rest = &rest[size..];
    (*have == N).then_some(*bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::net) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        frame
    }

    fn link() -> Frames {
        let mut frames = Frames::new();
        assert_eq!(frames.look(PREFACE), Ok(()));
        frames
    }

    /// Looks at `bytes` in pieces of every size; the reason for which the link ends.
    fn reason(bytes: &[u8]) -> Option<Reason> {
        let ends = (1..=bytes.len()).map(|size| {
            let mut frames = link();
            let mut looked = bytes.chunks(size).map(|piece| frames.look(piece));
            looked.find_map(Result::err).map(|fault| fault.reason)
        });
        let mut ends: Vec<_> = ends.collect();
        ends.dedup();
        assert_eq!(ends.len(), 1, "the size of the pieces decided: {ends:?}");
        ends[0]
    }

    #[test]
    fn frames_have_the_length_of_their_kind() {
        for (kind, flags, length) in [
            (PRIORITY, 0, 4),
            (RST_STREAM, 0, 3),
            (SETTINGS, 0, 7),
            (SETTINGS, ACK, 6),
            (PING, 0, 6),
            (GOAWAY, 0, 7),
            (WINDOW_UPDATE, 0, 3),
        ] {
            let wrong = frame(kind, flags, 1, &vec![0; length]);
            assert_eq!(reason(&wrong), Some(Reason::FRAME_SIZE_ERROR), "{kind}");
        }
        let fine = [
            frame(HEADERS, 4, 1, &[0x82]),
            frame(DATA, 0, 1, b"data"),
            frame(PRIORITY, 0, 1, &[0; 5]),
            frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]),
            frame(SETTINGS, ACK, 0, &[]),
            frame(PING, 0, 0, &[0; 8]),
            frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
            frame(77, 0, 0, b"of the future"),
            frame(RST_STREAM, 0, 1, &[0; 4]),
        ];
        assert_eq!(reason(&fine.concat()), None);
    }

    #[test]
    fn a_window_over_the_largest_and_a_promise_end_the_link() {
        let window = frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 1, 0, 4, 0x80, 0, 0, 0]);
        assert_eq!(reason(&window), Some(Reason::FLOW_CONTROL_ERROR));
        let promise = frame(PUSH_PROMISE, 4, 1, &[0, 0, 0, 2]);
        assert_eq!(reason(&promise), Some(Reason::PROTOCOL_ERROR));
    }

    #[test]
    fn fields_that_go_on_are_followed_by_themselves() {
        let head = frame(HEADERS, END_STREAM, 1, &[0x82]);
        let rest = frame(CONTINUATION, END_HEADERS, 1, &[0x84]);
        let ping = frame(PING, 0, 0, &[0; 8]);
        assert_eq!(reason(&[&head[..], &rest, &ping].concat()), None);
        for other in [&ping, &head, &frame(DATA, 0, 1, b"x")] {
            let broken = [&head, &other[..], &rest].concat();
            assert_eq!(reason(&broken), Some(Reason::PROTOCOL_ERROR));
        }
    }

    #[test]
    fn fields_are_owed_from_their_first_frame_to_their_last_byte() {
        let mut frames = link();
        let head = frame(HEADERS, 0, 1, &[0x82, 0x84]);
        let rest = frame(CONTINUATION, END_HEADERS, 1, &[0x86]);
        let all = [&head[..], &rest].concat();
        for (place, byte) in all.iter().enumerate() {
            let is_owed = (HEAD..all.len()).contains(&place);
            assert_eq!(frames.are_owed_fields(), is_owed, "{place}");
            assert_eq!(frames.look(&[*byte]), Ok(()));
        }
        assert!(!frames.are_owed_fields());
        assert_eq!(frames.look(&frame(DATA, 0, 1, b"data")[..11]), Ok(()));
        assert!(!frames.are_owed_fields());
    }

    #[test]
    fn nothing_follows_the_end_of_a_stream() {
        let head = frame(HEADERS, 4, 1, &[0x82]);
        let last = frame(DATA, END_STREAM, 1, b"x");
        let reset = frame(RST_STREAM, 0, 1, &[0; 4]);
        for end in [&last, &reset] {
            for more in [&head, &last] {
                let all = [&head[..], end, more].concat();
                assert_eq!(reason(&all), Some(Reason::STREAM_CLOSED));
            }
        }
        let trailers = frame(HEADERS, 5, 1, &[0x82]);
        assert_eq!(reason(&[head, trailers].concat()), None);
    }

    #[test]
    fn what_comes_before_a_fault_is_told_from_it() {
        let fine = frame(PING, 0, 0, &[0; 8]);
        let both = [fine.clone(), frame(PING, 0, 0, b"short")].concat();
        let fault = link().look(&both).unwrap_err();
        assert_eq!(fault.at, fine.len());
    }

    #[test]
    fn who_resets_more_than_it_leaves_to_their_end_is_told_to_calm_down() {
        let (open, reset) = (HEADERS, frame(RST_STREAM, 0, 1, &[0; 4]));
        let exchange = |frames: &mut Frames, stream: u32, resets: bool| {
            frames.look(&frame(open, 5, stream, &[0x82]))?;
            if resets { frames.look(&reset) } else { Ok(()) }
        };
        let mut frames = link();
        let resets = (1..)
            .step_by(2)
            .map(|stream| exchange(&mut frames, stream, true));
        let borne = resets.take_while(Result::is_ok).count();
        assert_eq!(borne, 99);
        let goaway = frames.goaway(Reason::ENHANCE_YOUR_CALM);
        assert_eq!(goaway[..9], [0, 0, 8, GOAWAY, 0, 0, 0, 0, 0]);
        assert_eq!(goaway[9..], [0, 0, 0, 199, 0, 0, 0, 11]);
        // One stream in two may be reset for ever.
        let mut frames = link();
        for stream in 1..=127 {
            let fine = exchange(&mut frames, 2 * stream - 1, stream % 2 == 0);
            assert_eq!(fine, Ok(()));
        }
    }
}
