//! Target: the problem that a caller is answered with. Input: which error, which flags, then lines: request id, method,
//! tenant, route, a text from inside. It is JSON that says what it was given, and the text from inside is not in it.

use std::time::Duration;

use http::{HeaderValue, Method, Response, Version};
use pleo_gateway::access::denial::{Denial, Denied, RouteDenied};
use pleo_gateway::edge::reply::{About, Verdict};
use pleo_gateway::model::connection::State;
use pleo_gateway::model::scope::ScopeSet;
use pleo_gateway::net::body::Outgoing;
use pleo_gateway::net::client::SendError;
use pleo_gateway::proxy::error::{Malformed, ProxyError};
use pleo_gateway::tokens::ObtainError;
use serde_json::Value;

/// Told nowhere.
const INSIDE: &str = "canary-from-inside";

pub(crate) fn target(input: &[u8]) {
    let Some((&[which, flags], rest)) = input.split_first_chunk() else {
        return;
    };
    let mut lines = rest.split(|byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    if String::from_utf8_lossy(rest).contains(INSIDE) {
        return;
    }
    let Ok(request_id) = HeaderValue::from_bytes(line()) else {
        return;
    };
    let method = Method::from_bytes(line()).unwrap_or(Method::GET);
    let tenant = String::from_utf8_lossy(line());
    let route = String::from_utf8_lossy(line());
    let scopes = ScopeSet::parse(&String::from_utf8_lossy(line())).unwrap_or_default();
    let wait = Duration::from_millis(u64::from(flags) * 997);
    let about = About {
        request_id: &request_id,
        method: &method,
        version: if flags & 1 == 0 {
            Version::HTTP_11
        } else {
            Version::HTTP_2
        },
        tenant: (flags & 2 == 0).then_some(&tenant),
        route: (flags & 4 == 0).then_some(&route),
        close: flags & 8 == 0,
    };
    let reply = Verdict::on(&error(which, &scopes, wait)).reply(about);
    check(&reply, about);
}

fn error(which: u8, scopes: &ScopeSet, wait: Duration) -> ProxyError {
    let denied = |denial| -> ProxyError {
        let denied = Denied {
            denial,
            caller: None,
            tenant: None,
            route: None,
            operation: None,
        };
        denied.into()
    };
    match which % 12 {
        0 => denied(Denial::ScopeForbidden(scopes.clone())),
        1 => denied(Denial::Route(RouteDenied::NoRoute)),
        2 => denied(Denial::TenantForbidden),
        3 => denied(Denial::UriTooLong {
            limit: wait.as_millis().try_into().unwrap_or_default(),
        }),
        4 => denied(Denial::MethodRefused),
        5 => ProxyError::NoBearer(ObtainError::ScopeMissing(scopes.clone())),
        6 => ProxyError::NoBearer(ObtainError::Unavailable {
            state: State::Refreshing,
            retry_after: wait,
        }),
        7 => ProxyError::NoBearer(ObtainError::NotConnected {
            state: Some(State::Pending),
        }),
        8 => ProxyError::Upstream(SendError::RequestBody(INSIDE.into())),
        9 => ProxyError::RateLimited {
            limit: pleo_gateway::proxy::error::Limit::TenantRate,
            retry_after: wait,
        },
        10 => Malformed::Framing.into(),
        _ => ProxyError::Internal,
    }
}

fn check(reply: &Response<Outgoing>, about: About<'_>) {
    let code = reply.headers()["pleo-gateway-error"].to_str().unwrap();
    for (name, value) in reply.headers() {
        let text = String::from_utf8_lossy(value.as_bytes());
        assert!(!text.contains(['\r', '\n', '\0']), "{name}: {text:?}");
        assert!(!text.contains(INSIDE), "{name}: {text:?}");
    }
    assert_eq!(reply.headers()["x-request-id"], about.request_id);
    let closes = reply.headers().contains_key("connection");
    assert_eq!(closes, about.close && about.version != Version::HTTP_2);
    let Outgoing::Full(body) = reply.body() else {
        assert_eq!(about.method, Method::HEAD);
        return;
    };
    assert!(!String::from_utf8_lossy(body).contains(INSIDE));
    let problem: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(problem["code"], code);
    assert_eq!(problem["type"], format!("urn:pleo-gateway:error:{code}"));
    assert_eq!(problem["status"], reply.status().as_u16());
    assert_eq!(
        problem["request_id"],
        about.request_id.to_str().unwrap_or_default()
    );
    let hides_tenant = code == "tenant-forbidden";
    let hides_route = hides_tenant || code == "route-denied";
    for (member, value, is_hidden) in [
        ("tenant", about.tenant, hides_tenant),
        ("route", about.route, hides_route),
    ] {
        let expected = value.filter(|_| !is_hidden).map(Value::from);
        assert_eq!(problem.get(member), expected.as_ref());
    }
    let header = reply
        .headers()
        .get("retry-after")
        .map(|wait| wait.to_str().unwrap().parse::<u64>().unwrap());
    assert_eq!(problem.get("retry_after").and_then(Value::as_u64), header);
}
