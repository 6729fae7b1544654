//! Timers that cost nothing while all goes well: armed late, left alone when the deadline moves, and checked again only when
//! they fire.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

/// Ready once `due` has passed. `sleep` may be set to an earlier moment; it is moved only when it must be.
pub(super) fn poll_due(mut sleep: Pin<&mut Sleep>, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
    if sleep.deadline() > due {
        sleep.as_mut().reset(due);
    }
    loop {
        ready!(sleep.as_mut().poll(cx));
        if Instant::now() >= due {
            return Poll::Ready(());
        }
        sleep.as_mut().reset(due);
    }
}

/// A timer that is made on first need.
#[derive(Debug, Default)]
pub(super) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready once `due` has passed; wakes the task then.
    pub(super) fn poll(&mut self, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(due)));
        poll_due(sleep.as_mut(), due, cx)
    }
}
