//! The body of an answer on its way to the caller: counted, within the request's time, and the end of the visit.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::visit::Visit;
use crate::net::BoxError;
use crate::net::body::Outgoing;
use crate::proxy::headers::clean_trailers;

/// A body that ends its visit when it ends, or is dropped.
#[derive(Debug)]
pub struct AnswerBody {
    body: Outgoing,
    visit: Option<Box<Visit>>,
    until: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
}

/// The time for the whole of the request is over.
#[derive(Debug, thiserror::Error)]
#[error("the time for this request is over")]
struct OutOfTime;

impl AnswerBody {
    pub(super) fn new(body: Outgoing, mut visit: Box<Visit>, until: Option<Instant>) -> Self {
        if body.is_end_stream() {
            visit.over();
        }
        Self {
            body,
            visit: Some(visit),
            until,
            alarm: None,
        }
    }

    /// A body that belongs to no visit any more.
    pub(super) fn alone(body: Outgoing) -> Self {
        Self {
            body,
            visit: None,
            until: None,
            alarm: None,
        }
    }

    fn poll_within_time(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let Some(until) = self.until else {
            return polled;
        };
        if polled.is_ready() {
            // A caller who takes little, but never nothing, has no more time than others.
            let is_late = !self.body.is_end_stream() && Instant::now() >= until;
            return if is_late {
                Poll::Ready(Some(Err(OutOfTime.into())))
            } else {
                polled
            };
        }
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(sleep_until(until)));
        alarm
            .as_mut()
            .poll(cx)
            .map(|()| Some(Err(OutOfTime.into())))
    }

    fn note(&mut self, frame: Option<&Result<Frame<Bytes>, BoxError>>) {
        let Some(visit) = &mut self.visit else {
            return;
        };
        match frame {
            Some(Err(_)) => visit.cut_off(),
            Some(Ok(frame)) => {
                visit.sent(frame.data_ref().map_or(0, Bytes::len));
                // Nothing follows trailers, and nobody asks for what follows.
                if frame.is_trailers() || self.body.is_end_stream() {
                    visit.over();
                }
            }
            None => visit.over(),
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.poll_within_time(cx).map(|mut frame| {
            self.note(frame.as_ref());
            if let Some(Ok(frame)) = &mut frame
                && let Some(trailers) = frame.trailers_mut()
            {
                clean_trailers(trailers);
            }
            frame
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
