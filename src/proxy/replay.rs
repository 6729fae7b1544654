//! A caller's body on its way to Pleo: streamed, counted, held to its limits, and kept as far as the replay buffer goes, so
//! that the request can be sent a second time (design.md R7). Nothing is read before the link to Pleo asks for it: that is
//! what makes hyper say `100 Continue`.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::headers::{Framing, clean_trailers};
use crate::net::BoxError;
use crate::net::body::{IdleTimeout, Stalled, length};
use crate::net::gathered::Gathered;
use crate::tokens::bearer::{Bearer, Sending};

/// What is read of a body that nobody wants, so that the link can be used again. Bytes, and time.
const DISCARDED: u64 = 64 << 10;
const DISCARDING: Duration = Duration::from_millis(100);

/// A caller's body, as the handler of its request sees it.
#[derive(Debug)]
pub struct Upload<B = Incoming>(Option<Rc<RefCell<Source<B>>>>);

/// The body as it is sent once.
#[derive(Debug)]
pub struct UploadBody<B = Incoming> {
    source: Option<Rc<RefCell<Source<B>>>>,
    /// Which sending this is; only the latest may read.
    turn: u32,
    /// How many of the kept frames were given.
    given: usize,
    left: Option<u64>,
    /// Until all of it is gone, or it is dropped, a refresh of its bearer waits a little (design.md R8).
    sending: Option<Sending>,
}

/// Why a body ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UploadFault {
    /// Over the route's limit.
    #[error("the body is larger than the route allows")]
    TooLarge,
    /// Nothing came for too long.
    #[error("the body stalled")]
    TooSlow,
    /// The caller broke it off.
    #[error("the body broke off")]
    BrokeOff,
    /// It is being sent a second time already.
    #[error("the body is being sent again")]
    Superseded,
}

#[derive(Debug)]
struct Source<B> {
    body: IdleTimeout<B>,
    declared: Option<u64>,
    limit: u64,
    received: u64,
    /// Everything received so far, while it fits.
    kept: Option<Gathered>,
    kept_trailers: Option<HeaderMap>,
    trailed: bool,
    buffer: usize,
    turn: u32,
    ended: bool,
    /// How it failed: there is nothing after that.
    fault: Option<UploadFault>,
}

impl<B> Upload<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// Takes a body as it came, none of it read. `idle` is the longest wait for a frame.
    pub fn new(body: B, idle: Duration) -> Self {
        Self((!body.is_end_stream()).then(|| {
            Rc::new(RefCell::new(Source {
                declared: body.size_hint().exact(),
                body: IdleTimeout::new(body, idle),
                limit: u64::MAX,
                received: 0,
                kept: Some(Gathered::default()),
                kept_trailers: None,
                trailed: false,
                buffer: 0,
                turn: 0,
                ended: false,
                fault: None,
            }))
        }))
    }

    /// Sets the limits of its route, in bytes. Fails at once if the caller said that it is larger.
    pub(super) fn limit(&self, limit: u64, buffer: usize) -> Result<(), UploadFault> {
        let Some(source) = &self.0 else {
            return Ok(());
        };
        let mut source = source.borrow_mut();
        if source.declared.is_some_and(|length| length > limit) {
            return Err(UploadFault::TooLarge);
        }
        source.limit = limit;
        source.buffer = buffer;
        let fits = |length| usize::try_from(length).is_ok_and(|length: usize| length <= buffer);
        if !source.declared.is_none_or(fits) {
            source.kept = None;
        }
        Ok(())
    }

    pub(super) fn framing(&self) -> Framing {
        match &self.0 {
            None => Framing::Empty,
            Some(source) if source.borrow().declared.is_some() => Framing::Known,
            Some(_) => Framing::Chunked,
        }
    }

    /// True while all that was received is still in hand.
    pub(super) fn can_be_sent_again(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(|source| source.borrow().kept.is_some())
    }

    /// True once all of it was received.
    pub fn ended(&self) -> bool {
        self.0.as_ref().is_none_or(|source| source.borrow().ended)
    }

    /// The body from its beginning; what was handed out before ends with an error. Only while
    /// [`Upload::can_be_sent_again`], or for the first time.
    pub(super) fn body(&self) -> UploadBody<B> {
        let (turn, left) = match &self.0 {
            None => (0, Some(0)),
            Some(source) => {
                let mut source = source.borrow_mut();
                source.turn += 1;
                (source.turn, source.declared)
            }
        };
        UploadBody {
            source: self.0.clone(),
            turn,
            given: 0,
            left,
            sending: None,
        }
    }

    /// Bytes received so far, framing and trailers left out.
    pub fn received(&self) -> u64 {
        self.0.as_ref().map_or(0, |source| source.borrow().received)
    }

    /// True if it has ended, and nobody can disagree about where: the next request on its HTTP/1.1 link begins there. hyper
    /// takes a bare LF for the end of trailers, others may not.
    pub fn has_ended_beyond_doubt(&self) -> bool {
        self.0.as_ref().is_none_or(|source| {
            let source = source.borrow();
            source.ended && !source.trailed
        })
    }

    /// Reads what is left, if that is little and there already. True if nothing is left.
    pub async fn discard(&self) -> bool {
        let Some(source) = &self.0 else {
            return true;
        };
        {
            let mut source = source.borrow_mut();
            let left = source
                .declared
                .map_or(0, |length| length.saturating_sub(source.received));
            if source.ended || left > DISCARDED {
                return source.ended;
            }
            source.kept = None;
            source.limit = source.received.saturating_add(DISCARDED);
        }
        let mut rest = self.body();
        let read = async { while let Some(Ok(_)) = rest.frame().await {} };
        timeout(DISCARDING, read).await.is_ok() && self.ended()
    }
}

