//! Tests of the replies against the contract's table.

use std::sync::Arc;

use http_body_util::BodyExt;
use serde_json::Value;

use super::*;
use crate::access::denial::{CallerUnknown, InvalidHost, RouteDenied, TenantUnclear};
use crate::model::connection::Reason;
use crate::model::ids::{CallerName, TenantName};
use crate::model::path::InvalidTarget;
use crate::net::BoxError;
use crate::net::dial::DialError;
use crate::proxy::error::Limit;

fn scopes() -> ScopeSet {
    ScopeSet::parse("users:read export:read").unwrap()
}

fn denied(denial: impl Into<Denial>) -> ProxyError {
    Denied {
        denial: denial.into(),
        caller: Some(CallerName::new("erp")),
        tenant: Some(TenantName::parse("acme").unwrap()),
        route: None,
        operation: None,
    }
    .into()
}

/// One error at least for every code.
#[expect(clippy::too_many_lines, reason = "the contract's table")]
fn errors() -> Vec<(ProxyError, &'static str, u16)> {
    use ObtainError as O;
    let wait = Duration::from_millis(1500);
    let state = State::Refreshing;
    let broke: BoxError = "canary".into();
    vec![
        (Malformed::Framing.into(), "bad-request", 400),
        (Malformed::Expectation.into(), "bad-request", 400),
        (Malformed::Body.into(), "bad-request", 400),
        (denied(InvalidHost::Missing), "bad-request", 400),
        (denied(InvalidTarget::EncodedSlash), "bad-request", 400),
        (denied(TenantUnclear::Disagree), "bad-request", 400),
        (O::WrongCompany.into(), "bad-request", 400),
        (denied(CallerUnknown::Wrong), "caller-unknown", 401),
        (denied(Denial::TenantForbidden), "tenant-forbidden", 403),
        (O::TenantUnknown.into(), "tenant-forbidden", 403),
        (denied(RouteDenied::Deny), "route-denied", 403),
        (
            denied(Denial::ScopeForbidden(scopes())),
            "scope-forbidden",
            403,
        ),
        (O::ScopeMissing(scopes()).into(), "scope-missing", 403),
        (ProxyError::BodyTooLarge, "body-too-large", 413),
        (denied(Denial::HeadersTooLarge), "headers-too-large", 431),
        (denied(Denial::UriTooLong { limit: 9 }), "uri-too-long", 414),
        (denied(Denial::MethodRefused), "method-refused", 405),
        (denied(Denial::Misdirected), "misdirected", 421),
        (denied(Denial::CrossSite), "cross-site", 403),
        (ProxyError::BodyTooSlow, "request-timeout", 408),
        (
            ProxyError::RateLimited {
                limit: Limit::CallerRate,
                retry_after: wait,
            },
            "rate-limited",
            429,
        ),
        (ProxyError::Loop, "loop", 508),
        (
            O::NotConnected {
                state: Some(State::Pending),
            }
            .into(),
            "not-connected",
            503,
        ),
        (
            O::ReauthorizationRequired {
                reason: Some(Reason::Revoked),
            }
            .into(),
            "reauthorization-required",
            503,
        ),
        (
            O::Unavailable {
                state,
                retry_after: wait,
            }
            .into(),
            "token-unavailable",
            503,
        ),
        (ProxyError::NoBearerInTime, "token-unavailable", 503),
        (ProxyError::TokenRejected, "token-rejected", 503),
        (O::Draining.into(), "draining", 503),
        (O::Overloaded.into(), "overloaded", 503),
        (ProxyError::Overloaded, "overloaded", 503),
        (
            ProxyError::Upstream(SendError::Overloaded),
            "overloaded",
            503,
        ),
        (O::StoreUnavailable.into(), "store-unavailable", 503),
        (
            ProxyError::Upstream(SendError::Dial(Arc::new(DialError::NoAddress))),
            "upstream-unreachable",
            502,
        ),
        (ProxyError::AmbiguousAnswer, "upstream-invalid", 502),
        (
            ProxyError::Upstream(SendError::SwitchedProtocols),
            "upstream-invalid",
            502,
        ),
        (
            ProxyError::Upstream(SendError::Timeout),
            "upstream-timeout",
            504,
        ),
        (
            ProxyError::Upstream(SendError::RequestBody(broke)),
            "bad-request",
            400,
        ),
        (ProxyError::UpstreamTooSlow, "upstream-timeout", 504),
        (ProxyError::Internal, "internal", 500),
    ]
}

