//! One call to Pleo over a link of its own: no pool, no retry, no redirect, no proxy from the environment. It records how
//! far the call came, since that decides what may be done next (design.md R2, R4). What an answer means is not decided here.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::clock::{Boot, SharedClock};
use crate::net::dial::{DialError, Dialer};
use crate::net::link::Link;
use crate::net::origin::Origin;
use crate::net::tls::Alpn;

/// The largest answer that is read (requirement 102).
const MAX_BODY: usize = 64 * 1024;
/// The largest head of an answer.
const MAX_HEAD: usize = 64 * 1024;
/// The timer looks at the clock that counts suspend this often, since a sleep does not notice one.
const TICK: Duration = Duration::from_secs(1);
/// Turns of the runtime in which an answer that has reached this machine in time is read to its end.
const TURNS: usize = 64;

/// Makes calls.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) dialer: Arc<Dialer>,
    pub(super) clock: SharedClock,
}

/// What is to be sent, where to, and how long all of it may take from now on.
pub(super) struct Errand<'a> {
    pub(super) origin: &'a Origin,
    /// Of its URI only path and query count.
    pub(super) request: Request<Bytes>,
    pub(super) limit: Duration,
}

/// How far a call came.
pub(super) enum Reply {
    /// No byte of the request left.
    NotSent(NotSentCause),
    /// A byte may have left, and no head of an answer came in time.
    Unanswered(LostCause),
    /// A head came.
    Answered(Answer),
}

/// Pleo's answer. Never printed: its body may hold tokens.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Result<Bytes, LostCause>,
}

/// Why no byte of a request left.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NotSentCause {
    /// There was no link.
    #[error("no link to Pleo")]
    Dial(#[source] Arc<DialError>),
    /// The last check before sending said no.
    #[error("withheld by the last check")]
    Withheld,
    /// The time was up before.
    #[error("the time was up before anything was sent")]
    TimedOut,
    /// The link ended before.
    #[error("the link ended before anything was sent")]
    LinkEnded,
    /// A token, key or setting holds characters that cannot be sent.
    #[error("the request could not be made")]
    Unfit,
}

/// What became of an answer that did not come, or not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LostCause {
    /// The link ended without an answer, or with something that is not HTTP.
    #[error("sent, and the link ended without an answer")]
    Unanswered,
    /// The answer ended before its end.
    #[error("sent, and the answer was cut off")]
    CutOff,
    /// The time was up.
    #[error("sent, and no whole answer in time")]
    TimedOut,
    /// The answer is larger than 64 KiB.
    #[error("the answer is too large")]
    TooLarge,
}

impl Wire {
    /// Dials, asks `before_send` when only the sending is left to do, sends, and reads the answer. The limit covers it
    /// all, by the clock that counts suspend; dropping the future or running out of time closes the socket.
    pub(super) async fn call<F, A>(&self, errand: Errand<'_>, before_send: F) -> Reply
    where
        F: FnOnce() -> A + Send,
        A: Future<Output = bool> + Send,
    {
        let deadline = self.clock.boot() + errand.limit;
        let dialled = self.dialer.dial(errand.origin, Alpn::Http1);
        let link = match self.until(deadline, dialled).await {
            None => return Reply::NotSent(NotSentCause::TimedOut),
            Some(Err(error)) => return Reply::NotSent(NotSentCause::Dial(Arc::new(error))),
            Some(Ok(link)) => link,
        };
        match self.until(deadline, before_send()).await {
            Some(true) if self.clock.boot() < deadline => {}
            Some(false) => return Reply::NotSent(NotSentCause::Withheld),
            Some(true) | None => return Reply::NotSent(NotSentCause::TimedOut),
        }
        let request = dressed(errand.request, errand.origin);
        Box::pin(self.exchange(link, request, deadline)).await
    }

    async fn exchange(&self, link: Link, request: Request<Full<Bytes>>, deadline: Boot) -> Reply {
        let sent = Arc::new(AtomicBool::new(false));
        let mut talk = pin!(converse(link, request, sent.clone()));
        let came = match self.until(deadline, &mut talk).await {
            Some(came) => Some(came),
            None => already_there(talk).await,
        };
        match came {
            Some(Ok(answer)) => Reply::Answered(answer),
            Some(Err(_)) if !sent.load(Ordering::Acquire) => {
                Reply::NotSent(NotSentCause::LinkEnded)
            }
            None if !sent.load(Ordering::Acquire) => Reply::NotSent(NotSentCause::TimedOut),
            Some(Err(_)) => Reply::Unanswered(LostCause::Unanswered),
            None => Reply::Unanswered(LostCause::TimedOut),
        }
    }

    /// `None` if `work` is not done by `deadline`.
    async fn until<T>(&self, deadline: Boot, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.passed(deadline) => None,
        }
    }

    async fn passed(&self, deadline: Boot) {
        loop {
            let left = self.clock.boot().until(deadline);
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(TICK)).await;
        }
    }
}

/// Path and query only, our `Host`, and no second request on this link.
fn dressed(request: Request<Bytes>, origin: &Origin) -> Request<Full<Bytes>> {
    let (mut parts, body) = request.into_parts();
    let root = || PathAndQuery::from_static("/");
    parts.uri = Uri::from(parts.uri.path_and_query().cloned().unwrap_or_else(root));
    parts.headers.insert(HOST, origin.authority().clone());
    let close = HeaderValue::from_static("close");
    parts.headers.insert(CONNECTION, close);
    let agent = concat!("pleo-gateway/", env!("CARGO_PKG_VERSION"));
    let agent = HeaderValue::from_static(agent);
    parts.headers.insert(USER_AGENT, agent);
    Request::from_parts(parts, Full::new(body))
}

/// The request and its answer; the link is driven along with it.
async fn converse(
    link: Link,
    request: Request<Full<Bytes>>,
    sent: Arc<AtomicBool>,
) -> hyper::Result<Answer> {
    let io = TokioIo::new(Watched { link, sent });
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(io)
        .await?;
    let mut answer = pin!(async move {
        let (head, body) = sender.send_request(request).await?.into_parts();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body: whole(body).await,
        })
    });
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        _ = connection => answer.await,
    }
}

async fn whole(body: Incoming) -> Result<Bytes, LostCause> {
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(LostCause::TooLarge),
        Err(_) => Err(LostCause::CutOff),
    }
}

/// An answer that is already there beats the timer (design.md R2).
async fn already_there<T>(mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    for _ in 0..TURNS {
        tokio::select! {
            biased;
            done = &mut work => return Some(done),
            () = tokio::task::yield_now() => {}
        }
    }
    None
}

/// A link that notes the moment when the first byte of the request may have left.
struct Watched {
    link: Link,
    sent: Arc<AtomicBool>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.link).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.sent.store(true, Ordering::Release);
        Pin::new(&mut self.link).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.link).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.link).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::task::yield_now;

    #[tokio::test]
    async fn what_is_there_is_read_to_its_end_though_the_time_is_up() {
        let piecemeal = pin!(async {
            for _ in 0..8 {
                yield_now().await;
            }
            "all of it"
        });
        assert_eq!(already_there(piecemeal).await, Some("all of it"));
        assert_eq!(
            already_there(pin!(std::future::pending::<()>())).await,
            None
        );
    }
}
