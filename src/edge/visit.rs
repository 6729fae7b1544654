//! One request's visit, from its head to the end of its answer: what is counted and logged about it, exactly once however it
//! ends, even if the caller goes away or we panic.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, EXPECT};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, Version};
use tokio::time::Instant;

use super::answer_body::AnswerBody;
use super::reply::{About, Verdict};
use super::request_id::{trace_id, trace_parent};
use super::{Edge, Panicked};
use crate::access::permit::Permit;
use crate::clock::Timestamp;
use crate::model::snapshot::Snapshot;
use crate::net::body::Outgoing;
use crate::net::peer::Peer;
use crate::proxy::error::ProxyError;
use crate::proxy::headers::X_REQUEST_ID;
use crate::proxy::journey::Journey;
use crate::proxy::replay::Upload;
use crate::proxy::{Call, deadline};
use crate::telemetry::access_log::Line;
use crate::telemetry::chain::chain;
use crate::telemetry::meters::Answered;
use crate::telemetry::traces::Span;

/// What is logged for a request that nobody waited for.
const CALLER_GONE: &str = "caller-gone";
/// What is logged for an answer that broke off at Pleo.
const CUT_OFF: &str = "answer-cut-off";
/// Ends the link after an answer.
const CLOSE: HeaderValue = HeaderValue::from_static("close");
/// nginx's number for it: no answer was sent.
const NO_ANSWER: u16 = 499;

#[derive(Debug)]
pub(super) struct Visit {
    edge: Rc<Edge>,
    pub(super) snapshot: Arc<Snapshot>,
    upload: Upload,
    pub(super) journey: Journey,
    request_id: HeaderValue,
    trace_parent: Option<HeaderValue>,
    span: Option<Box<Span>>,
    method: Method,
    version: Version,
    expects_continue: bool,
    came_at: Timestamp,
    began: Instant,
    pub(super) crowded: bool,
    answered: Option<(StatusCode, Duration)>,
    error: &'static str,
    bytes_out: u64,
    over: bool,
}

impl Visit {
    pub(super) fn begin(
        edge: Rc<Edge>,
        head: &Parts,
        snapshot: Arc<Snapshot>,
        upload: Upload,
    ) -> Box<Self> {
        let came_at = edge.clock.wall();
        let others = edge.metrics.in_flight().inc();
        let trace_parent = trace_parent(&head.headers);
        let span = edge
            .tracer
            .as_ref()
            .map(|tracer| Box::new(tracer.begin(trace_parent.as_ref(), &head.headers, came_at)));
        Box::new(Self {
            crowded: usize::try_from(others)
                .is_ok_and(|others| others >= snapshot.limits.max_in_flight),
            request_id: edge.ids.of(&head.headers, came_at),
            trace_parent,
            span,
            method: head.method.clone(),
            version: head.version,
            expects_continue: head.headers.contains_key(EXPECT),
            came_at,
            began: Instant::now(),
            journey: Journey::default(),
            answered: None,
            error: "",
            bytes_out: 0,
            over: false,
            edge,
            snapshot,
            upload,
        })
    }

    pub(super) fn call<'a>(&'a self, peer: &'a Peer) -> Call<'a> {
        Call {
            snapshot: &self.snapshot,
            peer,
            upload: &self.upload,
            request_id: &self.request_id,
            span: self.span.as_deref(),
            began: self.began,
        }
    }

    /// Hands Pleo's answer on.
    pub(super) fn hand_on(mut self: Box<Self>, answer: Response<Outgoing>) -> Response<AnswerBody> {
        self.answered = Some((answer.status(), self.began.elapsed()));
        let (mut head, body) = answer.into_parts();
        head.headers
            .entry(X_REQUEST_ID)
            .or_insert_with(|| self.request_id.clone());
        if self.version < Version::HTTP_2 && !self.upload.has_ended_beyond_doubt() {
            head.headers.insert(CONNECTION, CLOSE);
        }
        let route = self.journey.permit().map(Permit::route);
        let until = route.and_then(|route| deadline(route, &self.snapshot.limits, self.began));
        Response::from_parts(head, AnswerBody::new(body, self, until))
    }

