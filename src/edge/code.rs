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

/// What goes with a code.
struct Row {
    word: &'static str,
    status: StatusCode,
    title: &'static str,
    proxy_error: &'static str,
}

impl Code {
    /// The word of the contract.
    pub fn as_str(self) -> &'static str {
        self.row().word
    }

    /// Its status.
    pub fn status(self) -> StatusCode {
        self.row().status
    }

    pub(super) fn title(self) -> &'static str {
        self.row().title
    }

    /// The error type of `Proxy-Status` (RFC 9209 section 2.3).
    pub(super) fn proxy_error(self) -> &'static str {
        self.row().proxy_error
    }

    fn row(self) -> Row {
        use StatusCode as S;
        const DENIED: &str = "http_request_denied";
        const FAULTY: &str = "http_request_error";
        const OURS: &str = "proxy_internal_response";
        let (word, status, title, proxy_error) = match self {
            Self::BadRequest => (
                "bad-request",
                S::BAD_REQUEST,
                "The request cannot be understood",
                FAULTY,
            ),
            Self::CallerUnknown => (
                "caller-unknown",
                S::UNAUTHORIZED,
                "The caller is not known",
                DENIED,
            ),
            Self::TenantForbidden => (
                "tenant-forbidden",
                S::FORBIDDEN,
                "The tenant is not this caller's",
                DENIED,
            ),
            Self::RouteDenied => (
                "route-denied",
                S::FORBIDDEN,
                "The route is not allowed",
                DENIED,
            ),
            Self::ScopeForbidden => (
                "scope-forbidden",
                S::FORBIDDEN,
                "Above the caller's scopes",
                DENIED,
            ),
            Self::ScopeMissing => (
                "scope-missing",
                S::FORBIDDEN,
                "Not covered by the tenant's consent",
                DENIED,
            ),
            Self::BodyTooLarge => (
                "body-too-large",
                S::PAYLOAD_TOO_LARGE,
                "The body is too large",
                FAULTY,
            ),
            Self::HeadersTooLarge => (
                "headers-too-large",
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "The header is too large",
                FAULTY,
            ),
            Self::UriTooLong => (
                "uri-too-long",
                S::URI_TOO_LONG,
                "The target is too long",
                FAULTY,
            ),
            Self::MethodRefused => (
                "method-refused",
                S::METHOD_NOT_ALLOWED,
                "The method is not served",
                DENIED,
            ),
            Self::Misdirected => (
                "misdirected",
                S::MISDIRECTED_REQUEST,
                "The Host is not served here",
                DENIED,
            ),
            Self::CrossSite => (
                "cross-site",
                S::FORBIDDEN,
                "Web pages of other sites may not call",
                DENIED,
            ),
            Self::RequestTimeout => (
                "request-timeout",
                S::REQUEST_TIMEOUT,
                "The request came too slowly",
                FAULTY,
            ),
            Self::RateLimited => (
                "rate-limited",
                S::TOO_MANY_REQUESTS,
                "Too many requests",
                DENIED,
            ),
            Self::Loop => (
                "loop",
                S::LOOP_DETECTED,
                "The request went in a circle",
                "proxy_loop_detected",
            ),
            Self::NotConnected => (
                "not-connected",
                S::SERVICE_UNAVAILABLE,
                "The tenant is not connected to Pleo",
                OURS,
            ),
            Self::ReauthorizationRequired => (
                "reauthorization-required",
                S::SERVICE_UNAVAILABLE,
                "A person has to consent again",
                OURS,
            ),
            Self::TokenUnavailable => (
                "token-unavailable",
                S::SERVICE_UNAVAILABLE,
                "No token for now",
                OURS,
            ),
            Self::TokenRejected => (
                "token-rejected",
                S::SERVICE_UNAVAILABLE,
                "Pleo refused the token",
                OURS,
            ),
            Self::Draining => (
                "draining",
                S::SERVICE_UNAVAILABLE,
                "The gateway is shutting down",
                OURS,
            ),
            Self::Overloaded => (
                "overloaded",
                S::SERVICE_UNAVAILABLE,
                "The gateway has enough to do",
                "connection_limit_reached",
            ),
            Self::StoreUnavailable => (
                "store-unavailable",
                S::SERVICE_UNAVAILABLE,
                "The gateway's store is away",
                "proxy_internal_error",
            ),
            Self::UpstreamUnreachable => (
                "upstream-unreachable",
                S::BAD_GATEWAY,
                "Pleo cannot be reached",
                "destination_unavailable",
            ),
            Self::UpstreamInvalid => (
                "upstream-invalid",
                S::BAD_GATEWAY,
                "Pleo's answer cannot be used",
                "http_protocol_error",
            ),
            Self::UpstreamTimeout => (
                "upstream-timeout",
                S::GATEWAY_TIMEOUT,
                "Pleo did not answer in time",
                "http_response_timeout",
            ),
            Self::Internal => (
                "internal",
                S::INTERNAL_SERVER_ERROR,
                "A fault of the gateway",
                "proxy_internal_error",
            ),
        };
        Row {
            word,
            status,
            title,
            proxy_error,
        }
    }
}
