//! A request body on its way up, watched: when it last moved, whether all of it is gone, and whether it was the caller
//! who broke it off. Not here: limits on it (see `net::body`).

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::BoxError;

/// The body as hyper sends it.
#[derive(Debug)]
pub(super) struct Sent<B> {
    body: B,
    sending: Option<Rc<Sending>>,
}

/// What is known of a body that is being sent.
#[derive(Debug)]
pub(super) struct Sending {
    moved: Cell<Instant>,
    ended: Cell<bool>,
    failure: RefCell<Option<BoxError>>,
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
                ended: Cell::new(false),
                failure: RefCell::new(None),
            })
        });
        (
            Self {
                body,
                sending: sending.clone(),
            },
            sending,
        )
    }
}

impl Sending {
    /// When something of the body was last taken; its end is its last move.
    pub(super) fn moved(&self) -> Instant {
        self.moved.get()
    }

    /// True once all of it was taken.
    pub(super) fn ended(&self) -> bool {
        self.ended.get()
    }

    /// The failure of the body itself, once.
    pub(super) fn take_failure(&self) -> Option<BoxError> {
        self.failure.borrow_mut().take()
    }

    fn note<E: Into<BoxError>>(
        &self,
        frame: Option<Result<Frame<Bytes>, E>>,
        last: bool,
    ) -> Option<Result<Frame<Bytes>, BrokeOff>> {
        self.moved.set(Instant::now());
        match frame {
            Some(Err(error)) => {
                *self.failure.borrow_mut() = Some(error.into());
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
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let last = self.body.is_end_stream();
        Poll::Ready(match &self.sending {
            Some(sending) => sending.note(frame, last),
            None => frame.map(|frame| frame.map_err(|_| BrokeOff)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
