//! Floor 6: one request's journey from a caller to Pleo and back: admit, obtain, clean, inject, forward; and once more
//! if Pleo says that the token is no longer good. What becomes of errors is not here (`edge::reply`).

pub mod allowance;
mod answer;
pub mod error;
#[cfg(test)]
mod fixture;
pub mod forward;
pub mod headers;
pub mod hops;
pub mod journey;
mod location;
pub mod replay;

use std::pin::pin;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use self::allowance::Allowance;
use self::error::{Malformed, ProxyError};
use self::forward::Forwarder;
use self::headers::{CleanHead, Framing};
use self::journey::{Journey, Stage};
use self::replay::{Upload, UploadBody};
use crate::access::denial::{Denial, Denied};
use crate::access::permit::Permit;
use crate::access::{PeerFacts, admit};
use crate::model::limits::Limits;
use crate::model::route::Route;
use crate::model::scope::ScopeSet;
use crate::model::snapshot::Snapshot;
use crate::net::body::{Outgoing, length};
use crate::net::client::{Client, SendError};
use crate::net::peer::Peer;
use crate::telemetry::metrics::{Metrics, ReplayReason, ScopeMode};
use crate::telemetry::traces::Span;
use crate::tokens::bearer::Bearer;
use crate::tokens::{ObtainError, Rejected, Tokens};

/// One thread's way to Pleo.
#[derive(Debug)]
pub struct Proxy {
    forwarder: Forwarder,
    tokens: Tokens,
    metrics: Metrics,
    allowance: Allowance,
}

/// A request, its head apart.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The configuration it began with.
    pub snapshot: &'a Snapshot,
    /// Who sent it.
    pub peer: &'a Peer,
    /// Its body.
    pub upload: &'a Upload,
    /// Its id, well formed.
    pub request_id: &'a HeaderValue,
    /// Its span, where there is a collector of traces.
    pub span: Option<&'a Span>,
    /// When it came.
    pub began: Instant,
}

impl Proxy {
    /// Sends over `client`, the thread's own, whose origin is Pleo's API. All threads share `allowance`.
    pub fn new(
        client: Client<UploadBody>,
        tokens: Tokens,
        metrics: Metrics,
        allowance: Allowance,
    ) -> Self {
        Self {
            forwarder: Forwarder::new(client),
            tokens,
            metrics,
            allowance,
        }
    }

    /// Pleo's answer to a request, ready to be handed on. `journey` learns on the way what is to be told about it.
    pub async fn answer(
        &self,
        head: Parts,
        call: Call<'_>,
        journey: &Journey,
    ) -> Result<Response<Outgoing>, ProxyError> {
        headers::check(&head)?;
        let permit = self.admit(&head, call, journey)?;
        let limits = &call.snapshot.limits;
        hold_to_limits(call.upload, permit.route(), limits)?;
        journey.seated(self.allowance.take(permit, call.snapshot, call.began)?);
        let carried = pin!(self.carry(head, permit, call, journey));
        match deadline(permit.route(), limits, call.began) {
            None => carried.await,
            Some(deadline) => match timeout_at(deadline, carried).await {
                Ok(outcome) => outcome,
                Err(_) => Err(out_of_time(call.upload, journey)),
            },
        }
    }

