//! The only place where an error becomes a response: `application/problem+json` (RFC 9457), with a code that programs can
//! rely on and nothing of our internals. Every match is exhaustive, so that somebody has to decide the status of a new
//! error.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, Version};
use serde::Serialize;

use super::code::Code;
use crate::access::denial::{Denial, Denied};
use crate::model::connection::{Reason, State};
use crate::model::scope::ScopeSet;
use crate::net::body::Outgoing;
use crate::net::client::SendError;
use crate::proxy::error::{Malformed, ProxyError};
use crate::proxy::headers::X_REQUEST_ID;
use crate::proxy::hops::SERVED;
use crate::tokens::ObtainError;

const ERROR: HeaderName = HeaderName::from_static("pleo-gateway-error");
const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
const BEARER: HeaderValue = HeaderValue::from_static("Bearer realm=\"pleo-gateway\"");
const BASIC: HeaderValue =
    HeaderValue::from_static("Basic realm=\"pleo-gateway\", charset=\"UTF-8\"");
/// Where nobody knows better.
const SOON: Duration = Duration::from_secs(1);

/// What an error means for the caller.
#[derive(Debug)]
pub struct Verdict {
    pub(super) code: Code,
    detail: Cow<'static, str>,
    missing_scopes: Option<ScopeSet>,
    state: Option<State>,
    retry_after: Option<Duration>,
    /// True if what follows on the link cannot be trusted.
    pub(super) poisons_link: bool,
}

/// What a reply says of the request it answers.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// Its id.
    pub request_id: &'a HeaderValue,
    /// Its method: HEAD gets no body.
    pub method: &'a Method,
    /// Its version: only HTTP/1 knows `Connection`.
    pub version: Version,
    /// On whose behalf, once that is established.
    pub tenant: Option<&'a str>,
    /// By which route, once one is found.
    pub route: Option<&'a str>,
    /// Ends the link after this answer.
    pub close: bool,
}

#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing_scopes: Option<&'a ScopeSet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<State>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

