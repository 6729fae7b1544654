//! An upstream HTTP/2 link: it carries many requests at once, up to the peer's limit.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::Poll;
use std::time::Duration;

use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::body::MessageBody;
use super::bounded::{Bounded, Heard};
use super::link::Link;
use super::local::Local;
use super::pool::Pool;
use super::sending::Sent;
use super::upstream_body::Carrier;

/// Windows for answers that callers have not taken yet: per stream, and per link. Bytes.
const STREAM_WINDOW: u32 = 1 << 20;
const LINK_WINDOW: u32 = 1 << 23;
/// An answer's head. Bytes.
const HEAD: u32 = 64 * 1024;
/// A peer that does not answer a ping within the time below is gone.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// Streams we reset, for which late frames of the peer are still tolerated.
const RESETS_REMEMBERED: usize = 256;

pub(super) type Sender<B> = http2::SendRequest<Sent<B>>;
type Connection<B> = http2::Connection<TokioIo<Bounded>, Sent<B>, Local>;

/// One link; it closes once it is dropped and its last stream has ended.
pub(super) struct Multiplexed<B: MessageBody> {
    sender: Sender<B>,
    /// Asked how many streams the peer allows; gone when the link has ended.
    connection: Rc<RefCell<Option<Connection<B>>>>,
    heard: Heard,
    /// It has carried an answer before.
    is_used: Cell<bool>,
    /// A request was told that it broke; hyper may say so only later.
    is_broken: Cell<bool>,
    streams: Cell<usize>,
    idle_since: Cell<Instant>,
    pool: Weak<Pool<B>>,
}

impl<B: MessageBody> Multiplexed<B> {
    /// Begins HTTP/2 on a fresh link. `permit` lives as long as the link is open.
    pub(super) async fn on(
        link: Link,
        permit: OwnedSemaphorePermit,
        pool: Weak<Pool<B>>,
    ) -> Result<Self, hyper::Error> {
        let heard = Heard::default();
        let (sender, connection) = http2::Builder::new(Local)
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(LINK_WINDOW)
            .max_header_list_size(HEAD)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_ANSWERED_WITHIN)
            .keep_alive_while_idle(true)
            .max_concurrent_reset_streams(RESETS_REMEMBERED)
            .handshake(TokioIo::new(Bounded::multiplexed(link, heard.clone())))
            .await?;
        let connection = Rc::new(RefCell::new(Some(connection)));
        spawn_local(run(Rc::clone(&connection), permit));
        Ok(Self {
            sender,
            connection,
            heard,
            is_used: Cell::new(false),
            is_broken: Cell::new(false),
            streams: Cell::new(0),
            idle_since: Cell::new(Instant::now()),
            pool,
        })
    }

    /// A sender for one more stream, which counts until the carrier is told that it is finished.
    pub(super) fn open(&self) -> Sender<B> {
        self.streams.set(self.streams.get() + 1);
        self.sender.clone()
    }

    pub(super) fn has_room(&self) -> bool {
        let connection = self.connection.borrow();
        connection
            .as_ref()
            .is_some_and(|connection| self.streams.get() < connection.current_max_send_streams())
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_broken.get() || self.sender.is_closed()
    }

    /// What has come by now; nothing, if there was no answer among it.
    pub(super) fn heard(&self) -> Option<u64> {
        self.is_used.get().then(|| self.heard.bytes())
    }

    /// The whole link broke under a request that began after so much had come. True if it had been used before, and not a
    /// byte came since then: the upstream had closed it, most likely before the request was there.
    pub(super) fn had_died(&self, heard: Option<u64>) -> bool {
        self.is_broken.set(true);
        heard == Some(self.heard.bytes())
    }

    /// Since when it carries nothing.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.streams.get() == 0).then(|| self.idle_since.get())
    }
}

/// Drives the link to its end.
async fn run<B: MessageBody>(
    connection: Rc<RefCell<Option<Connection<B>>>>,
    permit: OwnedSemaphorePermit,
) {
    let ended = poll_fn(|cx| match &mut *connection.borrow_mut() {
        Some(connection) => Pin::new(connection).poll(cx),
        None => Poll::Ready(Ok(())),
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "an upstream link ended");
    }
    connection.take();
    drop(permit);
}

impl<B: MessageBody> Carrier for Multiplexed<B> {
    fn answered(&self) {
        self.is_used.set(true);
    }

    fn finished(self: Rc<Self>, _: bool) {
        self.streams.set(self.streams.get() - 1);
        if self.streams.get() == 0 {
            self.idle_since.set(Instant::now());
        }
        if let Some(pool) = self.pool.upgrade() {
            pool.tell_one();
        }
    }
}
