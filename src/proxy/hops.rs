//! `Max-Forwards` on OPTIONS (RFC 9110 section 7.6.2): each intermediary subtracts one, and the one that finds none left
//! answers itself. It means nothing for other methods; TRACE is never served.

use http::header::{ALLOW, MAX_FORWARDS};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, request};

use crate::model::route::Route;
use crate::net::body::Outgoing;

/// True if the request must not be sent on.
pub(super) fn end_here(head: &request::Parts) -> bool {
    head.method == Method::OPTIONS && left(&head.headers) == Some(0)
}

/// Subtracts one. What is not a number is left as it is.
pub(super) fn take_one(method: &Method, headers: &mut HeaderMap) {
    if *method != Method::OPTIONS {
        return;
    }
    if let Some(left) = left(headers).and_then(|left| left.checked_sub(1)) {
        headers.insert(MAX_FORWARDS, HeaderValue::from(left));
    }
}

/// What we say in Pleo's place.
pub(super) fn answer(route: &Route) -> Response<Outgoing> {
    let mut answer = Response::new(Outgoing::Empty);
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let methods: Vec<&str> = route.methods.iter().map(Method::as_str).collect();
    if let Ok(methods) = HeaderValue::try_from(methods.join(", ")) {
        answer.headers_mut().insert(ALLOW, methods);
    }
    answer
}

fn left(headers: &HeaderMap) -> Option<u64> {
    headers.get(MAX_FORWARDS)?.to_str().ok()?.parse().ok()
}
