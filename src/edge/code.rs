//! The contract's error codes (contract.md section 3), each with its status, title and RFC 9209 error type. Which error has
//! which code is not here (`edge::reply`).

use http::StatusCode;

/// A code of our own, stable for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each word is the contract's own")]
pub enum Code {
    BadRequest,
    CallerUnknown,
    TenantForbidden,
    RouteDenied,
    ScopeForbidden,
    ScopeMissing,
    BodyTooLarge,
    HeadersTooLarge,
    UriTooLong,
    MethodRefused,
    Misdirected,
    CrossSite,
    RequestTimeout,
    RateLimited,
    Loop,
    NotConnected,
    ReauthorizationRequired,
    TokenUnavailable,
    TokenRejected,
    Draining,
    Overloaded,
    StoreUnavailable,
    UpstreamUnreachable,
    UpstreamInvalid,
    UpstreamTimeout,
    Internal,
}

impl Code {
    /// The word of the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::CallerUnknown => "caller-unknown",
            Self::TenantForbidden => "tenant-forbidden",
            Self::RouteDenied => "route-denied",
            Self::ScopeForbidden => "scope-forbidden",
            Self::ScopeMissing => "scope-missing",
            Self::BodyTooLarge => "body-too-large",
            Self::HeadersTooLarge => "headers-too-large",
            Self::UriTooLong => "uri-too-long",
            Self::MethodRefused => "method-refused",
            Self::Misdirected => "misdirected",
            Self::CrossSite => "cross-site",
            Self::RequestTimeout => "request-timeout",
            Self::RateLimited => "rate-limited",
            Self::Loop => "loop",
            Self::NotConnected => "not-connected",
            Self::ReauthorizationRequired => "reauthorization-required",
            Self::TokenUnavailable => "token-unavailable",
            Self::TokenRejected => "token-rejected",
            Self::Draining => "draining",
            Self::Overloaded => "overloaded",
            Self::StoreUnavailable => "store-unavailable",
            Self::UpstreamUnreachable => "upstream-unreachable",
            Self::UpstreamInvalid => "upstream-invalid",
            Self::UpstreamTimeout => "upstream-timeout",
            Self::Internal => "internal",
        }
    }

    /// Its status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::CallerUnknown => StatusCode::UNAUTHORIZED,
            Self::TenantForbidden
            | Self::RouteDenied
            | Self::ScopeForbidden
            | Self::ScopeMissing
            | Self::CrossSite => StatusCode::FORBIDDEN,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::MethodRefused => StatusCode::METHOD_NOT_ALLOWED,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::NotConnected
            | Self::ReauthorizationRequired
            | Self::TokenUnavailable
            | Self::TokenRejected
            | Self::Draining
            | Self::Overloaded
            | Self::StoreUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::UpstreamUnreachable | Self::UpstreamInvalid => StatusCode::BAD_GATEWAY,
            Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// For people, the same for every error of the code.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "The request cannot be understood",
            Self::CallerUnknown => "The caller is not known",
            Self::TenantForbidden => "The tenant is not this caller's",
            Self::RouteDenied => "The route is not allowed",
            Self::ScopeForbidden => "Above the caller's scopes",
            Self::ScopeMissing => "Not covered by the tenant's consent",
            Self::BodyTooLarge => "The body is too large",
            Self::HeadersTooLarge => "The header is too large",
            Self::UriTooLong => "The target is too long",
            Self::MethodRefused => "The method is not served",
            Self::Misdirected => "The Host is not served here",
            Self::CrossSite => "Web pages of other sites may not call",
            Self::RequestTimeout => "The request came too slowly",
            Self::RateLimited => "Too many requests",
            Self::Loop => "The request went in a circle",
            Self::NotConnected => "The tenant is not connected to Pleo",
            Self::ReauthorizationRequired => "A person has to consent again",
            Self::TokenUnavailable => "No token for now",
            Self::TokenRejected => "Pleo refused the token",
            Self::Draining => "The gateway is shutting down",
            Self::Overloaded => "The gateway has enough to do",
            Self::StoreUnavailable => "The gateway's store is away",
            Self::UpstreamUnreachable => "Pleo cannot be reached",
            Self::UpstreamInvalid => "Pleo's answer cannot be used",
            Self::UpstreamTimeout => "Pleo did not answer in time",
            Self::Internal => "A fault of the gateway",
        }
    }

    /// The error type of `Proxy-Status` (RFC 9209 section 2.3).
    pub(super) fn proxy_error(self) -> &'static str {
        match self {
            Self::BadRequest
            | Self::BodyTooLarge
            | Self::HeadersTooLarge
            | Self::UriTooLong
            | Self::RequestTimeout => "http_request_error",
            Self::CallerUnknown
            | Self::TenantForbidden
            | Self::RouteDenied
            | Self::ScopeForbidden
            | Self::ScopeMissing
            | Self::MethodRefused
            | Self::Misdirected
            | Self::CrossSite
            | Self::RateLimited => "http_request_denied",
            Self::Loop => "proxy_loop_detected",
            Self::NotConnected
            | Self::ReauthorizationRequired
            | Self::TokenUnavailable
            | Self::TokenRejected
            | Self::Draining => "proxy_internal_response",
            Self::Overloaded => "connection_limit_reached",
            Self::StoreUnavailable | Self::Internal => "proxy_internal_error",
            Self::UpstreamUnreachable => "destination_unavailable",
            Self::UpstreamInvalid => "http_protocol_error",
            Self::UpstreamTimeout => "http_response_timeout",
        }
    }
}
