//! The body of an answer on its way to the caller: counted, held to the request's time limit, and the end of the visit.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::in_time::InTime;
use super::visit::Visit;
use crate::net::BoxError;
use crate::net::body::Outgoing;
use crate::proxy::headers::clean_trailers;

/// A body that ends its visit when it ends, or is dropped.
#[derive(Debug)]
pub struct AnswerBody {
    body: InTime<Outgoing>,
    visit: Option<Box<Visit>>,
}

impl AnswerBody {
    pub(super) fn new(body: Outgoing, mut visit: Box<Visit>, until: Option<Instant>) -> Self {
        if body.is_end_stream() {
            visit.over();
        }
        Self {
            body: InTime::new(body, until),
            visit: Some(visit),
        }
    }

    /// A body that belongs to no visit any more.
    pub(super) fn alone(body: Outgoing) -> Self {
        Self {
            body: InTime::new(body, None),
            visit: None,
        }
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
        Pin::new(&mut self.body).poll_frame(cx).map(|mut frame| {
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
