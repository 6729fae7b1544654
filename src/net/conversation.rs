//! One caller's link, from its first byte to its last: TLS, HTTP/1.1 or HTTP/2, and how long each step may take. Between
//! requests an HTTP/1.1 link is soon parked: hyper and its buffers are dropped until the next byte. Not here: accepting.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::answer::Answer;
use super::body::MessageBody;
use super::certificate;
use super::deadline::Alarm;
use super::frames::PREFACE;
use super::guest::Guest;
use super::linger::linger;
use super::link::Link;
use super::local::Local;
use super::peer::{Arrival, Peer};
use super::server::ServerLimits;
use super::tls::ServerTls;
use super::unwind::caught;
use super::watch::{Answering, Phase, Watch, Watched};
use super::well_formed;

/// A link that was idle for this long is parked (earlier if `idle_timeout` is short).
const PARK_AFTER: Duration = Duration::from_secs(2);
/// Room for a first read; most heads fit.
const FIRST_READ: usize = 4096;
/// For a head that began and did not end: marked as ours (contract.md section 3). Nobody has said who they are yet, so it
/// says nothing more.
const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\npleo-gateway-error: request-timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// What the links of one door on one thread have in common.
pub(super) struct Serving<S, P> {
    pub(super) service: S,
    pub(super) on_panic: P,
    pub(super) limits: ServerLimits,
    pub(super) tls: Option<Arc<ServerTls>>,
    pub(super) stop: CancellationToken,
    /// Told to stop: each answer on HTTP/1.1 is the last of its link.
    pub(super) stopping: Cell<bool>,
    pub(super) http1: http1::Builder,
    pub(super) http2: http2::Builder<Local>,
}

/// What a peer turned out to speak.
enum Speaks {
    Http1,
    Http2,
}

/// Why hyper is no longer to be polled.
enum End {
    Closed,
    /// The peer may not have taken our last answer yet.
    Answered,
    /// Answer and link broke off.
    Broken,
    Parked,
    Late,
}