    fn admit<'j>(
        &self,
        head: &Parts,
        call: Call<'_>,
        journey: &'j Journey,
    ) -> Result<&'j Permit, ProxyError> {
        let door = call
            .snapshot
            .doors
            .get(call.peer.door)
            .ok_or(ProxyError::Internal)?;
        let facts = PeerFacts {
            door,
            unix_uid: call.peer.unix_uid,
            certificate_names: call.peer.certificate_names.as_deref(),
        };
        match admit(call.snapshot, head, facts) {
            Ok(permit) => {
                let permit = journey.admitted(permit);
                if let Some(observed) = permit.observed() {
                    self.lacked(permit.route(), observed, ScopeMode::Observe);
                }
                Ok(permit)
            }
            Err(denied) => {
                self.count_denial(&denied);
                journey.refused(&denied);
                Err(denied.into())
            }
        }
    }

    async fn carry(
        &self,
        head: Parts,
        permit: &Permit,
        call: Call<'_>,
        journey: &Journey,
    ) -> Result<Response<Outgoing>, ProxyError> {
        let framing = settled_framing(call.upload).await?;
        let bearer = self.obtain(permit).await?;
        // Only now is it known that there is such a tenant, and that its consent covers the route.
        if hops::end_here(&head) {
            return Ok(hops::answer(permit.route()));
        }
        let mut head = headers::clean(head, permit, framing, call.request_id);
        if let Some(span) = call.span {
            head.continue_trace(span);
        }
        let spare = call.upload.can_be_sent_again().then(|| head.clone());
        let sent = head.inject(&bearer, call.upload.body().borne_by(&bearer));
        let mut answer = match self.forwarder.send(sent, &bearer, journey).await {
            Ok(answer) => answer,
            Err(error) => {
                let repeated = self.repeat(error, spare.as_ref(), call.upload, &bearer, journey);
                Box::pin(repeated).await?
            }
        };
        if forward::doubts_token(&answer) {
            match Box::pin(self.tokens.rejected(permit, &bearer)).await? {
                Rejected::HandOn => {}
                Rejected::Replay(fresh) => {
                    drop(answer);
                    let reason = ReplayReason::Unauthorized;
                    let again = self.again(spare, call.upload, &fresh, (reason, journey));
                    answer = Box::pin(again).await?;
                }
            }
        }
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            self.allowance
                .heed(answer.headers(), permit.tenant(), Instant::now());
        }
        Ok(self.forwarder.hand_on(answer, permit, call.snapshot))
    }

    /// Sends again what Pleo itself says it did not act upon, and safe requests if all that went wrong is that Pleo had
    /// closed an idle link (requirement 45). Everything else keeps its error.
    async fn repeat(
        &self,
        error: ProxyError,
        spare: Option<&CleanHead>,
        upload: &Upload,
        bearer: &Bearer,
        journey: &Journey,
    ) -> Result<forward::Answer, ProxyError> {
        let (reason, spare) = match &error {
            ProxyError::Upstream(SendError::NotSent(_)) => (ReplayReason::NotProcessed, spare),
            ProxyError::Upstream(SendError::Stale(_)) => {
                let safe = spare.filter(|head| head.is_safe());
                (ReplayReason::StaleLink, safe)
            }
            _ => return Err(error),
        };
        match spare.filter(|_| upload.can_be_sent_again()) {
            Some(head) => {
                let again = self.again(Some(head.clone()), upload, bearer, (reason, journey));
                again.await
            }
            None => Err(error),
        }
    }

    /// At most once for each reason, and only if all of the request is still in hand (design.md R7).
    async fn again(
        &self,
        spare: Option<CleanHead>,
        upload: &Upload,
        bearer: &Bearer,
        (reason, journey): (ReplayReason, &Journey),
    ) -> Result<forward::Answer, ProxyError> {
        let spare = spare.filter(|_| upload.can_be_sent_again());
        let head = spare.ok_or(ProxyError::TokenRejected)?;
        self.metrics.replayed(reason);
        journey.sent_again();
        self.forwarder
            .send(
                head.inject(bearer, upload.body().borne_by(bearer)),
                bearer,
                journey,
            )
            .await
    }

    async fn obtain(&self, permit: &Permit) -> Result<Bearer, ProxyError> {
        let bearer = match self.tokens.obtain_now(permit) {
            Some(bearer) => bearer,
            None => Box::pin(self.tokens.obtain(permit)).await,
        };
        if let Err(ObtainError::ScopeMissing(missing)) = &bearer {
            self.lacked(permit.route(), missing, ScopeMode::Enforce);
        }
        bearer.map_err(ProxyError::NoBearer)
    }

    fn lacked(&self, route: &Route, scopes: &ScopeSet, mode: ScopeMode) {
        for scope in scopes.iter() {
            self.metrics.scope_denied(&route.name, scope, mode);
        }
    }

    fn count_denial(&self, denied: &Denied) {
        if let (Denial::ScopeForbidden(scopes), Some(route)) = (&denied.denial, &denied.route) {
            self.lacked(route, scopes, ScopeMode::Enforce);
        }
    }
}

/// Checked before a bearer is asked for: a body that is declared too large costs nothing.
fn hold_to_limits(upload: &Upload, route: &Route, limits: &Limits) -> Result<(), ProxyError> {
    let limit = route.max_request_body.unwrap_or(limits.max_request_body);
    let buffer = route.replay_buffer.unwrap_or(limits.replay_buffer);
    upload
        .limit(limit, buffer)
        .map_err(|_| ProxyError::BodyTooLarge)
}

/// How the body will be framed. One that is said to be empty may end after its head, on HTTP/2: its end is waited for. hyper
/// would not, and what comes in its place is to be known before Pleo acts (RFC 9113 section 8.1.1).
async fn settled_framing(upload: &Upload) -> Result<Framing, ProxyError> {
    let framing = upload.framing();
    if framing != Framing::Known || upload.body().size_hint().exact() != Some(0) {
        return Ok(framing);
    }
    let mut body = upload.body();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|fault| forward::body_fault(&fault))?;
        if length(&frame) > 0 {
            return Err(Malformed::Body.into());
        }
    }
    Ok(Framing::Empty)
}

/// Until when the whole of a request must be over; `None` is off.
pub fn deadline(route: &Route, limits: &Limits, began: Instant) -> Option<Instant> {
    let limit = route.timeout.unwrap_or(limits.request_timeout);
    (limit > Duration::ZERO).then(|| began + limit)
}

fn out_of_time(upload: &Upload, journey: &Journey) -> ProxyError {
    match journey.stage() {
        Stage::Obtaining => ProxyError::NoBearerInTime,
        Stage::Sent if upload.ended() => ProxyError::UpstreamTooSlow,
        Stage::Sent => ProxyError::BodyTooSlow,
    }
}
