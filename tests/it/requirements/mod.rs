//! The numbered requirements of what goes over the wire, as tables: bytes in, what is answered, what Pleo gets to see. Here
//! is the scene they share: a gateway, an API that keeps what arrives whole, and a request that follows on each link, to
//! show whether both sides still agree about where messages end.

mod answers;
mod callers;
mod credentials;
mod desk;
mod floods;
mod framing;
mod http2;
mod list;
mod multiplexed;
mod routes;
mod semantics;
mod targets;

use std::fmt::Write as _;

use crate::harness::client::{Answer, answer};
use crate::harness::gateway::{Gateway, KEY, Setup};
use crate::harness::link::Link;
use crate::harness::upstream::{Exchange, FINE, Seen, Upstream};

/// What becomes of a request and of the link it came on.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// Pleo saw it whole, with this body, and the next one too.
    Served(&'static str),
    /// Pleo saw it, and the link was closed after the answer.
    Last(&'static str),
    /// Pleo saw it, and we answered in its place; the next one was served.
    Replaced(u16),
    /// Refused; the next one was served.
    Declined(u16),
    /// Refused, and the link closed: nothing whole reached Pleo.
    Refused(u16),
}

/// Answers what arrives whole.
fn served(exchange: &mut Exchange) {
    if exchange.whole().is_some() {
        exchange.reply(FINE);
    } else {
        exchange.close();
    }
}

/// A running gateway and its Pleo.
struct Scene {
    gateway: Gateway,
    upstream: Upstream,
}

/// What came of some bytes.
#[derive(Debug)]
struct Outcome {
    answers: Vec<Answer>,
    seen: Vec<Seen>,
}

/// The fields that every request needs.
fn fields() -> String {
    format!("host: x\r\npleo-gateway-key: {KEY}\r\n")
}

/// A request with these further fields (each with its line's end) and this body.
fn request(line: &str, more: &str, body: &str) -> String {
    format!("{line} HTTP/1.1\r\n{}{more}\r\n{body}", fields())
}

/// So many fields, each with its line's end.
fn numbered(count: usize) -> String {
    (0..count).fold(String::new(), |mut all, number| {
        let _ = write!(all, "x{number}: a\r\n");
        all
    })
}

/// What the routes of a scene are: any method at any path below `/any`.
const ANY: &str = "[[routes]]\nname = \"any\"\nmethods = [\"GET\", \"HEAD\", \"POST\", \"PUT\", \"PATCH\", \"DELETE\", \"OPTIONS\"]\npath = \"/any/{*rest}\"\nscopes = []\n";

impl Scene {
    /// Pleo answers every request with a small body.
    fn new() -> Self {
        Self::limited("")
    }

    fn limited(limits: &str) -> Self {
        Self::with(limits, served)
    }

    fn with(limits: &str, act: impl Fn(&mut Exchange) + Send + Sync + 'static) -> Self {
        Self::made(|setup| limits.clone_into(&mut setup.limits), act)
    }

    fn made(
        adjust: impl FnOnce(&mut Setup),
        act: impl Fn(&mut Exchange) + Send + Sync + 'static,
    ) -> Self {
        let upstream = Upstream::start(act);
        let mut setup = Setup::at(&upstream.origin());
        ANY.clone_into(&mut setup.routes);
        adjust(&mut setup);
        Self {
            gateway: setup.start_with_acme(),
            upstream,
        }
    }

    /// Sends bytes as they are (each letter below U+0100 is one byte) and, on the same link, one more request; reads until
    /// the gateway closes.
    fn send(&self, bytes: &str) -> Outcome {
        let before = self.upstream.seen().len();
        let mut link = Link::to(self.gateway.base());
        let after = request("GET /any/after", "connection: close\r\n", "");
        let all: Vec<u8> = (bytes.chars().chain(after.chars()))
            .map(|letter| u8::try_from(u32::from(letter)).unwrap())
            .collect();
        // Who is refused may find the link closed before all is written.
        let _ = link.send(all);
        let mut answers = Vec::new();
        while let Ok(answer) = answer(&mut link, "") {
            answers.push(answer);
        }
        let seen = self.upstream.seen().split_off(before);
        for seen in &seen {
            self.assert_clean(seen);
        }
        Outcome { answers, seen }
    }

    /// What holds for every request that reaches Pleo, whatever the caller sent (requirements 6, 14, 23, 34 to 36, 66, 67).
    #[track_caller]
    fn assert_clean(&self, seen: &Seen) {
        let head = &seen.head;
        let raw = &head.raw;
        for line in raw.split_inclusive('\n') {
            let inside = line.strip_suffix("\r\n");
            let inside = inside.unwrap_or_else(|| panic!("a line without CRLF: {raw:?}"));
            let is_plain = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
            assert!(inside.bytes().all(is_plain), "{raw:?}");
            assert!(!inside.starts_with([' ', '\t']), "a folded line: {raw:?}");
        }
        let lengths = head.all("content-length").len() + head.all("transfer-encoding").len();
        assert!(lengths <= 1, "{raw}");
        assert!(
            head.all("transfer-encoding")
                .iter()
                .all(|coding| *coding == "chunked"),
            "{raw}"
        );
        assert_eq!(head.all("authorization"), ["Bearer access-canary"], "{raw}");
        assert_eq!(
            head.all("host"),
            [&self.upstream.origin()["http://".len()..]]
        );
        assert!(
            head.all("via")
                .last()
                .is_some_and(|via| via.ends_with(" pleo-gateway")),
            "{raw}"
        );
        assert!(!raw.contains(KEY), "{raw}");
        let named = head.field("te").map(|_| "te");
        assert_eq!(head.field("connection"), named, "{raw}");
        for gone in ["keep-alive", "proxy-connection", "upgrade", "expect"] {
            assert_eq!(head.field(gone), None, "{raw}");
        }
    }

    /// Sends `bytes` and holds what came of it against `fate`.
    #[track_caller]
    fn check(&self, bytes: &str, fate: Fate) -> Outcome {
        let outcome = self.send(bytes);
        let statuses: Vec<u16> = outcome.answers.iter().map(|answer| answer.status).collect();
        let bodies: Vec<String> = (outcome.seen.iter())
            .map(|seen| String::from_utf8_lossy(&seen.body).into_owned())
            .collect();
        let expected = match fate {
            Fate::Served(body) => (vec![200, 200], vec![body, ""]),
            Fate::Last(body) => (vec![200], vec![body]),
            Fate::Replaced(status) => (vec![status, 200], vec!["", ""]),
            Fate::Declined(status) => (vec![status, 200], vec![""]),
            Fate::Refused(status) => (vec![status], vec![]),
        };
        let expected = (
            expected.0,
            expected.1.into_iter().map(str::to_owned).collect(),
        );
        assert_eq!((statuses, bodies), expected, "{}", excerpt(bytes));
        let follows = !matches!(fate, Fate::Last(_) | Fate::Refused(_));
        let last = outcome.seen.last().map(|seen| seen.head.word(1));
        assert_eq!(last == Some("/any/after"), follows, "{}", excerpt(bytes));
        outcome
    }
}

impl Outcome {
    /// The head of the first request that Pleo saw.
    #[track_caller]
    fn head(&self) -> &crate::harness::link::Head {
        &self.seen[0].head
    }
}

fn excerpt(bytes: &str) -> String {
    bytes.escape_default().take(400).collect()
}