fn about<'a>(method: &'a Method, request_id: &'a HeaderValue) -> About<'a> {
    About {
        request_id,
        method,
        version: Version::HTTP_11,
        tenant: Some("acme"),
        route: Some("employees"),
        close: false,
    }
}

async fn replied(error: &ProxyError) -> (http::response::Parts, Value) {
    let id = HeaderValue::from_static("id-1");
    let reply = Verdict::on(error).reply(about(&Method::GET, &id));
    let (head, body) = reply.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn every_error_has_the_code_and_status_of_the_contract() {
    for (error, code, status) in errors() {
        let (head, problem) = replied(&error).await;
        assert_eq!(head.status, status, "{error:?}");
        assert_eq!(head.headers[ERROR], code);
        assert_eq!(head.headers[CONTENT_TYPE], "application/problem+json");
        assert_eq!(head.headers[CACHE_CONTROL], "no-store");
        assert_eq!(head.headers[X_REQUEST_ID], "id-1");
        let proxy_status = head.headers[PROXY_STATUS].to_str().unwrap();
        assert!(
            proxy_status.starts_with("pleo-gateway; error="),
            "{proxy_status}"
        );
        assert_eq!(problem["type"], format!("urn:pleo-gateway:error:{code}"));
        assert_eq!(problem["code"], code);
        assert_eq!(problem["status"], status);
        assert_eq!(problem["request_id"], "id-1");
        assert!(!problem["title"].as_str().unwrap().is_empty());
        assert_eq!(
            head.headers.contains_key(RETRY_AFTER),
            !problem["retry_after"].is_null()
        );
    }
}

#[tokio::test]
async fn nothing_of_our_inside_is_told() {
    for (error, ..) in errors() {
        let (_, problem) = replied(&error).await;
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.ends_with('.') && !detail.contains("canary"),
            "{detail}"
        );
        assert!(
            !detail.contains("::") && !detail.contains(" { "),
            "{detail}"
        );
    }
}

#[tokio::test]
async fn what_helps_is_told() {
    let (_, problem) = replied(&ObtainError::ScopeMissing(scopes()).into()).await;
    assert_eq!(
        problem["missing_scopes"],
        serde_json::json!(["export:read", "users:read"])
    );
    assert_eq!(
        (&problem["tenant"], &problem["route"]),
        (&"acme".into(), &"employees".into())
    );
    let unavailable = ObtainError::Unavailable {
        state: State::Uncertain,
        retry_after: Duration::from_millis(1500),
    };
    let (head, problem) = replied(&unavailable.into()).await;
    assert_eq!(
        (&problem["state"], &problem["retry_after"]),
        (&"uncertain".into(), &2.into())
    );
    assert_eq!(head.headers[RETRY_AFTER], "2");
}

#[tokio::test]
async fn which_route_denied_and_which_tenants_exist_is_not_told() {
    let (_, problem) = replied(&denied(RouteDenied::NotForCaller)).await;
    assert!(problem["route"].is_null());
    let (_, unknown) = replied(&ObtainError::TenantUnknown.into()).await;
    let (_, foreign) = replied(&denied(Denial::TenantForbidden)).await;
    assert_eq!(unknown, foreign);
}

#[tokio::test]
async fn an_unknown_caller_is_told_how_to_present_itself() {
    let (head, _) = replied(&denied(CallerUnknown::Missing)).await;
    let ways: Vec<_> = head.headers.get_all(WWW_AUTHENTICATE).iter().collect();
    assert_eq!(ways, [BEARER, BASIC]);
}

#[test]
fn head_gets_no_body() {
    let id = HeaderValue::from_static("id-1");
    let reply = Verdict::on(&ProxyError::Loop).reply(about(&Method::HEAD, &id));
    assert!(matches!(reply.body(), Outgoing::Empty));
    assert_eq!(reply.headers()[ERROR], "loop");
}

#[test]
fn only_http_1_links_are_told_to_close() {
    let id = HeaderValue::from_static("id-1");
    for (version, told) in [(Version::HTTP_11, true), (Version::HTTP_2, false)] {
        let about = About {
            version,
            close: true,
            ..about(&Method::GET, &id)
        };
        let reply = Verdict::on(&ProxyError::Loop).reply(about);
        assert_eq!(reply.headers().contains_key(CONNECTION), told);
    }
}
