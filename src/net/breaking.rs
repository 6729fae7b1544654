//! An answer that breaks off, held back for a moment: hyper drops what it has not written when a body fails, and a caller
//! that has read nothing at all takes that for a link that died idle, and sends even a POST again. Not here: why it breaks.

use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;

use super::BoxError;

type Polled = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

/// What is known of an answer that may break off.
#[derive(Debug, Default)]
pub(super) struct Breaking {
    /// Whether hyper has had a turn to write since the last frame, or the head.
    flushed: bool,
    held: Option<BoxError>,
}

impl Breaking {
    /// What was held back, else what `poll` gives; an error that comes along with something else waits for one turn.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Polled,
    ) -> Polled {
        if let Some(error) = self.held.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match poll(cx) {
            Poll::Ready(Some(Err(error))) if !self.flushed => {
                self.held = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            polled => {
                self.flushed = polled.is_pending();
                polled
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn data() -> Polled {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
    }

    fn error() -> Polled {
        Poll::Ready(Some(Err("broken".into())))
    }

    #[test]
    fn what_came_before_a_break_is_written_first() {
        let mut cx = Context::from_waker(Waker::noop());
        for before in [None, Some(data as fn() -> Polled)] {
            let mut breaking = Breaking::default();
            if let Some(before) = before {
                assert!(matches!(
                    breaking.poll(&mut cx, |_| before()),
                    Poll::Ready(Some(Ok(_)))
                ));
            }
            assert!(breaking.poll(&mut cx, |_| error()).is_pending());
            let late = breaking.poll(&mut cx, |_| panic!("it broke already"));
            assert!(matches!(late, Poll::Ready(Some(Err(_)))));
        }
        let mut breaking = Breaking::default();
        assert!(breaking.poll(&mut cx, |_| Poll::Pending).is_pending());
        let at_once = breaking.poll(&mut cx, |_| error());
        assert!(matches!(at_once, Poll::Ready(Some(Err(_)))));
    }
}
