//! Sorts the outcomes of calls to the token endpoint by what they prove (design.md R4). Raw bodies end here: above this file
//! there are only tokens in `Secret`s and words of our own.

use std::fmt;
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use jiff::fmt::rfc2822::DateTimeParser;

use super::answer::{self, TokenAnswer};
use super::wire::{Answer, LostCause, NotSentCause, Reply};
use crate::clock::Timestamp;

/// No `Retry-After` keeps us away for longer.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);

/// What came of a refresh.
#[derive(Clone, Debug)]
pub enum Refreshed {
    /// A new pair; the old one is dead.
    Pair(TokenAnswer),
    /// The owner's last check said no: nothing was sent.
    Withheld,
    /// No byte left.
    NotSent(NotSentCause),
    /// Pleo refused the refresh token.
    Rejected(OAuthCode),
    /// Pleo refused us, the OAuth client: an operator's fault, no connection's.
    ClientRejected(OAuthCode),
    /// Pleo refused for now (429): not applied.
    RefusedForNow {
        /// How long Pleo asked us to wait, an hour at most.
        retry_after: Option<Duration>,
    },
    /// Sent, and nothing came back that could be used: whether it was applied is not known.
    NoPair(NoPairCause),
}

/// Why a code did not become a pair. The code is not sent again in any case (requirement 90).
#[derive(Clone, Debug, thiserror::Error)]
pub enum ExchangeError {
    /// No byte left.
    #[error("the request was not sent")]
    NotSent(#[source] NotSentCause),
    /// Pleo refused the code: too old, used, or not meant for us.
    #[error("Pleo refused the code ({0})")]
    Rejected(OAuthCode),
    /// Pleo refused us, the OAuth client: an operator's fault.
    #[error("Pleo refused the OAuth client ({0})")]
    ClientRejected(OAuthCode),
    /// Pleo refused for now (429).
    #[error("Pleo refused for now")]
    RefusedForNow {
        /// How long Pleo asked us to wait, an hour at most.
        retry_after: Option<Duration>,
    },
    /// Sent, and nothing came back that could be used.
    #[error("Pleo gave no tokens")]
    NoPair(#[source] NoPairCause),
}

/// The error codes of RFC 6749 section 5.2, and of Pleo, that prove something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the word itself")]
pub enum OAuthCode {
    InvalidGrant,
    InvalidToken,
    InvalidRefreshToken,
    InvalidClient,
    UnauthorizedClient,
}

/// Why a call that was sent brought nothing that could be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPairCause {
    /// An answer of this status, which proves nothing.
    #[error("Pleo answered {0}")]
    Status(u16),
    /// A good status, and a body without a usable pair.
    #[error("Pleo's answer could not be read")]
    Unreadable,
    /// No answer, or not a whole one.
    #[error(transparent)]
    Lost(#[from] LostCause),
}

impl OAuthCode {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidToken => "invalid_token",
            Self::InvalidRefreshToken => "invalid_refresh_token",
            Self::InvalidClient => "invalid_client",
            Self::UnauthorizedClient => "unauthorized_client",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [
            Self::InvalidGrant,
            Self::InvalidToken,
            Self::InvalidRefreshToken,
            Self::InvalidClient,
            Self::UnauthorizedClient,
        ]
        .into_iter()
        .find(|code| code.as_str() == word)
    }
}

impl fmt::Display for OAuthCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What happened in a few words, for logs and the audit: nothing secret, and nothing of Pleo's body.
impl fmt::Display for Refreshed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pair(_) => f.write_str("a new pair"),
            Self::Withheld => f.write_str("withheld by the last check"),
            Self::NotSent(cause) => cause.fmt(f),
            Self::Rejected(code) => write!(f, "Pleo refused the refresh token ({code})"),
            Self::ClientRejected(code) => write!(f, "Pleo refused the OAuth client ({code})"),
            Self::RefusedForNow { .. } => f.write_str("Pleo refused for now (429)"),
            Self::NoPair(cause) => cause.fmt(f),
        }
    }
}

impl From<Result<TokenAnswer, ExchangeError>> for Refreshed {
    fn from(came: Result<TokenAnswer, ExchangeError>) -> Self {
        match came {
            Ok(pair) => Self::Pair(pair),
            Err(ExchangeError::NotSent(NotSentCause::Withheld)) => Self::Withheld,
            Err(ExchangeError::NotSent(cause)) => Self::NotSent(cause),
            Err(ExchangeError::Rejected(code)) => Self::Rejected(code),
            Err(ExchangeError::ClientRejected(code)) => Self::ClientRejected(code),
            Err(ExchangeError::RefusedForNow { retry_after }) => {
                Self::RefusedForNow { retry_after }
            }
            Err(ExchangeError::NoPair(cause)) => Self::NoPair(cause),
        }
    }
}

/// What the reply to a request at the token endpoint proves.
pub(super) fn sort(reply: Reply, now: Timestamp) -> Result<TokenAnswer, ExchangeError> {
    match reply {
        Reply::NotSent(cause) => Err(ExchangeError::NotSent(cause)),
        Reply::Unanswered(cause) => Err(ExchangeError::NoPair(cause.into())),
        Reply::Answered(answer) if answer.status == StatusCode::TOO_MANY_REQUESTS => {
            Err(ExchangeError::RefusedForNow {
                retry_after: retry_after(&answer.headers, now),
            })
        }
        Reply::Answered(answer) => sort_answer(&answer),
    }
}

fn sort_answer(answer: &Answer) -> Result<TokenAnswer, ExchangeError> {
    let body = match &answer.body {
        Ok(body) => body,
        Err(cause) => return Err(ExchangeError::NoPair((*cause).into())),
    };
    if answer.status.is_success() {
        return answer::pair(body).ok_or(ExchangeError::NoPair(NoPairCause::Unreadable));
    }
    let refusal = match answer.status {
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED => answer::error_code(body),
        _ => None,
    };
    Err(match refusal.as_deref().and_then(OAuthCode::parse) {
        Some(code @ (OAuthCode::InvalidClient | OAuthCode::UnauthorizedClient)) => {
            ExchangeError::ClientRejected(code)
        }
        Some(code) => ExchangeError::Rejected(code),
        None => ExchangeError::NoPair(NoPairCause::Status(answer.status.as_u16())),
    })
}

/// `Retry-After` in seconds or as an HTTP date (RFC 9110 section 10.2.3).
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if let Ok(seconds) = text.parse() {
        Duration::from_secs(seconds)
    } else {
        let date = DateTimeParser::new().parse_timestamp(text).ok()?;
        now.until(Timestamp(date.as_microsecond()))
    };
    Some(wait.min(LONGEST_RETRY_AFTER))
}
