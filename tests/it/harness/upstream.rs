//! An API of the test's own in Pleo's place: it keeps every request as it arrived and answers what the test wrote, byte for
//! byte.

use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::SOON;
use super::link::{Head, Link, Rest};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

/// A request whose head has arrived, and the link to answer on.
pub(crate) struct Exchange {
    pub(crate) head: Head,
    pub(crate) link: Link,
    rest: Rest,
    seen: Arc<Mutex<Vec<Seen>>>,
    is_first: bool,
    is_over: bool,
}

/// Listens until the test process ends.
pub(crate) struct Upstream {
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

type Act = dyn Fn(&mut Exchange) + Send + Sync;

impl Upstream {
    /// In clear. `act` is called for every request.
    pub(crate) fn start(act: impl Fn(&mut Exchange) + Send + Sync + 'static) -> Self {
        Self::serve(None, Arc::new(act))
    }

    /// Over TLS.
    pub(crate) fn secure(
        config: Arc<ServerConfig>,
        act: impl Fn(&mut Exchange) + Send + Sync + 'static,
    ) -> Self {
        Self::serve(Some(config), Arc::new(act))
    }

    /// Reads every request whole and gives this answer.
    pub(crate) fn answering(answer: impl Into<String>) -> Self {
        let answer = answer.into();
        Self::start(move |exchange| {
            exchange.body();
            exchange.reply(&answer);
        })
    }

    /// Answers 200 with a small JSON body.
    pub(crate) fn fine() -> Self {
        Self::answering(FINE)
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The only request so far.
    #[track_caller]
    pub(crate) fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "one request was to arrive: {seen:?}");
        seen[0].clone()
    }

    fn serve(tls: Option<Arc<ServerConfig>>, act: Arc<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (tls, act, seen) = (tls.clone(), Arc::clone(&act), Arc::clone(&kept));
                thread::spawn(move || converse(stream, tls, &act, &seen));
            }
        });
        Self { port, seen }
    }
}

/// What `fine` answers.
pub(crate) const FINE: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{\"ok\":true}";

impl Exchange {
    /// The next piece of the request's body; empty at its end.
    pub(crate) fn some(&mut self) -> Vec<u8> {
        self.link.some(&mut self.rest).unwrap_or_default()
    }

    /// Reads the request to its end and keeps it.
    pub(crate) fn body(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let more = self.some();
            if more.is_empty() {
                break;
            }
            body.extend(more);
        }
        self.keep(body.clone());
        body
    }

    /// Reads to the end; false if the request was cut off.
    pub(crate) fn is_whole(&mut self) -> bool {
        self.link.all(self.rest).is_ok()
    }

    /// Reads to the end and keeps the request; none, and nothing is kept, if it was cut off.
    pub(crate) fn whole(&mut self) -> Option<Vec<u8>> {
        let body = self.link.all(self.rest).ok()?;
        self.keep(body.clone());
        Some(body)
    }

    /// Keeps the request with so much of its body.
    pub(crate) fn keep(&mut self, body: Vec<u8>) {
        let head = self.head.clone();
        self.seen.lock().unwrap().push(Seen { head, body });
    }

    pub(crate) fn reply(&mut self, text: impl AsRef<[u8]>) {
        let _ = self.link.send(text);
    }

    /// True if nothing was asked on this link before.
    pub(crate) fn link_is_fresh(&self) -> bool {
        self.is_first
    }

    /// No more requests on this link: it is closed.
    pub(crate) fn close(&mut self) {
        self.is_over = true;
    }
}

fn converse(
    stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    act: &Arc<Act>,
    seen: &Arc<Mutex<Vec<Seen>>>,
) {
    stream.set_nodelay(true).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    let mut link = match tls {
        Some(config) => {
            let session = ServerConnection::new(config).unwrap();
            Link::over(StreamOwned::new(session, stream))
        }
        None => Link::over(stream),
    };
    let mut is_first = true;
    while let Ok(Some(head)) = link.head() {
        let rest = head.body().unwrap_or(Rest::Nothing);
        let mut exchange = Exchange {
            head,
            link,
            rest,
            seen: Arc::clone(seen),
            is_first,
            is_over: false,
        };
        act(&mut exchange);
        is_first = false;
        if exchange.is_over {
            return;
        }
        link = exchange.link;
    }
}
