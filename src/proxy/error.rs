//! Why a request could not be served: one variant for each decision the reply has to make. Texts, codes and statuses are not
//! here (`edge::reply`).

use std::time::Duration;

use crate::access::denial::Denied;
use crate::net::client::SendError;
use crate::tokens::ObtainError;

/// Why there is no answer of Pleo's to hand on.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The caller may not do this, or it is not clear what it wants.
    #[error("the call was not admitted")]
    Denied(#[source] Box<Denied>),
    /// The caller's request is not well formed.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Our own `Via` came back.
    #[error("the request has passed this gateway already")]
    Loop,
    /// The caller's body is over the route's limit.
    #[error("the request body is larger than the route allows")]
    BodyTooLarge,
    /// The caller's body did not come in time.
    #[error("the request body came too slowly")]
    BodyTooSlow,
    /// There is no bearer to send it with.
    #[error("no bearer could be obtained")]
    NoBearer(#[source] ObtainError),
    /// Waiting for a bearer took all the time there was.
    #[error("no bearer came in time")]
    NoBearerInTime,
    /// Pleo refused the token, and the request could not be sent again. It was not acted upon.
    #[error("the token was refused and the body cannot be sent again")]
    TokenRejected,
    /// Pleo could not be asked, or did not answer well.
    #[error("the upstream gave no answer")]
    Upstream(#[source] SendError),
    /// Pleo's answer has two readings (RFC 9112 section 6.3).
    #[error("the upstream's answer is framed ambiguously")]
    AmbiguousAnswer,
    /// The time for the whole request was used up while Pleo had it.
    #[error("the upstream used up the time for the request")]
    UpstreamTooSlow,
    /// Too many at once, or too often.
    #[error("used up: {limit}")]
    RateLimited {
        /// What is used up.
        limit: Limit,
        /// When to try again.
        retry_after: Duration,
    },
    /// The whole gateway is at its limit.
    #[error("too many requests at once")]
    Overloaded,
    /// A bug of ours.
    #[error("a bug: the request ended in a panic")]
    Internal,
}

/// A limit on calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `rate` of the caller.
    CallerRate,
    /// `max_in_flight` of the caller.
    CallerAtOnce,
    /// `rate` of the tenant, or the caller's share of it.
    TenantRate,
    /// `rate` of the route.
    RouteRate,
    /// `max_in_flight` of the route.
    RouteAtOnce,
    /// Pleo's own, as it said for this tenant.
    Pleo,
}

impl Limit {
    /// For callers, and for the log.
    pub fn words(self) -> &'static str {
        match self {
            Self::CallerRate => "the rate of this caller",
            Self::CallerAtOnce => "the calls at once of this caller",
            Self::TenantRate => "the rate of this tenant",
            Self::RouteRate => "the rate of this route",
            Self::RouteAtOnce => "the calls at once of this route",
            Self::Pleo => "what Pleo allows for this tenant",
        }
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.words())
    }
}

/// What is not well formed about a request, beyond what `access` looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// `Transfer-Encoding` other than `chunked`, or together with a length, or several lengths.
    #[error("the length of the body is ambiguous")]
    Framing,
    /// `Expect` other than `100-continue`.
    #[error("the expectation is not known")]
    Expectation,
    /// The body broke off, or is not framed as HTTP wants it.
    #[error("the request body broke off")]
    Body,
}

impl From<Denied> for ProxyError {
    fn from(denied: Denied) -> Self {
        Self::Denied(Box::new(denied))
    }
}

impl From<ObtainError> for ProxyError {
    fn from(error: ObtainError) -> Self {
        Self::NoBearer(error)
    }
}