    /// Answers with an error of our own.
    pub(super) async fn refuse(mut self: Box<Self>, error: ProxyError) -> Response<AnswerBody> {
        let verdict = Verdict::on(&error);
        self.error = verdict.code.as_str();
        self.say(&error);
        let close = verdict.poisons_link || !self.is_read_up().await;
        let route = self.journey.route();
        let reply = verdict.reply(About {
            request_id: &self.request_id,
            method: &self.method,
            version: self.version,
            tenant: self.journey.tenant().map(AsRef::as_ref),
            route: route.map(|route| route.name.as_ref()),
            close,
        });
        self.answered = Some((reply.status(), self.began.elapsed()));
        reply.map(|body| AnswerBody::new(body, self, None))
    }

    /// True if the link can carry another request after this. A caller that waits for `100 Continue` is not made to send
    /// what nobody wants, and HTTP/2 resets the stream by itself.
    async fn is_read_up(&self) -> bool {
        if self.version == Version::HTTP_2 {
            return true;
        }
        if self.expects_continue && self.upload.received() == 0 {
            return false;
        }
        self.upload.discard().await && self.upload.has_ended_beyond_doubt()
    }

    /// For the operator: the whole chain of causes, which the caller is not told.
    fn say(&self, error: &ProxyError) {
        let request_id = self.request_id();
        match error {
            ProxyError::Internal => tracing::error!(request_id, error = %chain(error), "a bug"),
            ProxyError::Upstream(_) | ProxyError::AmbiguousAnswer | ProxyError::UpstreamTooSlow => {
                tracing::warn!(request_id, error = %chain(error), "no answer from Pleo");
            }
            _ => tracing::debug!(request_id, error = %chain(error), "refused"),
        }
    }

    pub(super) fn request_id(&self) -> &str {
        self.request_id.to_str().unwrap_or_default()
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.bytes_out += bytes as u64;
    }

    /// The answer has come to its end.
    pub(super) fn over(&mut self) {
        self.over = true;
    }

    /// The answer broke off.
    pub(super) fn cut_off(&mut self) {
        self.error = CUT_OFF;
        self.over = true;
    }

    /// The status and error to report: what was answered, or why nothing was.
    fn outcome(&self) -> (StatusCode, &'static str, Duration) {
        match self.answered {
            Some((status, until_head)) if self.over => (status, self.error, until_head),
            Some((status, until_head)) => (status, CALLER_GONE, until_head),
            None if std::thread::panicking() => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                self.began.elapsed(),
            ),
            None => {
                let status = StatusCode::from_u16(NO_ANSWER).unwrap_or(StatusCode::BAD_REQUEST);
                (status, CALLER_GONE, self.began.elapsed())
            }
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.edge.metrics.in_flight().dec();
        if std::thread::panicking() {
            self.edge.remember(Panicked {
                request_id: self.request_id.clone(),
                version: self.version,
                close: !self.upload.ended(),
            });
        }
        let (status, error, until_head) = self.outcome();
        let duration = self.began.elapsed();
        let upstream = self.journey.upstream();
        let overhead = until_head.saturating_sub(upstream.unwrap_or_default());
        let route = self.journey.route();
        self.edge.count(Answered {
            route: route.map(|route| &route.name),
            method: &self.method,
            status,
            error,
            duration,
            upstream,
            overhead,
        });
        let (span, is_logged) = (self.span.take(), self.snapshot.access_log);
        if span.is_none() && !is_logged {
            return;
        }
        let own_trace = span.as_ref().map(|span| span.trace_id());
        let line = Line {
            time: self.came_at,
            request_id: self.request_id(),
            trace_id: own_trace
                .as_deref()
                .or_else(|| self.trace_parent.as_ref().and_then(trace_id)),
            caller: self.journey.caller().map(AsRef::as_ref),
            tenant: self.journey.tenant().map(AsRef::as_ref),
            route: route.map(|route| route.name.as_ref()),
            method: self.method.as_str(),
            path_template: route.map(|route| route.template.as_str()),
            operation: self.journey.operation(&self.method),
            status: status.as_u16(),
            error: (!error.is_empty()).then_some(error),
            bytes_in: self.upload.received(),
            bytes_out: self.bytes_out,
            duration_ms: duration,
            upstream_ms: upstream,
            overhead_ms: overhead,
            generation: self.journey.generation(),
            replayed: self.journey.replayed(),
        };
        if is_logged {
            self.edge.log.add(&line);
        }
        if let Some(span) = span {
            span.end(&line, until_head);
        }
    }
}
