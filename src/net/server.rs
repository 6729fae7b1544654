//! Serving a door on one thread: accept, hand each link to its conversation, and end gracefully. Not here: what is said on
//! a link (`net::conversation`) and how a request is answered (the caller's service).

use std::cell::Cell;
use std::future::{Future, ready};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::Response;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioTimer;
use rustix::io::Errno;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::body::MessageBody;
use super::conversation::Serving;
use super::link::Link;
use super::listener::{Door, Listener};
use super::local::Local;
use super::peer::{Arrival, Peer};
use super::peer_limit::{PeerLimit, Seat};

/// How long to leave the listener alone when the process has run out of descriptors or memory.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// hyper's own number: other values cost an allocation per request.
const USUAL_HEADERS: usize = 100;
/// The least that hyper can work with; heads are bounded apart from it. Bytes.
const LEAST_BUFFER: usize = 8192;
/// HTTP/2: of a request body not yet taken, per stream and per link. Bytes.
const STREAM_WINDOW: u32 = 64 * 1024;
const LINK_WINDOW: u32 = 1 << 20;
/// HTTP/2: a peer is asked this often whether it is there, and has this long to answer.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// HTTP/2: streams that may be reset before we have looked at them; and that we reset for the peer's faults.
const EARLY_RESETS: usize = 20;
const FAULT_RESETS: usize = 100;

/// What callers' links may take. The clones of one value share the counts of links, so all threads get the same one.
#[derive(Clone, Debug)]
pub struct ServerLimits {
    /// TLS handshake; first byte; a request's head once it has begun.
    pub header_timeout: Duration,
    /// A link between two requests.
    pub idle_timeout: Duration,
    /// A peer that does not take what we write.
    pub body_idle_timeout: Duration,
    /// From being told to stop until links are cut.
    pub drain_timeout: Duration,
    /// A request's head, in bytes.
    pub max_header_bytes: u32,
    /// Its header fields (HTTP/1.1).
    pub max_headers: usize,
    /// Requests at once on an HTTP/2 link.
    pub max_streams: u32,
    /// Links at once, over all threads and doors that share it. When they are used up, new ones wait in the backlog.
    pub links: Arc<Semaphore>,
    /// Links at once from one address; more are closed at once.
    pub per_peer: Option<Arc<PeerLimit>>,
}

impl Default for ServerLimits {
    /// The defaults of `[limits]`.
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_idle_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(25),
            max_header_bytes: 64 * 1024,
            max_headers: USUAL_HEADERS,
            max_streams: 100,
            links: Arc::new(Semaphore::new(10_000)),
            per_peer: None,
        }
    }
}

/// Serves `door` until `stop`; then no new links are accepted, those that are idle end, requests under way are finished,
/// and what is left after `drain_timeout` is cut. Must run on a `LocalSet` (see `net::threads`).
///
/// `service` answers each request; if it panics, `on_panic` answers in its place. A body that ends with an error breaks
/// the message off. The error is that of putting the socket onto this thread's runtime.
pub async fn serve<S, F, B, P>(
    door: Door,
    limits: ServerLimits,
    stop: CancellationToken,
    service: S,
    on_panic: P,
) -> io::Result<()>
where
    S: Fn(Arrival) -> F + 'static,
    F: Future<Output = Response<B>> + 'static,
    B: MessageBody,
    P: Fn() -> Response<B> + 'static,
{
    let listener = Listener::new(door.socket)?;
    let drain_timeout = limits.drain_timeout;
    let serving = Rc::new(Serving {
        http1: http1(&limits, door.half_close),
        http2: http2(&limits),
        tls: door.tls,
        // A token of this thread: its links ask it often, and must not meet other threads there.
        stop: stop.child_token(),
        stopping: Cell::new(false),
        service,
        on_panic,
        limits,
    });
    let links = accept_until(stop, listener, door.index, serving).await;
    drain(links, drain_timeout).await;
    Ok(())
}

