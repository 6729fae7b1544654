//! A request body on its way upstream, observed: when it last moved, whether all of it is gone, and whether it was the
//! caller who broke it off. It may be read ahead while it waits for a link. Not here: limits on it (`net::body`).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
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

/// The most that is read ahead, apart from the frame that goes beyond it. Bytes.
const AHEAD: u64 = 64 * 1024;

/// The body as hyper sends it.
pub(super) struct Sent<B> {
    body: B,
    /// What was read before there was a link, and how many bytes that is.
    ahead: VecDeque<Result<Frame<Bytes>, BoxError>>,
    bytes_ahead: u64,
    sending: Option<Rc<Sending>>,
}

/// What is known of a body that is being sent.
#[derive(Debug)]
pub(super) struct Sending {
    moved: Cell<Instant>,
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
                ended: Cell::new(false),
                failure: RefCell::new(None),
                share: RefCell::new(None),
            })
        });
        (
            Self {
                body,
                ahead: VecDeque::new(),
                bytes_ahead: 0,
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
            let has_failed = frame.is_err();
            let size = length(&frame);
            // There may be any number of empty frames.
            if size != Some(0) {
                self.bytes_ahead += size.unwrap_or(0);
                self.ahead.push_back(frame.map_err(Into::into));
            }
            if has_failed {
                return;
            }
            if self.bytes_ahead >= AHEAD {
                pending::<()>().await;
            }
        }
    }
}

/// Bytes of a frame of data.
fn length<E>(frame: &Result<Frame<Bytes>, E>) -> Option<u64> {
    let data = frame.as_ref().ok()?.data_ref()?;
    Some(data.len() as u64)
}

impl Sending {
    /// Keeps its share of the links until the body has ended.
    pub(super) fn keep(&self, share: OwnedSemaphorePermit) {
        *self.share.borrow_mut() = Some(share);
    }

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
        let frame = if let Some(frame) = self.ahead.pop_front() {
            self.bytes_ahead -= length(&frame).unwrap_or(0);
            Some(frame)
        } else {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
            frame.map(|frame| frame.map_err(Into::into))
        };
        let last = self.is_end_stream();
        Poll::Ready(match &self.sending {
            Some(sending) => sending.note(frame, last),
            None => frame.map(|frame| frame.map_err(|_| BrokeOff)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.body.size_hint();
        match (self.bytes_ahead, rest.exact()) {
            (0, _) => rest,
            (ahead, Some(rest)) => SizeHint::with_exact(ahead + rest),
            (_, None) => SizeHint::default(),
        }
    }
}
