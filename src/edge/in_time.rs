//! The time limit of a whole request, applied to the body of its answer. What has arrived in full by then is passed on in
//! full, however late the caller takes the rest; anything else breaks off. Not here: how much time there is
//! (`proxy::deadline`).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::net::BoxError;
use crate::net::body::MessageBody;

/// What polling a body gives.
type Next = Option<Result<Frame<Bytes>, BoxError>>;

/// A body that must be over by a certain time.
#[derive(Debug)]
pub(super) struct InTime<B> {
    body: B,
    until: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
    /// Trailers that were read ahead.
    trailers: Option<Frame<Bytes>>,
}

/// The time for the whole of the request is over.
#[derive(Debug, thiserror::Error)]
#[error("the time for this request is over")]
struct OutOfTime;

impl<B: MessageBody> InTime<B> {
    /// `None` is off.
    pub(super) fn new(body: B, until: Option<Instant>) -> Self {
        Self {
            body,
            until,
            alarm: None,
            trailers: None,
        }
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let next = Pin::new(&mut self.body).poll_frame(cx);
        next.map(|next| next.map(|frame| frame.map_err(Into::into)))
    }

    /// True if what follows `next` is all here: an end that was not announced, or trailers.
    fn is_last(&mut self, next: &Next, cx: &mut Context<'_>) -> bool {
        let Some(Ok(frame)) = next else {
            return true;
        };
        if frame.is_trailers() || self.body.is_end_stream() {
            return true;
        }
        match self.poll_body(cx) {
            Poll::Ready(None) => true,
            Poll::Ready(Some(Ok(after))) if after.is_trailers() => {
                self.trailers = Some(after);
                true
            }
            Poll::Ready(Some(_)) | Poll::Pending => false,
        }
    }
}

impl<B: MessageBody> Body for InTime<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Next> {
        if let Some(trailers) = self.trailers.take() {
            return Poll::Ready(Some(Ok(trailers)));
        }
        let polled = self.poll_body(cx);
        let Some(until) = self.until else {
            return polled;
        };
        let out_of_time = || Some(Err(OutOfTime.into()));
        match polled {
            // A caller who reads slowly but steadily has no more time than others.
            Poll::Ready(next) if Instant::now() >= until && !self.is_last(&next, cx) => {
                Poll::Ready(out_of_time())
            }
            Poll::Ready(next) => Poll::Ready(next),
            Poll::Pending => {
                let alarm = (self.alarm).get_or_insert_with(|| Box::pin(sleep_until(until)));
                ready!(alarm.as_mut().poll(cx));
                Poll::Ready(out_of_time())
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.trailers.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::time::Duration;

    use http::HeaderMap;
    use http_body_util::BodyExt;
    use tokio::time::sleep;

    use super::*;

    /// Frames that are here. Whether the last one is known for it, as where there is a length, or nothing follows at once,
    /// or something is still to come.
    struct Here {
        frames: VecDeque<Frame<Bytes>>,
        end: End,
    }

    #[derive(Clone, Copy, PartialEq)]
    enum End {
        Announced,
        Unannounced,
        ToCome,
    }

    impl Body for Here {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match self.frames.pop_front() {
                Some(frame) => Poll::Ready(Some(Ok(frame))),
                None if self.end == End::ToCome => Poll::Pending,
                None => Poll::Ready(None),
            }
        }

        fn is_end_stream(&self) -> bool {
            self.end == End::Announced && self.frames.is_empty()
        }
    }

    const LIMIT: Duration = Duration::from_mins(1);

    fn here(end: End, data: &[&'static str], trailers: bool) -> InTime<Here> {
        let data = data.iter().map(|text| Frame::data(Bytes::from(*text)));
        let trailers = trailers.then(|| Frame::trailers(HeaderMap::new()));
        let frames = data.chain(trailers).collect();
        InTime::new(Here { frames, end }, Some(Instant::now() + LIMIT))
    }

    /// How many frames come until the body is over; none if it breaks off.
    async fn taken(mut body: InTime<Here>) -> Option<usize> {
        let mut taken = 0;
        while let Some(frame) = body.frame().await {
            frame.ok()?;
            taken += 1;
        }
        Some(taken)
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_all_here_when_its_time_is_over_is_whole() {
        for (end, data, trailers, frames) in [
            (End::Announced, &["last"][..], false, 1),
            (End::Unannounced, &["last"], false, 1),
            (End::Unannounced, &["last"], true, 2),
            (End::Unannounced, &[], true, 1),
            (End::Unannounced, &[], false, 0),
        ] {
            let body = here(end, data, trailers);
            sleep(LIMIT).await;
            assert_eq!(taken(body).await, Some(frames), "{data:?} {trailers}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_of_which_more_is_to_come_breaks_off_when_its_time_is_over() {
        for (end, data) in [
            (End::Announced, &["one", "two"][..]),
            (End::Unannounced, &["one", "two"]),
            (End::ToCome, &["one"]),
            (End::ToCome, &[]),
        ] {
            let body = here(end, data, false);
            sleep(LIMIT).await;
            assert_eq!(taken(body).await, None, "{data:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_stalls_breaks_off_on_time() {
        let began = Instant::now();
        assert_eq!(taken(here(End::ToCome, &["one"], false)).await, None);
        assert_eq!(began.elapsed(), LIMIT);
        let in_time = here(End::Unannounced, &["one", "two"], true);
        assert_eq!(taken(in_time).await, Some(3));
    }
}
