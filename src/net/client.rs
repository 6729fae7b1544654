//! Sending a request to one origin over the thread's links and waiting for the head of the answer. A request is sent
//! again only if nothing of it can have left. Not here: what is in the request, and when to try again after that.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::header::{CONNECTION, HOST};
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::time::{Instant, sleep_until};

use super::BoxError;
use super::body::MessageBody;
use super::deadline::poll_due;
use super::dial::{DialError, Dialer};
use super::links::Links;
use super::origin::Origin;
use super::pool::{Pool, Taken};
use super::sending::{Sending, Sent};
use super::upstream_body::{Carrier, Lease, UpstreamBody};

/// How often a request may be handed back unsent by links that died while it waited, before that is an error.
const HANDED_BACK_AT_MOST: usize = 5;

/// How a [`Client`] behaves.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The limit on links, shared by the clients of all threads.
    pub links: Arc<Links>,
    /// An idle link is closed after this long.
    pub idle_timeout: Duration,
    /// From the last move of the request's body (or from sending it, if it has none) until the answer's head.
    pub first_byte_timeout: Duration,
    /// Offer HTTP/2 (ALPN); without TLS it is always HTTP/1.1.
    pub prefer_h2: bool,
}

/// Why there is no answer. Of [`SendError::Dial`], [`SendError::Overloaded`] and [`SendError::NotSent`] it is certain that
/// the upstream did not act upon the request; of [`SendError::Stale`] it is likely.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No link could be made.
    #[error("the upstream cannot be reached")]
    Dial(#[source] Arc<DialError>),
    /// No link became free, and none more may be opened, within the connect timeout.
    #[error("all upstream links are in use")]
    Overloaded,
    /// The link was lost before the request left, or the peer said that it did not process it.
    #[error("the request was not sent")]
    NotSent(#[source] hyper::Error),
    /// A link that had been idle was lost before a byte of the answer: the upstream closed it as the request was sent.
    #[error("the upstream had closed the idle link")]
    Stale(#[source] hyper::Error),
    /// The link was lost before the answer's head; the request, or a part of it, may have arrived.
    #[error("the upstream broke off before its answer")]
    Broken(#[source] hyper::Error),
    /// The answer is not HTTP, or its head is too large.
    #[error("the upstream's answer is not valid HTTP")]
    Invalid(#[source] hyper::Error),
    /// The upstream switched protocols although nobody asked for that.
    #[error("the upstream switched protocols unasked")]
    SwitchedProtocols,
    /// The answer's head did not come in time.
    #[error("the upstream did not answer in time")]
    Timeout,
    /// The body of the request itself broke off, stalled or was too large: the caller's doing.
    #[error("the request body ended with an error")]
    RequestBody(#[source] BoxError),
}

/// One thread's client for one origin. `B` is the body of requests. Must be used on a `LocalSet`.
pub struct Client<B: MessageBody> {
    pool: Rc<Pool<B>>,
    first_byte_timeout: Duration,
}

/// What became of one try.
enum Unanswered<B: MessageBody> {
    /// Handed back: nothing of it has left.
    Unsent(Box<Request<Sent<B>>>, hyper::Error),
    Failed(SendError),
}

impl<B: MessageBody> Client<B> {
    /// Dials nothing yet.
    pub fn new(dialer: Arc<Dialer>, origin: Arc<Origin>, options: ClientOptions) -> Self {
        Self {
            first_byte_timeout: options.first_byte_timeout,
            pool: Rc::new(Pool::new(dialer, origin, options)),
        }
    }

    /// Where requests go.
    pub fn origin(&self) -> &Origin {
        &self.pool.origin
    }

    /// Sends `request` and waits for the head of its answer. Of its URI only path and query count; `Host`, version, scheme
    /// and authority are set here. Dropping the future, or the answer's body, ends the exchange at the upstream too.
    pub async fn send(&self, request: Request<B>) -> Result<Response<UpstreamBody>, SendError> {
        let (head, body) = request.into_parts();
        let (body, sending) = Sent::new(body);
        let mut request = Request::from_parts(head, body);
        if let Some(sending) = &sending {
            self.pool.admit(request.body_mut(), sending).await?;
        }
        let mut handed_back = 0;
        loop {
            let link = self.pool.take().await?;
            self.address(&mut request, matches!(link, Taken::Stream(_)));
            match self.exchange(link, request, sending.as_ref()).await {
                Ok(response) => return Ok(response),
                Err(Unanswered::Unsent(back, _)) if handed_back < HANDED_BACK_AT_MOST => {
                    handed_back += 1;
                    request = *back;
                }
                Err(Unanswered::Unsent(_, error)) => return Err(SendError::NotSent(error)),
                Err(Unanswered::Failed(error)) => return Err(error),
            }
        }
    }

    /// Origin-form and `Host` for HTTP/1.1, scheme and authority for HTTP/2.
    fn address(&self, request: &mut Request<Sent<B>>, h2: bool) {
        let origin = &self.pool.origin;
        let path = match request.uri().path_and_query() {
            Some(path) => path.clone(),
            None => PathAndQuery::from_static("/"),
        };
        if h2 {
            let mut parts = http::uri::Parts::default();
            parts.scheme = Some(origin.uri_scheme());
            parts.authority = Some(origin.uri_authority().clone());
            parts.path_and_query = Some(path);
            *request.uri_mut() = absolute(parts);
            *request.version_mut() = Version::HTTP_2;
            request.headers_mut().remove(HOST);
            // hyper would take off what it names, too.
            request.headers_mut().remove(CONNECTION);
        } else {
            *request.uri_mut() = Uri::from(path);
            *request.version_mut() = Version::HTTP_11;
            let host = origin.authority().clone();
            request.headers_mut().insert(HOST, host);
        }
    }

    async fn exchange(
        &self,
        link: Taken<B>,
        request: Request<Sent<B>>,
        sending: Option<&Rc<Sending>>,
    ) -> Result<Response<UpstreamBody>, Unanswered<B>> {
        let (outcome, had_died) = match link {
            Taken::Exclusive(link) => {
                let answer = pin!(link.sender().try_send_request(request));
                let lease = Lease::of(Rc::clone(&link) as Rc<dyn Carrier>);
                let outcome = self.answered(answer, lease, sending).await;
                let had_died = broke(&outcome) && link.had_died_idle();
                (outcome, had_died)
            }
            Taken::Stream(link) => {
                let heard = link.heard();
                let answer = pin!(link.open().try_send_request(request));
                let lease = Lease::of(Rc::clone(&link) as Rc<dyn Carrier>);
                let outcome = self.answered(answer, lease, sending).await;
                let had_died = broke(&outcome) && link.had_died(heard);
                (outcome, had_died)
            }
        };
        match outcome {
            Err(Unanswered::Failed(SendError::Broken(error))) if had_died => {
                self.pool.distrust_idle();
                Err(Unanswered::Failed(SendError::Stale(error)))
            }
            outcome => outcome,
        }
    }

    async fn answered<F>(
        &self,
        mut answer: Pin<&mut F>,
        lease: Lease,
        sending: Option<&Rc<Sending>>,
    ) -> Result<Response<UpstreamBody>, Unanswered<B>>
    where
        F: Future<Output = Result<Response<Incoming>, TrySendError<Request<Sent<B>>>>>,
    {
        let started = Instant::now();
        let limit = self.first_byte_timeout;
        let mut sleep = pin!(sleep_until(started + limit));
        let outcome = poll_fn(|cx| {
            if let Poll::Ready(outcome) = answer.as_mut().poll(cx) {
                return Poll::Ready(Some(outcome));
            }
            let since = sending.map_or(started, |sending| sending.moved().max(started));
            poll_due(sleep.as_mut(), since + limit, cx).map(|()| None)
        });
        match outcome.await {
            None => Err(Unanswered::Failed(SendError::Timeout)),
            Some(Ok(answer)) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => {
                Err(Unanswered::Failed(SendError::SwitchedProtocols))
            }
            Some(Ok(answer)) => {
                lease.answered();
                let mut answer =
                    answer.map(|body| UpstreamBody::new(body, lease, sending.cloned()));
                *answer.version_mut() = Version::HTTP_11;
                let begun = answer.body_mut().begin();
                begun.map_err(|error| Unanswered::Failed(unusable(error, sending)))?;
                Ok(answer)
            }
            Some(Err(mut error)) => Err(match error.take_message() {
                Some(request) => Unanswered::Unsent(Box::new(request), error.into_error()),
                None => Unanswered::Failed(failure(error.into_error(), sending)),
            }),
        }
    }
}

#[expect(
    clippy::expect_used,
    reason = "the three parts were valid on their own"
)]
fn absolute(parts: http::uri::Parts) -> Uri {
    Uri::from_parts(parts).expect("scheme, authority and path make a URI")
}

/// An answer whose body is broken where it begins.
fn unusable(error: hyper::Error, sending: Option<&Rc<Sending>>) -> SendError {
    let callers = sending.and_then(|sending| sending.take_failure());
    callers.map_or(SendError::Invalid(error), SendError::RequestBody)
}

fn failure(error: hyper::Error, sending: Option<&Rc<Sending>>) -> SendError {
    if let Some(cause) = sending.and_then(|sending| sending.take_failure()) {
        return SendError::RequestBody(cause);
    }
    if error.is_parse() {
        return SendError::Invalid(error);
    }
    if peer_did_not_process(&error) {
        return SendError::NotSent(error);
    }
    SendError::Broken(error)
}

/// True if the whole link was lost, and not a stream of it only.
fn broke<T, B: MessageBody>(outcome: &Result<T, Unanswered<B>>) -> bool {
    match outcome {
        Err(Unanswered::Failed(SendError::Broken(error))) => {
            !http2_error(error).is_some_and(h2::Error::is_reset)
        }
        _ => false,
    }
}

fn http2_error(error: &hyper::Error) -> Option<&h2::Error> {
    std::error::Error::source(error).and_then(|cause| cause.downcast_ref())
}

/// HTTP/2 says so outright: a refused stream, or one above the last that a graceful GOAWAY admits (RFC 9113, 8.7).
fn peer_did_not_process(error: &hyper::Error) -> bool {
    http2_error(error).is_some_and(|error| {
        let reason = error.reason();
        error.is_remote()
            && ((error.is_reset() && reason == Some(h2::Reason::REFUSED_STREAM))
                || (error.is_go_away() && reason == Some(h2::Reason::NO_ERROR)))
    })
}

impl<B: MessageBody> fmt::Debug for Client<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("origin", &self.pool.origin)
            .finish_non_exhaustive()
    }
}
