//! The head of Pleo's answer on its way to the caller: unchanged except for what concerns the link to Pleo, what would set
//! state at the caller for Pleo's host, and what could be taken for ours (contract.md section 3.7). `Location` is in
//! `proxy::location`.

use http::header::{CACHE_CONTROL, CONTENT_LENGTH};
use http::{HeaderMap, HeaderValue, Response};

use super::error::ProxyError;
use super::headers::{has_odd_coding, is_hop_by_hop, is_number, strip, strip_named};

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Refuses an answer with two readings, before any of it is handed on (RFC 9112 section 6.3).
pub(super) fn check<B>(answer: &Response<B>) -> Result<(), ProxyError> {
    let headers = answer.headers();
    if has_odd_coding(headers) {
        return Err(ProxyError::AmbiguousAnswer);
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    // hyper takes a list of equal lengths for one of them.
    if let Some(length) = lengths.next()
        && (!is_number(length) || lengths.any(|other| other != length))
    {
        return Err(ProxyError::AmbiguousAnswer);
    }
    Ok(())
}

/// Removes what is not for the caller.
pub(super) fn clean(headers: &mut HeaderMap, allow_set_cookie: bool) {
    strip_named(headers);
    strip(
        headers,
        if allow_set_cookie {
            is_stripped
        } else {
            is_stripped_or_cookie
        },
    );
    if headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some() {
        collapse_length(headers);
    }
    if !headers.get_all(CACHE_CONTROL).iter().any(says_no_store) {
        headers.append(CACHE_CONTROL, NO_STORE);
    }
}

/// Equal repeats of the length become one.
fn collapse_length(headers: &mut HeaderMap) {
    if let Some(length) = headers.remove(CONTENT_LENGTH) {
        headers.insert(CONTENT_LENGTH, length);
    }
}

fn says_no_store(value: &HeaderValue) -> bool {
    let mut directives = value.as_bytes().split(|byte| *byte == b',');
    directives.any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-store"))
}

fn is_stripped(name: &str) -> bool {
    is_hop_by_hop(name)
        || name.starts_with("pleo-gateway-")
        || matches!(
            name,
            "www-authenticate"
                | "proxy-authenticate"
                | "proxy-authentication-info"
                | "alt-svc"
                | "strict-transport-security"
                | "authorization"
                | "proxy-authorization"
        )
}

pub(super) fn is_stripped_or_cookie(name: &str) -> bool {
    is_stripped(name) || matches!(name, "set-cookie" | "set-cookie2")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(fields: &[(&'static str, &'static str)]) -> Response<()> {
        let mut builder = Response::builder();
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap()
    }

    fn shown(headers: &HeaderMap) -> Vec<String> {
        headers
            .iter()
            .map(|(n, v)| format!("{n}: {}", v.to_str().unwrap()))
            .collect()
    }

    #[test]
    fn what_is_not_for_the_caller_is_taken_off() {
        let mut head = answer(&[
            ("content-type", "application/json"),
            ("connection", "close, X-Link"),
            ("x-link", "1"),
            ("keep-alive", "timeout=5"),
            ("set-cookie", "a=b"),
            ("www-authenticate", "Bearer error=\"invalid_token\""),
            ("proxy-authenticate", "Basic"),
            ("alt-svc", "h3"),
            ("strict-transport-security", "max-age=1"),
            ("pleo-gateway-error", "internal"),
            ("authorization", "Bearer leaked"),
            ("server", "pleo"),
            ("x-repeated", "1"),
            ("x-repeated", "2"),
        ]);
        clean(head.headers_mut(), false);
        assert_eq!(
            shown(head.headers()),
            [
                "content-type: application/json",
                "server: pleo",
                "x-repeated: 1",
                "x-repeated: 2",
                "cache-control: no-store"
            ]
        );
    }

    #[test]
    fn cookies_pass_where_the_route_allows_it() {
        let mut head = answer(&[("set-cookie", "a=b"), ("cache-control", "no-store")]);
        clean(head.headers_mut(), true);
        assert_eq!(
            shown(head.headers()),
            ["set-cookie: a=b", "cache-control: no-store"]
        );
    }

    #[test]
    fn no_store_is_added_unless_it_is_there() {
        for (said, kept) in [
            (
                "private, max-age=60",
                vec!["private, max-age=60", "no-store"],
            ),
            ("private, No-Store", vec!["private, No-Store"]),
            ("x-no-store", vec!["x-no-store", "no-store"]),
        ] {
            let mut head = answer(&[("cache-control", said)]);
            clean(head.headers_mut(), false);
            let values: Vec<_> = head.headers().get_all(CACHE_CONTROL).iter().collect();
            assert_eq!(values, kept);
        }
    }

    #[test]
    fn an_answer_with_two_readings_is_refused() {
        for fields in [
            &[("transfer-encoding", "chunked"), ("content-length", "3")][..],
            &[("transfer-encoding", "gzip, chunked")],
            &[
                ("transfer-encoding", "chunked"),
                ("transfer-encoding", "chunked"),
            ],
            &[("content-length", "3"), ("content-length", "4")],
            &[("content-length", "3, 3")],
        ] {
            assert!(check(&answer(fields)).is_err(), "{fields:?}");
        }
        let mut twice = answer(&[("content-length", "3"), ("content-length", "3")]);
        assert!(check(&twice).is_ok());
        clean(twice.headers_mut(), false);
        assert_eq!(
            shown(twice.headers()),
            ["content-length: 3", "cache-control: no-store"]
        );
    }
}
