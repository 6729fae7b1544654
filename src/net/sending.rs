//! A request body on its way upstream, observed: when it last moved, whether all of it is gone, and whether it was the
//! caller who broke it off. It may be read ahead while it waits for a link. Not here: limits on it (`net::body`).

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::BoxError;
use super::body::MessageBody;
use super::gathered::Gathered;

/// The most that is read ahead, apart from the frame that goes beyond it. Bytes.
const AHEAD: u64 = 64 * 1024;

/// The body as hyper sends it.
pub(super) struct Sent<B> {
    body: B,
    /// What was read before there was a link, if anything.
    ahead: Option<Box<Ahead>>,
    sending: Option<Rc<Sending>>,
}

/// What was read ahead.
#[derive(Default)]
struct Ahead {
    data: Gathered,
    /// Bytes of that.
    length: u64,
    /// Trailers, or how the body failed.
    end: Option<Result<Frame<Bytes>, BoxError>>,
}

impl Ahead {
    fn pop(&mut self) -> Option<Result<Frame<Bytes>, BoxError>> {
        match self.data.pop() {
            Some(data) => {
                self.length -= data.len() as u64;
                Some(Ok(Frame::data(data)))
            }
            None => self.end.take(),
        }
    }

    fn is_empty(&self) -> bool {
        self.length == 0 && self.end.is_none()
    }
}

/// What is known of a body that is being sent.
#[derive(Debug)]
pub(super) struct Sending {
    moved: Cell<Instant>,
    /// The caller owes more of it.
    owed: Cell<bool>,
    ended: Cell<bool>,
    failure: RefCell<Option<BoxError>>,
    /// Its share of the links, until it has ended.
    share: RefCell<Option<OwnedSemaphorePermit>>,
}

/// Stands for the caller's failure inside hyper; the failure itself is kept in [`Sending`].
#[derive(Debug, thiserror::Error)]
#[error("the request body broke off")]
pub(super) struct BrokeOff;

impl<B: Body> Sent<B> {
    /// A request without a body needs no watching.
    pub(super) fn new(body: B) -> (Self, Option<Rc<Sending>>) {
        let sending = (!body.is_end_stream()).then(|| {
            Rc::new(Sending {
                moved: Cell::new(Instant::now()),
                owed: Cell::new(false),
                ended: Cell::new(false),
                failure: RefCell::new(None),
                share: RefCell::new(None),
            })
        });
        (
            Self {
                body,
                ahead: None,
                sending: sending.clone(),
            },
            sending,
        )
    }
}

impl<B: MessageBody> Sent<B> {
    /// Reads ahead while there is no link yet. Resolves once all of it is here or it has failed; never, if it is too large.
    pub(super) async fn read_ahead(&mut self) {
        while !self.body.is_end_stream() {
            let Some(frame) = self.body.frame().await else {
                return;
            };
            let ahead = self.ahead.get_or_insert_default();
            match frame.map_err(Into::into).map(Frame::into_data) {
                // There may be any number of empty frames.
                Ok(Ok(data)) if data.is_empty() => {}
                Ok(Ok(data)) => {
                    ahead.length += data.len() as u64;
                    ahead.data.push(data);
                }
                Ok(Err(trailers)) => ahead.end = Some(Ok(trailers)),
                Err(error) => {
                    ahead.end = Some(Err(error));
                    return;
                }
            }
            if ahead.length >= AHEAD {
                pending::<()>().await;
            }
        }
    }
}

impl Sending {
    /// Keeps its share of the links until the body has ended.
    pub(super) fn keep(&self, share: OwnedSemaphorePermit) {
        *self.share.borrow_mut() = Some(share);
    }

    /// Since when it is upstream's turn: when something of the body was last taken, or now while the caller owes more.
    pub(super) fn moved(&self) -> Instant {
        if self.owed.get() {
            Instant::now()
        } else {
            self.moved.get()
        }
    }

    /// True once all of it was taken.
    pub(super) fn ended(&self) -> bool {
        self.ended.get()
    }

    /// The failure of the body itself, once.
    pub(super) fn take_failure(&self) -> Option<BoxError> {
        self.failure.borrow_mut().take()
    }

    fn note(
        &self,
        frame: Option<Result<Frame<Bytes>, BoxError>>,
        last: bool,
    ) -> Option<Result<Frame<Bytes>, BrokeOff>> {
        self.moved.set(Instant::now());
        if last || !matches!(frame, Some(Ok(_))) {
            self.share.borrow_mut().take();
        }
        match frame {
            Some(Err(error)) => {
                *self.failure.borrow_mut() = Some(error);
                Some(Err(BrokeOff))
            }
            Some(Ok(frame)) => {
                self.ended.set(last);
                Some(Ok(frame))
            }
            None => {
                self.ended.set(true);
                None
            }
        }
    }
}

impl<B> Body for Sent<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BrokeOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokeOff>>> {
        let ahead = self.ahead.as_mut().and_then(|ahead| ahead.pop());
        let frame = if ahead.is_some() {
            ahead
        } else {
            let polled = Pin::new(&mut self.body).poll_frame(cx);
            if let Some(sending) = &self.sending {
                sending.owed.set(polled.is_pending());
            }
            ready!(polled).map(|frame| frame.map_err(Into::into))
        };
        let last = self.is_end_stream();
        Poll::Ready(match &self.sending {
            Some(sending) => sending.note(frame, last),
            None => frame.map(|frame| frame.map_err(|_| BrokeOff)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.as_ref().is_none_or(|ahead| ahead.is_empty()) && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.body.size_hint();
        let ahead = self.ahead.as_ref().map_or(0, |ahead| ahead.length);
        match (ahead, rest.exact()) {
            (0, _) => rest,
            (ahead, Some(rest)) => SizeHint::with_exact(ahead + rest),
            (_, None) => SizeHint::default(),
        }
    }
}
