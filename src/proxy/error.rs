//! Why a request could not be served: one variant for each decision that the reply has to make. Texts, codes and statuses
//! are not here (`edge::reply`).

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
    #[error("a rate or a number of calls at once is used up")]
    RateLimited {
        /// When to come again.
        retry_after: Duration,
    },
    /// The whole gateway has enough to do.
    #[error("too many requests at once")]
    Overloaded,
    /// A bug of ours.
    #[error("a bug: the request ended in a panic")]
    Internal,
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