impl Verdict {
    fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            missing_scopes: None,
            state: None,
            retry_after: None,
            poisons_link: false,
        }
    }

    /// The code that the caller reads.
    pub fn code(&self) -> Code {
        self.code
    }

    fn missing(mut self, scopes: &ScopeSet) -> Self {
        self.missing_scopes = Some(scopes.clone());
        self
    }

    fn state(mut self, state: Option<State>) -> Self {
        self.state = state;
        self
    }

    fn again_in(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    fn poisons_link(mut self) -> Self {
        self.poisons_link = true;
        self
    }

    /// The decision for every error there is.
    pub fn on(error: &ProxyError) -> Self {
        match error {
            ProxyError::Denied(denied) => Self::on_denial(denied),
            ProxyError::Malformed(malformed) => Self::on_malformed(*malformed),
            ProxyError::Loop => Self::new(Code::Loop, "The request has passed this gateway already; its upstream leads back to it."),
            ProxyError::BodyTooLarge => Self::new(Code::BodyTooLarge, "The body is larger than this route allows."),
            ProxyError::BodyTooSlow => Self::new(Code::RequestTimeout, "The body did not arrive in time.").poisons_link(),
            ProxyError::NoBearer(error) => Self::on_no_bearer(error),
            ProxyError::NoBearerInTime => Self::new(Code::TokenUnavailable, "No token came in the time for this request.").again_in(SOON),
            ProxyError::TokenRejected => Self::new(Code::TokenRejected, "Pleo refused the token and the body was not kept, so the request could not be sent again. Nothing was done: it is safe to retry.").again_in(SOON),
            ProxyError::Upstream(error) => Self::on_upstream(error),
            ProxyError::AmbiguousAnswer => Self::new(Code::UpstreamInvalid, "The length of Pleo's answer is ambiguous."),
            ProxyError::UpstreamTooSlow => Self::new(Code::UpstreamTimeout, "The time for this request is over."),
            ProxyError::RateLimited { limit, retry_after } => Self::new(Code::RateLimited, format!("A limit on calls is reached: {limit}.")).again_in(*retry_after),
            ProxyError::Overloaded => Self::new(Code::Overloaded, "Too many requests are being served.").again_in(SOON),
            ProxyError::Internal => Self::new(Code::Internal, "The gateway failed. Its log says more under this request id."),
        }
    }

    fn on_denial(denied: &Denied) -> Self {
        match &denied.denial {
            Denial::MethodRefused => {
                Self::new(Code::MethodRefused, "CONNECT and TRACE are never served.").poisons_link()
            }
            Denial::UriTooLong { limit } => Self::new(
                Code::UriTooLong,
                format!("The target is longer than {limit} bytes."),
            )
            .poisons_link(),
            Denial::HeadersTooLarge => Self::new(
                Code::HeadersTooLarge,
                "The header fields are too many or too large.",
            )
            .poisons_link(),
            Denial::Host(invalid) => Self::new(Code::BadRequest, sentence(invalid)).poisons_link(),
            Denial::Misdirected => Self::new(
                Code::Misdirected,
                "This listener lets callers in without a key, so it answers to its own names only.",
            ),
            Denial::CrossSite => Self::new(
                Code::CrossSite,
                "This listener lets callers in without a key, so requests from web pages of other sites are refused.",
            ),
            Denial::Caller(_) => Self::new(
                Code::CallerUnknown,
                "No credential of a caller was presented, or one is wrong.",
            ),
            Denial::Target(invalid) => Self::new(Code::BadRequest, sentence(invalid)),
            Denial::Tenant(unclear) => Self::new(Code::BadRequest, sentence(unclear)),
            Denial::TenantForbidden => Self::tenant_forbidden(),
            Denial::Route(_) => Self::new(
                Code::RouteDenied,
                "No route allows this method and path for this caller.",
            ),
            Denial::ScopeForbidden(scopes) => Self::new(
                Code::ScopeForbidden,
                "The route needs scopes above what this caller may use.",
            )
            .missing(scopes),
        }
    }

    /// One answer for both, so that nobody learns which tenants there are.
    fn tenant_forbidden() -> Self {
        Self::new(
            Code::TenantForbidden,
            "The tenant does not exist, or is not one of this caller's.",
        )
    }

    fn on_malformed(malformed: Malformed) -> Self {
        match malformed {
            Malformed::Framing => {
                Self::new(Code::BadRequest, "The length of the body is ambiguous.").poisons_link()
            }
            Malformed::Expectation => Self::new(
                Code::BadRequest,
                "The only expectation that is served is 100-continue.",
            )
            .poisons_link(),
            Malformed::Body => Self::new(Code::BadRequest, "The body broke off.").poisons_link(),
        }
    }

    fn on_no_bearer(error: &ObtainError) -> Self {
        match error {
            ObtainError::NotConnected { state } => Self::new(Code::NotConnected, "Nobody has connected this tenant to Pleo, or it was disconnected.").state(*state),
            ObtainError::ReauthorizationRequired { reason: Some(Reason::KeyRejected) } => Self::new(Code::ReauthorizationRequired, "Pleo refuses the tenant's API key: a person has to replace it.").state(Some(State::ReauthorizationRequired)),
            ObtainError::ReauthorizationRequired { reason: _ } => Self::new(Code::ReauthorizationRequired, "Pleo ended the authorisation: a person has to connect the tenant again.").state(Some(State::ReauthorizationRequired)),
            ObtainError::Unavailable { state, retry_after } => Self::new(Code::TokenUnavailable, "A fresh token cannot be had for now.").state(Some(*state)).again_in(*retry_after),
            ObtainError::StoreUnavailable => Self::new(Code::StoreUnavailable, "The store of connections does not answer.").again_in(SOON),
            ObtainError::Overloaded => Self::new(Code::Overloaded, "Too many requests wait for this tenant's token.").again_in(SOON),
            ObtainError::Draining => Self::new(Code::Draining, "This process is shutting down; another will answer.").again_in(SOON),
            ObtainError::ScopeMissing(scopes) => Self::new(Code::ScopeMissing, "The tenant's consent does not cover this route: it has to be given again, with these scopes, by a link that `pleo-gateway connections link` makes.").missing(scopes),
            ObtainError::TenantUnknown => Self::tenant_forbidden(),
            ObtainError::WrongCompany => Self::new(Code::BadRequest, "The query must name the tenant's own company."),
        }
    }

    fn on_upstream(error: &SendError) -> Self {
        match error {
            SendError::Dial(_) => Self::new(
                Code::UpstreamUnreachable,
                "No connection to Pleo could be made. Nothing was sent.",
            ),
            SendError::NotSent(_) => Self::new(
                Code::UpstreamUnreachable,
                "The connection to Pleo was lost. Nothing was sent.",
            ),
            SendError::Overloaded => {
                Self::new(Code::Overloaded, "All connections to Pleo are in use.").again_in(SOON)
            }
            SendError::Broken(_) | SendError::Stale(_) => Self::new(
                Code::UpstreamInvalid,
                "Pleo broke off before its answer. It may have acted upon the request.",
            ),
            SendError::Invalid(_) | SendError::SwitchedProtocols => Self::new(
                Code::UpstreamInvalid,
                "What Pleo answered is not HTTP as it was asked for.",
            ),
            SendError::Timeout => Self::new(
                Code::UpstreamTimeout,
                "Pleo did not begin to answer in time. It may have acted upon the request.",
            ),
            SendError::RequestBody(_) => {
                Self::new(Code::BadRequest, "The body broke off.").poisons_link()
            }
        }
    }

    /// The response, its body empty for HEAD.
    pub fn reply(&self, about: About<'_>) -> Response<Outgoing> {
        let body = match *about.method {
            Method::HEAD => Outgoing::Empty,
            _ => Outgoing::Full(self.problem(about)),
        };
        let mut reply = Response::new(body);
        *reply.status_mut() = self.code.status();
        let headers = reply.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(ERROR, HeaderValue::from_static(self.code.as_str()));
        headers.insert(X_REQUEST_ID, about.request_id.clone());
        self.explain(headers);
        if about.close && about.version < Version::HTTP_2 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        reply
    }

    fn explain(&self, headers: &mut HeaderMap) {
        let status = format!("pleo-gateway; error={}", self.code.proxy_error());
        if let Ok(status) = HeaderValue::try_from(status) {
            headers.insert(PROXY_STATUS, status);
        }
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds(wait)));
        }
        if self.code == Code::CallerUnknown {
            headers.insert(WWW_AUTHENTICATE, BEARER);
            headers.append(WWW_AUTHENTICATE, BASIC);
        }
        if self.code == Code::MethodRefused {
            // RFC 9110 section 15.5.6 requires it; which of them a path allows is up to the routes.
            headers.insert(ALLOW, SERVED);
        }
    }

    fn problem(&self, about: About<'_>) -> Bytes {
        let code = self.code.as_str();
        let problem = Problem {
            r#type: format!("urn:pleo-gateway:error:{code}"),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: &self.detail,
            code,
            request_id: about.request_id.to_str().unwrap_or_default(),
            tenant: about.tenant.filter(|_| self.code != Code::TenantForbidden),
            // Which route denied it is not disclosed.
            route: about
                .route
                .filter(|_| !matches!(self.code, Code::RouteDenied | Code::TenantForbidden)),
            missing_scopes: self.missing_scopes.as_ref(),
            state: self.state,
            retry_after: self.retry_after.map(seconds),
        };
        serde_json::to_vec(&problem).unwrap_or_default().into()
    }
}

/// Whole seconds, rounded up: coming too early helps nobody.
fn seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// An error's own words, where they speak of the request only.
fn sentence(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => format!("{}{}.", first.to_ascii_uppercase(), letters.as_str()),
        None => text,
    }
}

#[cfg(test)]
mod tests;
