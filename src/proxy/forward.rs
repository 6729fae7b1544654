//! Sending a request to Pleo and taking its answer. Redirects are passed on, never followed; nothing is sent again from
//! here. Links and pools are not here (`net::client`).

use http::header::WWW_AUTHENTICATE;
use http::{Request, Response, StatusCode};
use tokio::time::Instant;

use super::answer;
use super::error::{Malformed, ProxyError};
use super::journey::Journey;
use super::location;
use super::replay::{UploadBody, UploadFault};
use crate::access::permit::Permit;
use crate::model::snapshot::Snapshot;
use crate::net::BoxError;
use crate::net::body::{IdleTimeout, Outgoing};
use crate::net::client::{Client, SendError};
use crate::net::upstream_body::UpstreamBody;
use crate::tokens::bearer::Bearer;

/// Pleo's answer as it came.
pub(super) type Answer = Response<UpstreamBody>;

/// One thread's links to Pleo's API.
#[derive(Debug)]
pub(super) struct Forwarder {
    client: Client<UploadBody>,
}

impl Forwarder {
    pub(super) fn new(client: Client<UploadBody>) -> Self {
        Self { client }
    }

    /// Sends, and waits for the head of the answer.
    pub(super) async fn send(
        &self,
        request: Request<UploadBody>,
        bearer: &Bearer,
        journey: &Journey,
    ) -> Result<Answer, ProxyError> {
        journey.sent_with(bearer);
        let sent = Instant::now();
        let answer = self.client.send(request).await.map_err(failure)?;
        journey.answered_after(sent.elapsed());
        answer::check(&answer)?;
        Ok(answer)
    }

    /// The answer as the caller gets it.
    pub(super) fn hand_on(
        &self,
        answer: Answer,
        permit: &Permit,
        snapshot: &Snapshot,
    ) -> Response<Outgoing> {
        let (mut head, body) = answer.into_parts();
        answer::clean(&mut head.headers, permit.route().allow_set_cookie);
        location::rewrite(&mut head.headers, self.client.origin(), permit, snapshot);
        let body = IdleTimeout::new(body, snapshot.limits.body_idle_timeout);
        Response::from_parts(head, Outgoing::Stream(body))
    }
}

/// True for a 401 that may be about the token; one that is about scopes never leads to a refresh (design.md R7).
pub fn doubts_token<B>(answer: &Response<B>) -> bool {
    let about_scope = |value: &http::HeaderValue| {
        let needle = b"insufficient_scope";
        value
            .as_bytes()
            .windows(needle.len())
            .any(|window| window == needle)
    };
    answer.status() == StatusCode::UNAUTHORIZED
        && !answer
            .headers()
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .any(about_scope)
}

/// What is wrong with the caller's body is the caller's fault, all else is Pleo's.
fn failure(error: SendError) -> ProxyError {
    match error {
        SendError::RequestBody(cause) => body_fault(&cause),
        SendError::Dial(_)
        | SendError::Overloaded
        | SendError::NotSent(_)
        | SendError::Broken(_)
        | SendError::Stale(_)
        | SendError::Invalid(_)
        | SendError::SwitchedProtocols
        | SendError::Timeout => ProxyError::Upstream(error),
    }
}

pub(super) fn body_fault(cause: &BoxError) -> ProxyError {
    match cause.downcast_ref() {
        Some(UploadFault::TooLarge) => ProxyError::BodyTooLarge,
        Some(UploadFault::TooSlow) => ProxyError::BodyTooSlow,
        Some(UploadFault::BrokeOff) => Malformed::Body.into(),
        Some(UploadFault::Superseded) | None => ProxyError::Internal,
    }
}
