//! A relay between gateways and the token endpoint: real sockets, and a fate for every request. It keeps the books of
//! what it did, so that a test knows the truth. What the fates are is in `fate`, who keeps count in `books`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::books::{Account, Books};
use super::fate::{Ending, Fate, Wait};
use crate::stand::{SOON, until};

/// Between two bytes of an answer that drips.
const DRIP: Duration = Duration::from_millis(100);
const PAGE: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 15\r\n\r\n<!doctype html>";
const UNAVAILABLE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";

/// Listens until it is dropped.
pub(super) struct Relay {
    address: SocketAddr,
    post: Arc<Post>,
    _doors: JoinSet<()>,
}

struct Post {
    pleo: OnceLock<SocketAddr>,
    books: Mutex<Books>,
    /// Requests pass.
    gate: watch::Sender<bool>,
    /// Answers that were held back may go.
    released: watch::Sender<bool>,
}

impl Relay {
    pub(super) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let post = Arc::new(Post {
            pleo: OnceLock::new(),
            books: Mutex::default(),
            gate: watch::Sender::new(true),
            released: watch::Sender::new(false),
        });
        let mut doors = JoinSet::new();
        doors.spawn(accept(listener, post.clone()));
        Self {
            address,
            post,
            _doors: doors,
        }
    }

    pub(super) fn token_url(&self) -> String {
        format!("http://{}/oauth/token", self.address)
    }

    pub(super) fn lead_to(&self, pleo: SocketAddr) {
        self.post.pleo.set(pleo).unwrap();
    }

    /// The books, for a moment: never kept over an await.
    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        self.post.books()
    }

    pub(super) fn account(&self, authorisation: u64) -> Account {
        self.books().account(authorisation)
    }

    /// Requests that come from now on wait at the gate, as if the network stood still.
    pub(super) fn close_gate(&self) {
        self.post.gate.send_replace(false);
    }

    pub(super) async fn open_gate(&self) {
        until("those who hung up at the gate are gone", SOON, async || {
            (self.books().at_the_gate() == 0).then_some(())
        })
        .await;
        self.post.gate.send_replace(true);
    }

    /// Answers that are held back go, now and from now on.
    pub(super) fn release(&self) {
        self.post.released.send_replace(true);
    }
}

async fn accept(listener: TcpListener, post: Arc<Post>) {
    let mut links = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let post = post.clone();
        links.spawn(async move { post.carry(stream).await });
        while links.try_join_next().is_some() {}
    }
}

impl Post {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One request, there and back. `None` where somebody went away.
    async fn carry(&self, mut stream: TcpStream) -> Option<()> {
        let request = read_request(&mut stream).await?;
        let (authorisation, fate) = self.books().arrive(&request);
        if !self.pass_gate(&mut stream).await {
            return None;
        }
        let mut answer = PAGE.to_vec();
        if fate.reaches {
            self.books().forward(authorisation);
            answer = ask(*self.pleo.get()?, &request).await?;
            self.books().answered(authorisation, &answer, fate);
        }
        match fate.wait {
            Wait::No => {}
            Wait::For(span) => tokio::time::sleep(span).await,
            Wait::UntilReleased => {
                self.released.subscribe().wait_for(|go| *go).await.ok()?;
            }
        }
        deliver(stream, &answer, fate.ending).await
    }

    /// False if the gateway hung up meanwhile: its request is not carried on.
    async fn pass_gate(&self, stream: &mut TcpStream) -> bool {
        let mut gate = self.gate.subscribe();
        if *gate.borrow_and_update() {
            return true;
        }
        self.books().stop_at_the_gate(1);
        let passed = tokio::select! {
            biased;
            _ = stream.read_u8() => false,
            opened = gate.wait_for(|open| *open) => opened.is_ok(),
        };
        self.books().stop_at_the_gate(-1);
        passed
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    while !is_whole(&request) {
        (stream.read_buf(&mut request).await.ok()? > 0).then_some(())?;
    }
    Some(request)
}

fn is_whole(message: &[u8]) -> bool {
    let text = String::from_utf8_lossy(message).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    length.is_none_or(|length| body.len() >= length.trim().parse().unwrap())
}

/// The whole answer: requests say `Connection: close`.
async fn ask(pleo: SocketAddr, request: &[u8]) -> Option<Vec<u8>> {
    let mut link = TcpStream::connect(pleo).await.ok()?;
    link.write_all(request).await.ok()?;
    let mut answer = Vec::new();
    link.read_to_end(&mut answer).await.ok()?;
    Some(answer)
}

async fn deliver(mut stream: TcpStream, answer: &[u8], ending: Ending) -> Option<()> {
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    match ending {
        Ending::Whole => stream.write_all(answer).await.ok()?,
        Ending::Closed => {}
        Ending::Reset => stream.set_zero_linger().ok()?,
        Ending::HeadCut => stream.write_all(&answer[..head / 2]).await.ok()?,
        Ending::BodyCut => {
            let half = head + (answer.len() - head) / 2;
            stream.write_all(&answer[..half]).await.ok()?;
        }
        Ending::Dripped => {
            for byte in answer {
                stream.write_u8(*byte).await.ok()?;
                tokio::time::sleep(DRIP).await;
            }
        }
        // Until the gateway has had enough.
        Ending::Silent => drop(stream.read_u8().await),
        Ending::Unavailable => stream.write_all(UNAVAILABLE).await.ok()?,
        Ending::TooMany(wait) => {
            let refusal = format!(
                "HTTP/1.1 429 Too Many Requests\r\nretry-after: {wait}\r\ncontent-length: 0\r\n\r\n"
            );
            stream.write_all(refusal.as_bytes()).await.ok()?;
        }
        Ending::Garbage => stream.write_all(PAGE).await.ok()?,
    }
    Some(())
}

/// A request's refresh token.
pub(super) fn presented(request: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(request);
    let (_, body) = text.split_once("\r\n\r\n")?;
    let mut fields = url::form_urlencoded::parse(body.as_bytes());
    let (_, token) = fields.find(|(name, _)| name == "refresh_token")?;
    Some(token.into_owned())
}

/// The refresh token that an answer brings.
pub(super) fn brought(answer: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let body: serde_json::Value = serde_json::from_str(body).ok()?;
    let token = body["refresh_token"].as_str()?;
    head.starts_with("HTTP/1.1 200").then(|| token.to_owned())
}

/// What requests meet that no order names.
pub(super) struct Mix {
    pub(super) dice: crate::stand::dice::Dice,
    /// Of a thousand requests, how many meet one of `fates`.
    pub(super) per_mille: u64,
    pub(super) fates: Vec<Fate>,
}

impl Mix {
    pub(super) fn draw(&mut self) -> Fate {
        if self.dice.below(1_000) >= self.per_mille {
            return Fate::FINE;
        }
        let place = self.dice.below(self.fates.len() as u64);
        self.fates[usize::try_from(place).unwrap()]
    }
}
