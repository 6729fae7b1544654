//! `Max-Forwards` on OPTIONS (RFC 9110 section 7.6.2): each intermediary subtracts one, and the one that finds none left
//! answers itself. It means nothing for other methods; TRACE is never served.

use http::header::{ALLOW, MAX_FORWARDS};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, request};

use crate::model::route::Route;
use crate::net::body::Outgoing;

/// The methods that are served; a route without methods takes them all.
pub const SERVED: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

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
    answer.headers_mut().insert(ALLOW, allowed(route));
    answer
}

/// An empty list would say that there is no method at all.
fn allowed(route: &Route) -> HeaderValue {
    let methods: Vec<&str> = route.methods.iter().map(Method::as_str).collect();
    match HeaderValue::try_from(methods.join(", ")) {
        Ok(methods) if !methods.is_empty() => methods,
        _ => SERVED,
    }
}

fn left(headers: &HeaderMap) -> Option<u64> {
    headers.get(MAX_FORWARDS)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::RouteName;
    use crate::model::route::{RouteOrigin, Template};

    #[test]
    fn a_route_without_methods_allows_all_that_are_served() {
        let template = Template::parse("/x").unwrap();
        let mut route = Route::new(RouteName::new("x"), template, RouteOrigin::Explicit);
        assert_eq!(answer(&route).headers()[ALLOW], SERVED);
        route.methods = vec![Method::GET, Method::OPTIONS];
        assert_eq!(answer(&route).headers()[ALLOW], "GET, OPTIONS");
    }
}
