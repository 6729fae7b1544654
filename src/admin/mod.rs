//! Floor 7: the operators' door: health, metrics, connections, reload (contract.md section 5). Reporting health needs no
//! answer from Pleo; a secret is never shown.

mod connections;
mod health;
mod openapi;
pub mod token;
mod wish;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::drain::Tasks;
use crate::model::snapshot::Snapshot;
use crate::net::body::MessageBody;
use crate::refresh::policy::Policy;
use crate::secret::Secret;
use crate::store::ConnectionStore;
use crate::telemetry::metrics::Metrics;
use crate::tokens::{Tokens, acting};

/// An answer of this door.
pub type Answer = Response<Full<Bytes>>;

/// Who acts through this door, for the audit.
const WHO: &str = "admin";

/// A wish for a reload.
#[derive(Debug)]
pub struct ReloadWish {
    /// Whose it is, for the audit.
    pub who: &'static str,
    /// Where to report how it went: what needs a restart, by name, or every problem.
    pub tell: oneshot::Sender<Result<Vec<String>, String>>,
}

/// The operators' door.
#[derive(Debug)]
pub struct Admin {
    /// Fresh bearers, and what operators do to connections.
    pub tokens: Tokens,
    /// Asked whether it answers, for readiness.
    pub store: Arc<dyn ConnectionStore>,
    /// `[refresh]`, to say when a refresh is due.
    pub policy: Policy,
    /// What is counted.
    pub metrics: Metrics,
    /// What operators present; a reload reads it again.
    pub token: Arc<ArcSwap<Secret>>,
    /// False beyond loopback and without TLS: then only health and metrics are served.
    pub serves_everything: bool,
    /// Where the process stands.
    pub stage: Arc<Stage>,
    /// Whose company is pinned, and what a link asks for.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// Where browsers reach us: an origin without a trailing slash.
    pub public_url: String,
    /// To whoever reloads.
    pub reload: mpsc::Sender<ReloadWish>,
    /// Wishes are carried out here, so that shutdown waits for them.
    pub tasks: Tasks,
}

/// Where the process stands in its life.
#[derive(Debug, Default)]
pub struct Stage {
    started: AtomicBool,
    draining: AtomicBool,
}

impl Stage {
    /// Every door is open.
    pub fn start(&self) {
        self.started.store(true, Ordering::Release);
    }

    /// The end has begun: not ready any more.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// True once every door is open.
    pub fn has_started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }

    /// True once the end has begun.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}

impl Admin {
    /// Answers one request.
    pub async fn answer<B: MessageBody>(&self, request: Request<B>) -> Answer {
        let path = request.uri().path();
        match (request.method(), path) {
            (&Method::GET | &Method::HEAD, "/livez") => text(StatusCode::OK, "ok\n"),
            (&Method::GET | &Method::HEAD, "/readyz") => self.ready(request.uri().query()).await,
            (&Method::GET | &Method::HEAD, "/startupz") => self.started(),
            (&Method::GET | &Method::HEAD, "/metrics") => self.show_metrics(),
            (_, "/livez" | "/readyz" | "/startupz" | "/metrics") => wrong_method("GET, HEAD"),
            _ if !self.serves_everything => problem(
                StatusCode::NOT_FOUND,
                "beyond loopback and without TLS this listener serves health and metrics only",
            ),
            _ if !self.is_operator(&request) => unauthorised(),
            (&Method::POST, "/-/reload") => self.reload().await,
            (_, "/-/reload") => wrong_method("POST"),
            (&Method::GET, "/openapi.json") => json(StatusCode::OK, &openapi::document()),
            (_, "/openapi.json") => wrong_method("GET"),
            _ => match path.strip_prefix("/v1/connections") {
                Some(rest) => {
                    let rest = rest.to_owned();
                    acting::on_behalf_of(WHO, self.connections(&rest, request)).await
                }
                None => problem(StatusCode::NOT_FOUND, "no such page; see /openapi.json"),
            },
        }
    }

    /// Carries a wish out to its end, even if whoever made it goes away. `None` if it ended in a panic.
    async fn carried_out<T: Send + 'static>(
        &self,
        wish: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let wish = acting::on_behalf_of(WHO, wish);
        self.tasks.spawn(wish).await.ok()
    }

    fn is_operator<B>(&self, request: &Request<B>) -> bool {
        let presented = request
            .headers()
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let key = presented
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        key.is_some_and(|(_, key)| Secret::new(key.trim()) == **self.token.load())
    }

    fn show_metrics(&self) -> Answer {
        let mut answer = text(StatusCode::OK, self.metrics.encode());
        let open_metrics =
            HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
        answer.headers_mut().insert(CONTENT_TYPE, open_metrics);
        answer
    }

    async fn reload(&self) -> Answer {
        let (tell, told) = oneshot::channel();
        let done = match self.reload.send(ReloadWish { who: WHO, tell }).await {
            Ok(()) => told.await.ok(),
            Err(_) => None,
        };
        match done {
            Some(Ok(restart)) if restart.is_empty() => text(StatusCode::OK, "reloaded\n"),
            Some(Ok(restart)) => text(
                StatusCode::OK,
                format!("reloaded; needs a restart: {}\n", restart.join(", ")),
            ),
            Some(Err(problems)) => text(StatusCode::UNPROCESSABLE_ENTITY, problems),
            None => problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "the gateway is shutting down",
            ),
        }
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    answer(status, "text/plain; charset=utf-8", body.into())
}

fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(body) => answer(status, "application/json", body.into()),
        Err(_) => problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the answer could not be written",
        ),
    }
}

/// RFC 9457.
fn problem(status: StatusCode, detail: &str) -> Answer {
    let title = status.canonical_reason().unwrap_or("Error");
    let body = serde_json::json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
    answer(status, "application/problem+json", body.to_string().into())
}

fn wrong_method(allowed: &'static str) -> Answer {
    let mut answer = problem(
        StatusCode::METHOD_NOT_ALLOWED,
        "this is asked with another method",
    );
    answer
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

fn unauthorised() -> Answer {
    let mut answer = problem(
        StatusCode::UNAUTHORIZED,
        "present the admin token as `Authorization: Bearer`; its file is [admin].token",
    );
    answer.headers_mut().insert(
        WWW_AUTHENTICATE,
        HeaderValue::from_static("Bearer realm=\"pleo-gateway admin\""),
    );
    answer
}

fn answer(status: StatusCode, kind: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