/// Starts a conversation on every link that comes in; gives back those that are still going on when told to stop.
async fn accept_until<S, F, B, P>(
    stop: CancellationToken,
    listener: Listener,
    door: usize,
    serving: Rc<Serving<S, P>>,
) -> JoinSet<()>
where
    S: Fn(Arrival) -> F + 'static,
    F: Future<Output = Response<B>> + 'static,
    B: MessageBody,
    P: Fn() -> Response<B> + 'static,
{
    let mut links = JoinSet::new();
    let (mut stopped, mut stopping) = (pin!(stop.cancelled()), false);
    // Kept over rounds of the loop: a link that was accepted may be waiting in it.
    let mut next = pin!(next_link(&listener, &serving.limits));
    loop {
        let (link, peer, admission) = tokio::select! {
            biased;
            () = &mut stopped, if !stopping => {
                stopping = true;
                serving.stopping.set(true);
                // Whoever came before that is not turned away; the next look shows them all.
                yield_now().await;
                continue;
            }
            Some(_) = links.join_next() => continue,
            admitted = &mut next => admitted,
            () = ready(()), if stopping => return links,
        };
        next.set(next_link(&listener, &serving.limits));
        let peer = Peer { door, ..peer };
        let conversation = Rc::clone(&serving).converse(link, peer);
        links.spawn_local(async move {
            conversation.await;
            drop(admission);
        });
    }
}

async fn drain(mut links: JoinSet<()>, limit: Duration) {
    let ended = async { while links.join_next().await.is_some() {} };
    if timeout(limit, ended).await.is_err() {
        tracing::warn!(
            links = links.len(),
            "cutting links that did not end in time"
        );
        links.shutdown().await;
    }
}

/// The right to be served; held as long as the link.
type Admission = (OwnedSemaphorePermit, Option<Seat>);

async fn next_link(listener: &Listener, limits: &ServerLimits) -> (Link, Peer, Admission) {
    let mut exhausted = false;
    loop {
        let (link, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if is_exhausted(&error) => {
                if !exhausted {
                    tracing::warn!(%error, "no new link can be accepted for now");
                }
                exhausted = true;
                sleep(EXHAUSTED_PAUSE).await;
                continue;
            }
            Err(error) => {
                tracing::debug!(%error, "a link was gone before it was accepted");
                continue;
            }
        };
        let seat = match (&limits.per_peer, peer.address) {
            (Some(limit), Some(address)) => match limit.enter(address.ip()) {
                Some(seat) => Some(seat),
                None => continue,
            },
            _ => None,
        };
        // Closed only when the process ends.
        if let Ok(permit) = Arc::clone(&limits.links).acquire_owned().await {
            return (link, peer, (permit, seat));
        }
    }
}

/// Most errors of accept concern one link that is already gone. When descriptors or memory are short, asking again at once
/// would only spin.
fn is_exhausted(error: &io::Error) -> bool {
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    let code = error.raw_os_error();
    (exhausted.iter()).any(|errno| code == Some(errno.raw_os_error()))
}

/// hyper's own timer for heads stays off: it would also run between requests, where `idle_timeout` holds.
fn http1(limits: &ServerLimits, half_close: bool) -> http1::Builder {
    let head = usize::try_from(limits.max_header_bytes).unwrap_or(usize::MAX);
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .half_close(half_close)
        .max_header_size(head)
        .max_buf_size(head.max(LEAST_BUFFER));
    if limits.max_headers != USUAL_HEADERS {
        builder.max_headers(limits.max_headers);
    }
    builder
}

fn http2(limits: &ServerLimits) -> http2::Builder<Local> {
    let mut builder = http2::Builder::new(Local);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(limits.max_header_bytes)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(LINK_WINDOW)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_ANSWERED_WITHIN)
        .max_pending_accept_reset_streams(EARLY_RESETS)
        .max_local_error_reset_streams(FAULT_RESETS);
    builder
}
