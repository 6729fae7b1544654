//! "Who am I" at Pleo's API: the company, the scopes, and whether a credential is alive. This is the oracle of design.md R5,
//! so only what Pleo itself says for certain counts; everything else is silence. What follows from it is not decided here.

use std::future::ready;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AGE, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::Pleo;
use super::wire::{Answer, Errand, LostCause, NotSentCause, Reply};
use crate::model::ids::CompanyId;
use crate::model::scope::ScopeSet;
use crate::secret::Secret;

/// What is presented to the API.
#[derive(Clone, Copy, Debug)]
pub enum Credential<'a> {
    /// An access token.
    Bearer(&'a Secret),
    /// An API key: Basic, the key as user name, no password.
    Key(&'a Secret),
}

/// How Pleo saw us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod {
    /// By an access token.
    OAuth2,
    /// By an API key.
    ApiKey,
}

/// Who Pleo says we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// How Pleo saw us.
    pub method: AuthMethod,
    /// Which client the credential belongs to.
    pub client_id: Option<String>,
    /// What was granted; `None` if Pleo did not say.
    pub scopes: Option<ScopeSet>,
    /// The subject URN, whatever kind it is of.
    pub subject: Option<String>,
    /// The company, if the subject is one.
    pub company: Option<CompanyId>,
}

/// What asking showed.
#[derive(Clone, Debug)]
pub enum Probe {
    /// Pleo accepts the credential.
    Accepted(Identity),
    /// Pleo does not: a whole answer with status 401, of Pleo's own making.
    Refused,
    /// Nothing is proven.
    Silent(SilentCause),
}

/// Why asking proved nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SilentCause {
    /// The question was not sent.
    #[error("the question was not sent")]
    NotSent(#[source] NotSentCause),
    /// No answer, or not a whole one.
    #[error(transparent)]
    Lost(#[from] LostCause),
    /// An answer of this status, or a 401 as a page for people.
    #[error("Pleo answered {0}")]
    Status(u16),
    /// A good status, and a body without the data.
    #[error("Pleo's answer could not be read")]
    Unreadable,
    /// Some cache on the way gave the answer.
    #[error("the answer came from a cache")]
    Cached,
    /// Pleo did not take the credential for what it is.
    #[error("Pleo saw another kind of credential")]
    OtherMethod,
}

/// Why the installation was not removed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum UninstallError {
    /// The request was not sent.
    #[error("the request was not sent")]
    NotSent(#[source] NotSentCause),
    /// No answer, or not a whole one.
    #[error(transparent)]
    Lost(#[from] LostCause),
    /// Pleo said no.
    #[error("Pleo answered {0}")]
    Status(u16),
}

#[derive(Deserialize)]
struct Envelope {
    data: Fields,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    auth_method: String,
    client_id: Option<String>,
    scope: Option<String>,
    #[serde(rename = "subjectURN")]
    subject_urn: Option<String>,
}

impl Credential<'_> {
    /// Its `Authorization`, marked sensitive: `Bearer token` (RFC 6750), or `Basic base64(key:)` for API keys (pleo.md
    /// section 6). `None` if it holds what no header can.
    pub fn header(self) -> Option<HeaderValue> {
        let text = Zeroizing::new(match self {
            Self::Bearer(token) => format!("Bearer {}", token.expose()),
            Self::Key(key) => {
                let user = Zeroizing::new(format!("{}:", key.expose()));
                format!("Basic {}", BASE64_STANDARD.encode(user.as_bytes()))
            }
        });
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl Pleo {
    /// Asks `GET /v1/introspect` with a credential. `limit` covers all of it.
    pub async fn who_am_i(&self, credential: Credential<'_>, limit: Duration) -> Probe {
        let reply = self
            .ask_api(Method::GET, "/v1/introspect", credential, limit)
            .await;
        match reply {
            Reply::NotSent(cause) => Probe::Silent(SilentCause::NotSent(cause)),
            Reply::Unanswered(cause) => Probe::Silent(cause.into()),
            Reply::Answered(answer) => judge(&answer, credential),
        }
    }

    /// Removes the installation, which revokes every token of it (pleo.md section 13).
    pub async fn uninstall(
        &self,
        credential: Credential<'_>,
        limit: Duration,
    ) -> Result<(), UninstallError> {
        let reply = self
            .ask_api(Method::DELETE, "/v1/installations/me", credential, limit)
            .await;
        match reply {
            Reply::NotSent(cause) => Err(UninstallError::NotSent(cause)),
            Reply::Unanswered(cause) => Err(cause.into()),
            Reply::Answered(answer) if answer.status.is_success() => Ok(()),
            Reply::Answered(answer) => Err(UninstallError::Status(answer.status.as_u16())),
        }
    }

    async fn ask_api(
        &self,
        method: Method,
        path: &str,
        credential: Credential<'_>,
        limit: Duration,
    ) -> Reply {
        let base = self.0.options.endpoints.api.path().trim_end_matches('/');
        let request = Request::builder()
            .method(method)
            .uri(format!("{base}{path}"))
            .header(ACCEPT, "application/json")
            .header(CACHE_CONTROL, "no-cache")
            .body(Bytes::new());
        let (Ok(mut request), Some(shown)) = (request, credential.header()) else {
            return Reply::NotSent(NotSentCause::Unfit);
        };
        request.headers_mut().insert(AUTHORIZATION, shown);
        let errand = Errand {
            origin: &self.0.api_origin,
            request,
            limit,
        };
        self.0.wire.call(errand, || ready(true)).await
    }
}

fn judge(answer: &Answer, credential: Credential<'_>) -> Probe {
    let body = match &answer.body {
        Ok(body) => body,
        Err(cause) => return Probe::Silent((*cause).into()),
    };
    match answer.status {
        StatusCode::UNAUTHORIZED if !is_page(&answer.headers) => Probe::Refused,
        StatusCode::OK if is_cached(&answer.headers) => Probe::Silent(SilentCause::Cached),
        StatusCode::OK => read(body, credential),
        status => Probe::Silent(SilentCause::Status(status.as_u16())),
    }
}

fn read(body: &[u8], credential: Credential<'_>) -> Probe {
    let Ok(Envelope { data }) = serde_json::from_slice(body) else {
        return Probe::Silent(SilentCause::Unreadable);
    };
    let method = match (data.auth_method.as_str(), credential) {
        ("OAUTH2", Credential::Bearer(_)) => AuthMethod::OAuth2,
        ("API_KEY", Credential::Key(_)) => AuthMethod::ApiKey,
        _ => return Probe::Silent(SilentCause::OtherMethod),
    };
    Probe::Accepted(Identity {
        method,
        client_id: data.client_id,
        scopes: data.scope.and_then(|text| ScopeSet::parse(&text).ok()),
        company: data.subject_urn.as_deref().and_then(company),
        subject: data.subject_urn,
    })
}

fn company(subject: &str) -> Option<CompanyId> {
    let id = subject.strip_prefix("urn:pleo:company:")?;
    let fits = (1..=64).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    fits.then(|| CompanyId::new(id))
}

/// A page for people is some proxy's, not Pleo's API's.
fn is_page(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with(b"text/html"))
}

/// An answer with an `Age` comes from some cache (trace 8 of design.md section 3).
fn is_cached(headers: &HeaderMap) -> bool {
    headers.get(AGE).is_some_and(|age| age != "0")
}
