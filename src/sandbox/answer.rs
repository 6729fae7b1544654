//! A handler's answer before it goes on the wire, and the body that does: whole, byte by byte, or filler.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use serde_json::{Value, json};
use tokio::time::{Sleep, sleep};

/// A whole answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// A later one replaces an earlier one of its name.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Bytes,
}

impl Answer {
    /// No body.
    pub(super) fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// A body of that media type.
    pub(super) fn text(status: StatusCode, media: &'static str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        Self {
            body,
            ..Self::empty(status).with(CONTENT_TYPE, media)
        }
    }

    /// JSON, as most of Pleo's endpoints mark it.
    pub(super) fn json(status: StatusCode, value: &Value) -> Self {
        Self::text(status, "application/json;charset=UTF-8", value.to_string())
    }

    /// An error of the OAuth endpoints (RFC 6749 section 5.2).
    pub(super) fn oauth_error(status: StatusCode, error: &str, description: &str) -> Self {
        let body = json!({"error": error, "error_description": description});
        Self::json(status, &body).with(CACHE_CONTROL, "no-store")
    }

    /// An error of the API.
    pub(super) fn api_error(status: StatusCode, kind: &str, message: &str) -> Self {
        Self::json(status, &json!({"type": kind, "message": message}))
    }

    /// Sends the browser on.
    pub(super) fn see_other(location: &str) -> Self {
        let mut answer = Self::empty(StatusCode::SEE_OTHER).with(CACHE_CONTROL, "no-store");
        if let Ok(location) = HeaderValue::from_str(location) {
            answer.headers.push((LOCATION, location));
        }
        answer
    }

    /// The same with one more header.
    pub(super) fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }

    /// With where a new thing is: 201.
    pub(super) fn made_at(mut self, place: &str) -> Self {
        self.status = StatusCode::CREATED;
        let place = HeaderValue::from_str(place).ok();
        self.headers.extend(place.map(|place| (LOCATION, place)));
        self
    }

    /// As a response, with another body.
    pub(super) fn carrying(self, body: Wire) -> Response<Wire> {
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<Answer> for Response<Wire> {
    fn from(mut answer: Answer) -> Self {
        let body = Wire::Whole(std::mem::take(&mut answer.body));
        answer.carrying(body)
    }
}

/// A body on its way to the client.
pub(super) enum Wire {
    /// All at once.
    Whole(Bytes),
    /// One byte after each pause.
    Drip {
        left: Bytes,
        every: Duration,
        pause: Pin<Box<Sleep>>,
    },
    /// That many meaningless bytes.
    Filler(u64),
}

const FILLER: &[u8] = &[b'x'; 16 * 1024];

impl Wire {
    /// One byte of `left` every `every`.
    pub(super) fn drip(left: Bytes, every: Duration) -> Self {
        let pause = Box::pin(sleep(every));
        Self::Drip { left, every, pause }
    }

    fn left(&self) -> u64 {
        match self {
            Self::Whole(bytes) | Self::Drip { left: bytes, .. } => bytes.len() as u64,
            Self::Filler(left) => *left,
        }
    }
}

impl Body for Wire {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left() == 0 {
            return Poll::Ready(None);
        }
        let chunk = match &mut *self {
            Self::Whole(bytes) => std::mem::take(bytes),
            Self::Drip { left, every, pause } => {
                ready!(pause.as_mut().poll(cx));
                *pause = Box::pin(sleep(*every));
                left.split_to(1)
            }
            Self::Filler(left) => {
                let size = FILLER
                    .len()
                    .min(usize::try_from(*left).unwrap_or(FILLER.len()));
                *left -= size as u64;
                Bytes::from_static(&FILLER[..size])
            }
        };
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}
