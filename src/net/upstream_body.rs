//! The body of an upstream's answer. It holds its link, which is free again once the body has ended cleanly, and is given up
//! if the body is dropped before.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::sending::Sending;

/// Something that carries a request and its answer: a whole HTTP/1.1 link, or a stream of an HTTP/2 link.
pub(super) trait Carrier {
    /// The head of the answer is there.
    fn answered(&self) {}
    /// The exchange is over. `clean`: request and answer both came to their end.
    fn finished(self: Rc<Self>, clean: bool);
}

/// The use of a carrier by one request.
pub(super) struct Lease(Option<Rc<dyn Carrier>>);

impl Lease {
    pub(super) fn of(carrier: Rc<dyn Carrier>) -> Self {
        Self(Some(carrier))
    }

    pub(super) fn answered(&self) {
        if let Some(carrier) = &self.0 {
            carrier.answered();
        }
    }

    fn end(&mut self, clean: bool) {
        if let Some(carrier) = self.0.take() {
            carrier.finished(clean);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.end(false);
    }
}

/// Streams the answer; an answer that is cut off ends with an error.
pub struct UpstreamBody {
    body: Incoming,
    lease: Lease,
    sending: Option<Rc<Sending>>,
    /// What came with the head, until it is asked for.
    first: Option<First>,
    /// As far as seen: asking hyper takes a lock.
    over: bool,
}

/// A frame, small where it is most often: a request's future holds it.
enum First {
    Data(Bytes),
    Trailers(Box<HeaderMap>),
}

impl First {
    fn of(frame: Frame<Bytes>) -> Self {
        match frame.into_data() {
            Ok(bytes) => Self::Data(bytes),
            Err(frame) => Self::Trailers(frame.into_trailers().unwrap_or_default().into()),
        }
    }

    fn into_frame(self) -> Frame<Bytes> {
        match self {
            Self::Data(bytes) => Frame::data(bytes),
            Self::Trailers(trailers) => Frame::trailers(*trailers),
        }
    }
}

impl UpstreamBody {
    pub(super) fn new(body: Incoming, lease: Lease, sending: Option<Rc<Sending>>) -> Self {
        let mut this = Self {
            over: body.is_end_stream(),
            body,
            lease,
            sending,
            first: None,
        };
        if this.over {
            this.ended();
        }
        this
    }

    /// Takes what came along with the head. The error is that of a body that is broken from the start: once the head is
    /// handed on, nothing else can be answered.
    pub(super) fn begin(&mut self) -> Result<(), hyper::Error> {
        if self.over {
            return Ok(());
        }
        // Whoever takes the body asks again, and is woken.
        match self.poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(Ok(frame))) => self.first = Some(First::of(frame)),
            Poll::Ready(Some(Err(error))) => return Err(error),
            Poll::Ready(None) | Poll::Pending => {}
        }
        Ok(())
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Err(_)) => self.lease.end(false),
            Some(Ok(_)) if !self.body.is_end_stream() => {}
            Some(Ok(_)) | None => {
                self.over = true;
                self.ended();
            }
        }
        Poll::Ready(frame)
    }

    /// An answer that came before all of the request was taken leaves the link unusable.
    fn ended(&mut self) {
        let clean = self.sending.as_ref().is_none_or(|sending| sending.ended());
        self.lease.end(clean);
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(first.into_frame()))),
            None => self.poll_next(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.over && self.first.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let first = match &self.first {
            Some(First::Data(bytes)) => bytes.len() as u64,
            Some(First::Trailers(_)) | None => 0,
        };
        let rest = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + first);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + first);
        }
        hint
    }
}

impl fmt::Debug for UpstreamBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamBody").finish_non_exhaustive()
    }
}