impl<B> Source<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadFault>>> {
        if let Some(fault) = self.fault {
            return Poll::Ready(Some(Err(fault)));
        }
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            None => {
                self.ended = true;
                return Poll::Ready(None);
            }
            Some(Err(error)) if error.is::<Stalled>() => Err(UploadFault::TooSlow),
            Some(Err(_)) => Err(UploadFault::BrokeOff),
            Some(Ok(frame)) => self.take(frame),
        };
        self.fault = frame.as_ref().err().copied();
        self.ended = self.fault.is_none() && self.body.is_end_stream();
        Poll::Ready(Some(frame))
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, UploadFault> {
        match frame.into_data() {
            Ok(bytes) => self.received(bytes).map(Frame::data),
            Err(frame) => Ok(self.trailers(frame)),
        }
    }

    fn received(&mut self, bytes: Bytes) -> Result<Bytes, UploadFault> {
        self.received += bytes.len() as u64;
        if self.received > self.limit {
            return Err(UploadFault::TooLarge);
        }
        let fits = usize::try_from(self.received).is_ok_and(|received| received <= self.buffer);
        match &mut self.kept {
            // There may be any number of empty frames.
            Some(_) if bytes.is_empty() => {}
            Some(kept) if fits => kept.push(bytes.clone()),
            Some(_) | None => self.kept = None,
        }
        Ok(bytes)
    }

    fn trailers(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        let mut trailers = frame.into_trailers().unwrap_or_default();
        clean_trailers(&mut trailers);
        self.trailed = true;
        if self.kept.is_some() {
            self.kept_trailers = Some(trailers.clone());
        }
        Frame::trailers(trailers)
    }

    /// The next of the frames kept from an earlier sending.
    fn again(&mut self, given: usize) -> Option<Frame<Bytes>> {
        let kept = self.kept.as_mut()?;
        if given < kept.count() {
            return kept.get(given).map(Frame::data);
        }
        let trailers = (self.kept_trailers.as_ref()).filter(|_| given == kept.count());
        trailers.map(|trailers| Frame::trailers(trailers.clone()))
    }

    /// How many frames are kept.
    fn kept(&self) -> usize {
        let trailers = usize::from(self.kept_trailers.is_some());
        self.kept.as_ref().map_or(0, |kept| kept.count() + trailers)
    }
}

impl<B> UploadBody<B> {
    /// The body of a request that is sent with `bearer`.
    pub(super) fn borne_by(mut self, bearer: &Bearer) -> Self {
        self.sending = Some(bearer.sending());
        self
    }
}

impl<B> Body for UploadBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Some(source) = &this.source else {
            return Poll::Ready(None);
        };
        let mut source = source.borrow_mut();
        if source.turn != this.turn {
            return Poll::Ready(Some(Err(UploadFault::Superseded.into())));
        }
        let frame = match source.again(this.given) {
            Some(frame) => {
                this.given += 1;
                Some(Ok(frame))
            }
            None if source.ended => None,
            None => {
                let frame = ready!(source.poll(cx));
                this.given = source.kept();
                frame
            }
        };
        if !matches!(frame, Some(Ok(_))) || (source.ended && this.given >= source.kept()) {
            this.sending = None;
        }
        if let (Some(left), Some(Ok(frame))) = (&mut this.left, &frame) {
            *left = left.saturating_sub(length(frame));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.source.as_ref().is_none_or(|source| {
            let source = source.borrow();
            source.ended && self.given >= source.kept() && source.turn == self.turn
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests;
