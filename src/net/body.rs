//! Wrappers for a body in transit: an idle limit, a size limit, a count. An error of the inner body always comes out as an
//! error, so that a truncated message is never taken for a whole one. Not here: pooling (`net::upstream_body`).

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::BoxError;
use super::deadline::Alarm;
use super::upstream_body::UpstreamBody;

/// A body that we can send, either way.
pub trait MessageBody: Body<Data = Bytes, Error: Into<BoxError>> + Unpin + 'static {}

impl<B> MessageBody for B where B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin + 'static {}

/// Nothing came for too long.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the body stalled for more than {0:?}")]
pub struct Stalled(pub Duration);

/// More came than is allowed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the body is larger than {0} bytes")]
pub struct TooLarge(pub u64);

/// Ends with [`Stalled`] when no frame comes within the limit. Time during which nobody asks for a frame does not count.
#[derive(Debug)]
pub struct IdleTimeout<B> {
    body: B,
    limit: Duration,
    waiting_since: Option<Instant>,
    alarm: Alarm,
}

impl<B> IdleTimeout<B> {
    /// `limit` is for each frame.
    pub fn new(body: B, limit: Duration) -> Self {
        Self {
            body,
            limit,
            waiting_since: None,
            alarm: Alarm::default(),
        }
    }
}

impl<B> Body for IdleTimeout<B>
where
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.waiting_since = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let since = *this.waiting_since.get_or_insert_with(Instant::now);
        ready!(this.alarm.poll(since + this.limit, cx));
        Poll::Ready(Some(Err(Stalled(this.limit).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Ends with [`TooLarge`] instead of the frame that goes over the limit.
#[derive(Debug)]
pub struct Limited<B> {
    body: B,
    limit: u64,
    left: u64,
}

impl<B> Limited<B> {
    /// At most `limit` bytes of data; trailers do not count.
    pub fn new(body: B, limit: u64) -> Self {
        Self {
            body,
            limit,
            left: limit,
        }
    }
}

impl<B> Body for Limited<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            match self.left.checked_sub(length(frame)) {
                Some(left) => self.left = left,
                None => return Poll::Ready(Some(Err(TooLarge(self.limit).into()))),
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Adds the data that passes to a count the maker keeps.
#[derive(Debug)]
pub struct Counted<B> {
    body: B,
    count: Rc<Cell<u64>>,
}

impl<B> Counted<B> {
    /// `count` is in bytes of data; framing and trailers do not count.
    pub fn new(body: B, count: Rc<Cell<u64>>) -> Self {
        Self { body, count }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            self.count.set(self.count.get() + length(frame));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Bytes of data in a frame; none in trailers.
pub fn length(frame: &Frame<Bytes>) -> u64 {
    frame.data_ref().map_or(0, |bytes| bytes.len() as u64)
}

/// A body of an answer to a caller.
#[derive(Debug)]
pub enum Outgoing {
    /// Nothing.
    Empty,
    /// All of it in hand; empty once it was given out.
    Full(Bytes),
    /// As it comes from upstream.
    Stream(IdleTimeout<UpstreamBody>),
}

impl From<Bytes> for Outgoing {
    fn from(bytes: Bytes) -> Self {
        Self::Full(bytes)
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stream(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, Full};

    /// A body that never gives anything.
    #[derive(Debug)]
    struct Silent;

    impl Body for Silent {
        type Data = Bytes;
        type Error = BoxError;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_ends_with_an_error() {
        let limit = Duration::from_secs(30);
        let started = Instant::now();
        let error = IdleTimeout::new(Silent, limit).collect().await.unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Stalled(limit)));
        assert_eq!(started.elapsed(), limit);
    }

    #[tokio::test]
    async fn a_body_over_its_limit_ends_with_an_error() {
        let body = || Full::new(Bytes::from_static(b"12345"));
        let whole = Limited::new(body(), 5).collect().await.unwrap();
        assert_eq!(whole.to_bytes(), "12345");
        let error = Limited::new(body(), 4).collect().await.unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&TooLarge(4)));
    }

    #[tokio::test]
    async fn what_passes_is_counted() {
        let count = Rc::new(Cell::new(0));
        let body = Counted::new(Full::new(Bytes::from_static(b"12345")), Rc::clone(&count));
        body.collect().await.unwrap();
        assert_eq!(count.get(), 5);
    }

    #[tokio::test]
    async fn a_full_body_is_given_out_once() {
        let body = Outgoing::from(Bytes::from_static(b"all"));
        assert_eq!(body.size_hint().exact(), Some(3));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "all");
        assert!(Outgoing::Empty.is_end_stream());
    }
}
