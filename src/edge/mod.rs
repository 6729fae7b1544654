//! Floor 7: the callers' door, on one thread: a request gets its id and its snapshot, goes through the proxy, and is
//! answered, counted and logged. Listening is not here (`net::server`), nor is what happens on the way (`proxy`).

mod answer_body;
pub mod code;
mod in_time;
pub mod reply;
mod request_id;
mod visit;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;
use http::{HeaderValue, Method, Response, Version};

pub use self::answer_body::AnswerBody;
use self::reply::{About, Verdict};
use self::request_id::RequestIds;
use self::visit::Visit;
use crate::clock::SharedClock;
use crate::model::snapshot::Snapshot;
use crate::net::body::Outgoing;
use crate::net::peer::{Arrival, Peer};
use crate::proxy::Proxy;
use crate::proxy::error::ProxyError;
use crate::proxy::replay::Upload;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::meters::{Answered, RequestMeters};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Tracer;

/// One thread's door for callers.
pub struct Edge {
    proxy: Proxy,
    snapshots: RefCell<Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
    clock: SharedClock,
    metrics: Metrics,
    meters: RefCell<RequestMeters>,
    log: AccessLog,
    tracer: Option<Tracer>,
    ids: RequestIds,
    panicked: RefCell<Option<Panicked>>,
}

/// A request that ended in a panic, until its answer is made.
struct Panicked {
    request_id: HeaderValue,
    version: Version,
    /// Not all of it was read.
    close: bool,
}

/// What a door is made from.
#[derive(Debug)]
pub struct Parts {
    /// The way to Pleo, this thread's own.
    pub proxy: Proxy,
    /// Where the configuration is published.
    pub snapshots: Arc<ArcSwap<Snapshot>>,
    /// For the log's times.
    pub clock: SharedClock,
    /// What is counted.
    pub metrics: Metrics,
    /// This thread's end of the access log.
    pub log: AccessLog,
    /// Where there is a collector of traces.
    pub tracer: Option<Tracer>,
}

impl Edge {
    /// Must stay on its thread.
    pub fn new(parts: Parts) -> Rc<Self> {
        Rc::new(Self {
            proxy: parts.proxy,
            snapshots: RefCell::new(Cache::new(parts.snapshots)),
            clock: parts.clock,
            meters: RefCell::new(RequestMeters::new(parts.metrics.clone())),
            metrics: parts.metrics,
            log: parts.log,
            tracer: parts.tracer,
            ids: RequestIds::new(),
            panicked: RefCell::new(None),
        })
    }

    /// Answers one request. The configuration it began with holds to the end of its answer.
    pub async fn serve(self: Rc<Self>, arrival: Arrival) -> Response<AnswerBody> {
        let snapshot = self.snapshots.borrow_mut().load().clone();
        let (request, peer) = arrival.into_parts();
        let (head, body) = request.into_parts();
        let upload = Upload::new(body, snapshot.limits.body_idle_timeout);
        let visit = Visit::begin(self.clone(), &head, snapshot, upload);
        match self.outcome(head, &peer, &visit).await {
            Ok(answer) => visit.hand_on(answer),
            Err(error) => Box::pin(visit.refuse(error)).await,
        }
    }

    async fn outcome(
        &self,
        head: http::request::Parts,
        peer: &Peer,
        visit: &Visit,
    ) -> Result<Response<Outgoing>, ProxyError> {
        if visit.crowded {
            return Err(ProxyError::Overloaded);
        }
        self.proxy
            .answer(head, visit.call(peer), &visit.journey)
            .await
    }

    /// The answer in place of one that was lost to a panic; the request was counted and logged as its visit ended.
    pub fn panicked(&self) -> Response<AnswerBody> {
        let known = self.panicked.borrow_mut().take();
        let panicked = known.unwrap_or_else(|| Panicked {
            request_id: self.ids.make(self.clock.wall()),
            version: Version::HTTP_11,
            close: true,
        });
        let reply = Verdict::on(&ProxyError::Internal).reply(About {
            request_id: &panicked.request_id,
            method: &Method::GET,
            version: panicked.version,
            tenant: None,
            route: None,
            close: panicked.close,
        });
        reply.map(AnswerBody::alone)
    }

    fn remember(&self, panicked: Panicked) {
        tracing::error!(
            request_id = panicked.request_id.to_str().unwrap_or_default(),
            "a request ended in a panic"
        );
        *self.panicked.borrow_mut() = Some(panicked);
    }

    fn count(&self, answered: Answered<'_>) {
        // Unavailable only if counting itself panicked.
        if let Ok(mut meters) = self.meters.try_borrow_mut() {
            meters.count(answered);
        }
    }
}

impl std::fmt::Debug for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edge")
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, F: Future>(_: fn(A, B) -> F) -> usize {
        size_of::<F>()
    }

    /// hyper moves it, and keeps one for each link.
    #[test]
    fn the_future_of_a_request_is_small() {
        let size = size_of_future(Edge::serve);
        assert!(size < 5120, "{size} bytes");
    }
}
