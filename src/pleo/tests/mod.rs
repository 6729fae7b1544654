//! The room's tests over a scripted Pleo: a plain socket that says exactly the bytes it was given. Not here: what is tested
//! beside its own code.

mod introspection;
mod refreshing;
mod requests;
mod timing;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::Pleo;
use super::endpoints::PleoOptions;
use super::endpoints::tests::options;
use crate::clock::{SharedClock, SystemClock};
use crate::net::dial::Dialer;
use crate::net::tls::{Alpn, Roots, client_config};
use crate::secret::Secret;

const LIMIT: Duration = Duration::from_secs(10);
const TOKEN: &str = "refresh-canary";

/// What the other side does with the one link it accepts.
enum Script {
    /// Reads the request, says this, closes.
    Say(Vec<u8>),
    /// Reads the request, waits for a word, says this, and leaves the link open until the client goes; it tells of its
    /// answer as it tells of the request.
    SayWhenTold(Vec<u8>, mpsc::Receiver<()>),
    /// Closes before anything was said, with bytes unread: a reset.
    Reset,
}

struct Server {
    base: String,
    seen: mpsc::Receiver<String>,
}

impl Server {
    fn run(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (tell, seen) = mpsc::channel();
        std::thread::spawn(move || play(&listener, &script, &tell));
        Self { base, seen }
    }

    /// The request as it came.
    fn seen(&self) -> String {
        self.seen.recv_timeout(LIMIT).expect("a request came")
    }

    /// Until a request has come, without holding up others.
    async fn asked(&self) {
        while self.seen.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
    }

    /// The link has ended, and this is all that ever came over it.
    fn saw_nothing(&self) -> bool {
        self.seen.recv_timeout(LIMIT) == Ok(String::new())
    }

    fn pleo(&self) -> Pleo {
        pleo_with(options(&self.base), Arc::new(SystemClock))
    }
}

fn play(listener: &TcpListener, script: &Script, tell: &mpsc::Sender<String>) {
    let (mut link, _) = listener.accept().unwrap();
    if matches!(script, Script::Reset) {
        let _ = link.read(&mut [0]);
        return;
    }
    let _ = tell.send(request(&mut link));
    match script {
        Script::Say(answer) => drop(link.write_all(answer)),
        Script::SayWhenTold(answer, word) => {
            let _ = word.recv();
            let _ = link.write_all(answer);
            let _ = tell.send(String::new());
            let _ = link.read(&mut [0]);
        }
        Script::Reset => {}
    }
}

/// Head and body of one request; empty if the link ended instead.
fn request(link: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut piece = [0; 4096];
    while !is_whole(&text) {
        match link.read(&mut piece) {
            Ok(0) | Err(_) => return text,
            Ok(length) => text.push_str(std::str::from_utf8(&piece[..length]).unwrap()),
        }
    }
    text
}

fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| {
        line.to_lowercase()
            .strip_prefix("content-length: ")?
            .parse()
            .ok()
    });
    body.len() >= length.unwrap_or(0)
}

fn pleo_with(options: PleoOptions, clock: SharedClock) -> Pleo {
    let tls = |alpn| client_config(&Roots::default(), alpn).unwrap();
    let dialer = Dialer::new(
        tls(Alpn::Http1),
        tls(Alpn::Http2OrHttp1),
        true,
        Duration::from_secs(5),
    );
    Pleo::new(options, Arc::new(dialer), clock).unwrap()
}

fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}\r\n{body}").into_bytes()
}

fn json(status: &str, body: &str) -> Script {
    Script::Say(answer(status, "Content-Type: application/json\r\n", body))
}

fn token() -> Secret {
    Secret::new(TOKEN)
}
