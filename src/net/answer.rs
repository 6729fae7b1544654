//! The body of an answer on its way to a caller. A caller who stops reading blocks an HTTP/1.1 link, where that is noticed;
//! on an HTTP/2 link it blocks one stream, whose body nobody polls any more. Such a body is given up here, so that it does
//! not hold its upstream link for as long as the caller likes.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::BoxError;
use super::body::MessageBody;
use super::breaking::Breaking;
use super::deadline::Alarm;
use super::watch::Answering;

/// This many finished answers cost less to keep than to look for.
const FEW: usize = 16;

/// The body; dropping it tells that the answer is over.
pub(super) enum Answer<B> {
    Alone {
        body: B,
        breaking: Breaking,
        _answering: Answering,
    },
    Stream(Rc<Stream<B>>),
}

impl<B: MessageBody> Answer<B> {
    pub(super) fn new(body: B, answering: Answering) -> Self {
        if !answering.watch().multiplexed || body.is_end_stream() {
            return Self::Alone {
                body,
                breaking: Breaking::default(),
                _answering: answering,
            };
        }
        let asked = Cell::new(Some(Instant::now()));
        let stream = Rc::new_cyclic(|this: &Weak<Stream<B>>| {
            answering.watch().answers.add(this.clone());
            Stream {
                body: RefCell::new(Some((body, Breaking::default(), answering))),
                asked,
            }
        });
        Self::Stream(stream)
    }
}

/// Resets the stream, should the caller come back to it.
#[derive(Debug, thiserror::Error)]
#[error("the caller had stopped taking the answer")]
struct GivenUp;

/// A body that can be given up from outside.
pub(super) struct Stream<B> {
    body: RefCell<Option<(B, Breaking, Answering)>>,
    /// When hyper last took a frame; none while it waits for one.
    asked: Cell<Option<Instant>>,
}

/// What [`Answers`] knows of a stream.
trait GiveUp {
    /// Gives the body up if nobody has asked for more of it within `limit`.
    fn unless_asked_within(&self, limit: Duration);
}

impl<B> GiveUp for Stream<B> {
    fn unless_asked_within(&self, limit: Duration) {
        if self
            .asked
            .get()
            .is_some_and(|asked| asked.elapsed() >= limit)
        {
            let given_up = self.body.take();
            drop(given_up);
        }
    }
}

/// The answers under way on one link.
#[derive(Default)]
pub(super) struct Answers {
    streams: RefCell<Vec<Weak<dyn GiveUp>>>,
    /// Finished ones are let go of once there are this many: each keeps its memory as long as it is in here.
    many: Cell<usize>,
    checked: Cell<Option<Instant>>,
}

impl Answers {
    fn add(&self, stream: Weak<dyn GiveUp>) {
        let mut streams = self.streams.borrow_mut();
        if streams.len() >= self.many.get() {
            streams.retain(|stream| stream.strong_count() > 0);
            self.many.set(2 * streams.len() + FEW);
        }
        streams.push(stream);
    }

    /// Gives up what has stalled for more than `limit`, looking twice within it; wakes the task for that.
    pub(super) fn poll_stalled(&self, limit: Duration, alarm: &mut Alarm, cx: &mut Context<'_>) {
        let mut due = self
            .checked
            .get()
            .map_or_else(Instant::now, |at| at + limit / 2);
        while !self.streams.borrow().is_empty() && alarm.poll(due, cx).is_ready() {
            let streams: Vec<_> = {
                let mut streams = self.streams.borrow_mut();
                streams.retain(|stream| stream.strong_count() > 0);
                streams.iter().filter_map(Weak::upgrade).collect()
            };
            for stream in streams {
                stream.unless_asked_within(limit);
            }
            let now = Instant::now();
            self.checked.set(Some(now));
            due = now + limit / 2;
        }
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").finish_non_exhaustive()
    }
}

impl<B: MessageBody> Body for Answer<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Self::Alone { body, breaking, .. } => breaking.poll(cx, |cx| poll(body, cx)),
            Self::Stream(stream) => {
                let mut body = stream.body.borrow_mut();
                let Some((body, breaking, _)) = &mut *body else {
                    return Poll::Ready(Some(Err(GivenUp.into())));
                };
                let polled = breaking.poll(cx, |cx| poll(body, cx));
                stream.asked.set(polled.is_ready().then(Instant::now));
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Alone { body, .. } => body.is_end_stream(),
            Self::Stream(stream) => {
                let body = stream.body.borrow();
                body.as_ref().is_some_and(|(body, ..)| body.is_end_stream())
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Alone { body, .. } => body.size_hint(),
            Self::Stream(stream) => {
                let body = stream.body.borrow();
                body.as_ref()
                    .map_or_else(SizeHint::default, |(body, ..)| body.size_hint())
            }
        }
    }
}

fn poll<B: MessageBody>(
    body: &mut B,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
    let polled = Pin::new(body).poll_frame(cx);
    polled.map(|frame| frame.map(|frame| frame.map_err(Into::into)))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Under;

    impl GiveUp for Under {
        fn unless_asked_within(&self, _: Duration) {}
    }

    #[test]
    fn answers_that_are_over_are_not_kept() {
        let answers = Answers::default();
        let under_way: Vec<Rc<Under>> = (0..100).map(|_| Rc::new(Under)).collect();
        for stream in &under_way {
            answers.add(Rc::downgrade(stream) as Weak<dyn GiveUp>);
        }
        for _ in 0..100_000 {
            answers.add(Rc::downgrade(&Rc::new(Under)) as Weak<dyn GiveUp>);
            assert!(answers.streams.borrow().len() <= 2 * 101 + FEW);
        }
        let alive = |stream: &&Weak<dyn GiveUp>| stream.strong_count() > 0;
        assert_eq!(answers.streams.borrow().iter().filter(alive).count(), 100);
    }
}