impl<S, F, B, P> Serving<S, P>
where
    S: Fn(Arrival) -> F + 'static,
    F: Future<Output = Response<B>> + 'static,
    B: MessageBody,
    P: Fn() -> Response<B> + 'static,
{
    /// Serves the link until either side is done with it.
    pub(super) async fn converse(self: Rc<Self>, link: Link, peer: Peer) {
        let Some((mut link, guest)) = self.secured(link, peer).await else {
            return;
        };
        let guest = Rc::new(guest);
        if link.is_h2() {
            return Box::pin(self.http2(link, Bytes::new(), guest)).await;
        }
        let (mut read, mut wait) = (BytesMut::new(), self.limits.header_timeout);
        loop {
            let Some(speaks) = self.first_bytes(&mut link, &mut read, wait).await else {
                return;
            };
            let begun = std::mem::take(&mut read).freeze();
            if let Speaks::Http2 = speaks {
                return Box::pin(self.http2(link, begun, guest)).await;
            }
            match Box::pin(self.http1(link, begun, &guest)).await {
                Some((parked, rest)) => (link, read) = (parked, BytesMut::from(rest)),
                None => return,
            }
            wait = self.limits.idle_timeout.saturating_sub(self.park_after());
        }
    }

    async fn secured(&self, link: Link, mut peer: Peer) -> Option<(Link, Guest)> {
        let Some(tls) = &self.tls else {
            return Some((link, Guest::bare(peer)));
        };
        let settings = tls.current();
        let handshake = TlsAcceptor::from(Arc::clone(&settings.server)).accept(link);
        let stream = match timeout(self.limits.header_timeout, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a caller's TLS handshake failed");
                return None;
            }
            Err(_) => return None,
        };
        peer.secure = true;
        let shown = stream.get_ref().1.peer_certificates().map(<[_]>::to_vec);
        let guest = match shown {
            Some(chain) => {
                peer.certificate_names = chain.first().map(|leaf| certificate::names(leaf));
                Guest::with_certificate(peer, chain, Arc::clone(tls), settings)
            }
            None => Guest::bare(peer),
        };
        Some((Link::Tls(Box::new(stream.into())), guest))
    }

    /// Waits, with next to no memory, until it is clear what the peer speaks. `None` if it is gone, or too late.
    async fn first_bytes(
        &self,
        link: &mut Link,
        read: &mut BytesMut,
        wait: Duration,
    ) -> Option<Speaks> {
        let told = async {
            while read.is_empty() || (read.len() < PREFACE.len() && PREFACE.starts_with(read)) {
                if poll_fn(|cx| read_some(link, read, cx)).await.ok()? == 0 {
                    return None;
                }
            }
            Some(if read.starts_with(PREFACE) {
                Speaks::Http2
            } else {
                Speaks::Http1
            })
        };
        tokio::select! {
            biased;
            told = timeout(wait, told) => told.ok().flatten(),
            () = self.stopped() => None,
        }
    }

    /// Resolves once told to stop; what had come by then can be seen first: it may be a request.
    async fn stopped(&self) {
        self.stop.cancelled().await;
        yield_now().await;
    }

    /// HTTP/1.1 until the link is done with, or idle: then it is given back, with what was read of it.
    async fn http1(
        self: &Rc<Self>,
        link: Link,
        read: Bytes,
        guest: &Rc<Guest>,
    ) -> Option<(Link, Bytes)> {
        let watch = Watch::new(false);
        let io = TokioIo::new(Watched::new(link, read, Rc::clone(&watch)));
        let mut conversation = self.http1.serve_connection(io, self.service(guest, &watch));
        let mut stop = pin!(self.stopped());
        let (mut alarm, mut stopping) = (Alarm::default(), false);
        let end = poll_fn(|cx| {
            let ended = |ended: Result<(), hyper::Error>| match ended {
                Err(error) if error.is_user() => End::Broken,
                Err(error) if error.is_parse() => End::Answered,
                Ok(()) if watch.closes() => End::Answered,
                Ok(()) | Err(_) => End::Closed,
            };
            if let Poll::Ready(end) = Pin::new(&mut conversation).poll(cx) {
                return Poll::Ready(ended(end));
            }
            if !stopping && stop.as_mut().poll(cx).is_ready() {
                stopping = true;
                Pin::new(&mut conversation).graceful_shutdown();
                if let Poll::Ready(end) = Pin::new(&mut conversation).poll(cx) {
                    return Poll::Ready(ended(end));
                }
            }
            self.http1_timer(&watch, &mut alarm, cx)
        });
        let end = end.await;
        let left = conversation.into_parts();
        let mut link = left.io.into_inner().link;
        match end {
            End::Closed => None,
            End::Answered => {
                linger(&mut link).await;
                None
            }
            End::Broken => {
                if watch.ends_with_link() {
                    link.reset_when_dropped();
                }
                None
            }
            End::Parked => Some((link, left.read_buf)),
            End::Late => {
                let refused = link.write_all(TOO_SLOW);
                let _ = timeout(self.limits.header_timeout, refused).await;
                let _ = timeout(self.limits.header_timeout, link.shutdown()).await;
                None
            }
        }
    }

    fn http1_timer(&self, watch: &Watch, alarm: &mut Alarm, cx: &mut Context<'_>) -> Poll<End> {
        if watch.blocked().is_some() {
            ready!(self.link_timer(watch, alarm, cx));
            return Poll::Ready(End::Closed);
        }
        match watch.phase() {
            Phase::Busy => Poll::Pending,
            Phase::Head => {
                ready!(self.link_timer(watch, alarm, cx));
                Poll::Ready(End::Late)
            }
            // Of a body that it has stopped reading hyper would wait for the next byte.
            Phase::Idle if watch.is_flushed() && watch.closes() => Poll::Ready(End::Answered),
            Phase::Idle if watch.is_flushed() => {
                ready!(alarm.poll(watch.since() + self.park_after(), cx));
                Poll::Ready(End::Parked)
            }
            Phase::Idle => {
                ready!(self.link_timer(watch, alarm, cx));
                Poll::Ready(End::Closed)
            }
        }
    }

    fn park_after(&self) -> Duration {
        PARK_AFTER.min(self.limits.idle_timeout / 4)
    }

    /// HTTP/2 until the link is done with.
    async fn http2(self: Rc<Self>, link: Link, read: Bytes, guest: Rc<Guest>) {
        let watch = Watch::new(true);
        let io = TokioIo::new(Watched::new(link, read, Rc::clone(&watch)));
        let mut conversation = pin!(
            self.http2
                .serve_connection(io, self.service(&guest, &watch))
        );
        let mut stop = pin!(self.stopped());
        let (mut alarm, mut sweep) = (Alarm::default(), Alarm::default());
        let (mut leaving, mut gone_by) = (false, None);
        poll_fn(|cx| {
            if conversation.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let is_unwelcome = !guest.is_welcome();
            if !leaving && (is_unwelcome || stop.as_mut().poll(cx).is_ready()) {
                leaving = true;
                conversation.as_mut().graceful_shutdown();
                if conversation.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
            }
            let stall = self.limits.body_idle_timeout;
            watch.answers.poll_stalled(stall, &mut sweep, cx);
            ready!(self.link_timer(&watch, &mut alarm, cx));
            // Only an idle peer is told; one that is late or does not read would not listen.
            let is_idle = watch.phase() == Phase::Idle && watch.owed().is_none();
            if !leaving && watch.blocked().is_none() && is_idle {
                leaving = true;
                gone_by = Some(Instant::now() + self.limits.header_timeout);
                conversation.as_mut().graceful_shutdown();
                if conversation.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
            }
            match gone_by {
                Some(due) => alarm.poll(due, cx),
                None => Poll::Ready(()),
            }
        })
        .await;
    }

    /// Ready when the link has taken too long over what it is doing.
    fn link_timer(&self, watch: &Watch, alarm: &mut Alarm, cx: &mut Context<'_>) -> Poll<()> {
        let limits = &self.limits;
        let phase = match watch.phase() {
            Phase::Busy => None,
            Phase::Head => Some(watch.since() + limits.header_timeout),
            Phase::Idle => Some(watch.since() + limits.idle_timeout),
        };
        let owed = watch.owed().map(|since| since + limits.header_timeout);
        let blocked = watch
            .blocked()
            .map(|since| since + limits.body_idle_timeout);
        match earlier(phase, earlier(owed, blocked)) {
            Some(due) => alarm.poll(due, cx),
            None => Poll::Pending,
        }
    }

    fn service(
        self: &Rc<Self>,
        guest: &Rc<Guest>,
        watch: &Rc<Watch>,
    ) -> impl HttpService<
        Incoming,
        ResBody = Answer<B>,
        Error = h2::Error,
        Future = impl Future<Output = Result<Response<Answer<B>>, h2::Error>> + use<S, F, B, P>,
    > + use<S, F, B, P> {
        let (serving, guest, watch) = (Rc::clone(self), Rc::clone(guest), Rc::clone(watch));
        service_fn(move |request: Request<Incoming>| {
            let (serving, guest) = (Rc::clone(&serving), Rc::clone(&guest));
            let answering = watch.begin(request.version());
            serving.answer(request, guest, answering)
        })
    }

    async fn answer(
        self: Rc<Self>,
        request: Request<Incoming>,
        guest: Rc<Guest>,
        answering: Answering,
    ) -> Result<Response<Answer<B>>, h2::Error> {
        well_formed::check(&request)?;
        let peer = guest.peer();
        let arrival = Arrival { request, peer };
        let served = pin!(async { (self.service)(arrival).await });
        let answer = caught(served).await;
        let mut answer = answer.unwrap_or_else(|_| (self.on_panic)());
        if answer.headers().contains_key(CONNECTION) {
            answering.watch().close();
        }
        let is_last = self.stopping.get() || !guest.is_welcome();
        if is_last && !answering.watch().multiplexed {
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(CONNECTION, close);
        }
        Ok(answer.map(|body| Answer::new(body, answering)))
    }
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// The buffer is on the stack of this call alone: a link that waits holds none.
fn read_some(
    link: &mut Link,
    read: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut space = [std::mem::MaybeUninit::uninit(); FIRST_READ];
    let mut buffer = ReadBuf::uninit(&mut space);
    ready!(Pin::new(link).poll_read(cx, &mut buffer))?;
    read.extend_from_slice(buffer.filled());
    Poll::Ready(Ok(buffer.filled().len()))
}
