//! A panic costs one request, not its link or its thread. Not here: what is answered then.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

/// The future panicked; the panic hook has already said where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Panicked;

/// Runs `future`, turning a panic into a value. What it borrowed is not looked at again, so nothing half-done is seen.
/// It is taken where it is pinned, so that it is not moved once more.
pub(super) async fn caught<F: Future>(mut future: Pin<&mut F>) -> Result<F::Output, Panicked> {
    poll_fn(
        |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(polled) => polled.map(Ok),
            Err(_) => Poll::Ready(Err(Panicked)),
        },
    )
    .await
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_a_value() {
        assert_eq!(caught(pin!(async { 3 })).await, Ok(3));
        let panics = async {
            tokio::task::yield_now().await;
            panic!("on purpose")
        };
        assert_eq!(
            caught(pin!(panics)).await.map(|never: u8| never),
            Err(Panicked)
        );
    }
}
