//! Stands in for Pleo: takes the gateway's requests apart strictly, checks each against what the gateway promises, and keeps
//! it. The answer names it, so that a caller can tell which request of its own became which.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::fields::is_forbidden;
use crate::message::{Head, Wire, is_token};
use crate::path;

/// The only access token there is.
pub(crate) const ACCESS: &str = "fuzz-access";

/// A request that arrived to its end.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) body: Vec<u8>,
}

pub(crate) struct Upstream {
    pub(crate) authority: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (kept, host) = (Arc::clone(&seen), authority.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (seen, host) = (Arc::clone(&kept), host.clone());
                thread::spawn(move || converse(stream, &host, &seen));
            }
        });
        Self { authority, seen }
    }

    /// What arrived since this was last asked.
    pub(crate) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn converse(stream: TcpStream, host: &str, seen: &Mutex<Vec<Seen>>) {
    stream.set_nodelay(true).unwrap();
    let mut wire = Wire::new(stream);
    while let Some(head) = wire.head() {
        let (method, target) = check(&head, host);
        let Some((body, trailers)) = wire.body(&head, false) else {
            return;
        };
        for (name, _) in trailers {
            let is_of_heads = is_forbidden(&name) || name.starts_with("content-");
            assert!(!is_of_heads, "the trailer {name}");
        }
        let head = method == "HEAD";
        let place = {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.push(Seen {
                method,
                target,
                body,
            });
            seen.len() - 1
        };
        let body = if head { "" } else { "ok" };
        let answer =
            format!("HTTP/1.1 200 OK\r\nx-seen: {place}\r\ncontent-length: 2\r\n\r\n{body}");
        if wire.stream().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// Whatever the caller sent, this is so.
fn check(head: &Head, host: &str) -> (String, String) {
    let words: Vec<&str> = head.start.split(' ').collect();
    let [method, target, "HTTP/1.1"] = words[..] else {
        panic!("no request line: {head:?}");
    };
    assert!(is_token(method), "{head:?}");
    assert!(!matches!(method, "CONNECT" | "TRACE"), "{head:?}");
    path::check(target.split('?').next().unwrap());
    assert!(
        target.bytes().all(|byte| byte.is_ascii_graphic()),
        "{head:?}"
    );
    assert!(!target.starts_with("/denied/"), "a denied route: {head:?}");

    assert_eq!(head.all("host"), [host], "{head:?}");
    assert_eq!(
        head.all("authorization"),
        [format!("Bearer {ACCESS}")],
        "{head:?}"
    );
    assert_eq!(head.all("x-request-id").len(), 1, "{head:?}");
    assert!(
        head.all("via")
            .last()
            .is_some_and(|via| via.ends_with(" pleo-gateway")),
        "{head:?}"
    );
    let te = head.all("te");
    assert!(te.is_empty() || te == ["trailers"], "{head:?}");
    let named = head.all("connection");
    assert_eq!(named, if te.is_empty() { vec![] } else { vec!["te"] });
    let ours = [
        "host",
        "authorization",
        "te",
        "connection",
        "content-length",
        "transfer-encoding",
    ];
    for (name, _) in &head.fields {
        assert!(
            ours.contains(&name.as_str()) || !is_forbidden(name),
            "{name} of {head:?}"
        );
    }
    (method.to_owned(), target.to_owned())
}
