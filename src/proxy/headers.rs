//! The head that goes to Pleo. [`clean`] removes whatever a caller may not send there; [`CleanHead::inject`] is the only
//! place that adds a credential. First strip, then inject, so that no `Connection` trick removes what we add (requirement
//! 35). Heads of answers are not here (`proxy::answer`).

use std::fmt;

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, TE, TRAILER, TRANSFER_ENCODING, VIA,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, request};

use super::answer::is_stripped_or_cookie;
use super::error::{Malformed, ProxyError};
use super::hops;
use crate::access::permit::Permit;
use crate::telemetry::traces::Span;
use crate::tokens::bearer::Bearer;

/// The caller's id for its request, or ours.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How we name ourselves in `Via`: the same for all replicas, so that they notice each other's loops.
const PSEUDONYM: &str = "pleo-gateway";
const VIA_HTTP1: HeaderValue = HeaderValue::from_static("1.1 pleo-gateway");
const VIA_HTTP10: HeaderValue = HeaderValue::from_static("1.0 pleo-gateway");
const VIA_HTTP2: HeaderValue = HeaderValue::from_static("2.0 pleo-gateway");

/// The head of a request that holds nothing that must not reach Pleo, and no credential yet.
#[derive(Clone)]
pub struct CleanHead {
    method: Method,
    target: PathAndQuery,
    headers: HeaderMap,
}

/// Its values are the caller's business.
impl fmt::Debug for CleanHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CleanHead").finish_non_exhaustive()
    }
}

/// How long the body is that goes with a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Empty,
    /// The caller said how long it is; hyper says it again.
    Known,
    /// It ends when it ends.
    Chunked,
}

/// Refuses what has two readings or came back to us, before it is asked who calls.
pub fn check(head: &request::Parts) -> Result<(), ProxyError> {
    let headers = &head.headers;
    if has_odd_coding(headers) {
        return Err(Malformed::Framing.into());
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    if lengths.next().is_some_and(|length| !is_number(length)) || lengths.next().is_some() {
        return Err(Malformed::Framing.into());
    }
    let mut expected = headers.get_all(EXPECT).iter();
    if expected.any(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Err(Malformed::Expectation.into());
    }
    if headers.get_all(VIA).iter().any(names_us) {
        return Err(ProxyError::Loop);
    }
    Ok(())
}

/// True if there is a transfer coding other than one plain `chunked` without a length: hyper takes any list that ends
/// with `chunked`, and drops a length beside it.
pub(super) fn has_odd_coding(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    codings.next().is_some_and(|coding| {
        !coding.as_bytes().eq_ignore_ascii_case(b"chunked")
            || codings.next().is_some()
            || headers.contains_key(CONTENT_LENGTH)
    })
}

pub(super) fn is_number(value: &HeaderValue) -> bool {
    !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_digit)
}

/// True if one of the comma-separated entries was made by us: `<protocol> pleo-gateway [comment]`.
fn names_us(via: &HeaderValue) -> bool {
    let us = |entry: &[u8]| {
        let mut words = entry
            .split(|byte| matches!(byte, b' ' | b'\t'))
            .filter(|word| !word.is_empty());
        words
            .nth(1)
            .is_some_and(|by| by.eq_ignore_ascii_case(PSEUDONYM.as_bytes()))
    };
    via.as_bytes().split(|byte| *byte == b',').any(us)
}

/// Removes what must not reach Pleo and adds what is ours, except for the credential.
pub fn clean(
    head: request::Parts,
    permit: &Permit,
    framing: Framing,
    request_id: &HeaderValue,
) -> CleanHead {
    let mut headers = head.headers;
    let said_length = headers.contains_key(CONTENT_LENGTH);
    let trailers = wants_trailers(&headers);
    strip_named(&mut headers);
    strip(&mut headers, is_stripped);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        // RFC 9110 section 10.1.4; `net::client` leaves it out towards HTTP/2.
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    hops::take_one(&head.method, &mut headers);
    frame(&mut headers, &head.method, framing, said_length);
    headers.append(VIA, via(head.version));
    let mut request_id = request_id.clone();
    // Each occurs once, and would only push others out of HTTP/2's dynamic table.
    request_id.set_sensitive(true);
    headers.insert(X_REQUEST_ID, request_id);
    CleanHead {
        method: head.method,
        target: permit.target().clone(),
        headers,
    }
}

impl CleanHead {
    /// True if the request asks for nothing to be changed (RFC 9110 section 9.2.1).
    pub(super) fn is_safe(&self) -> bool {
        self.method.is_safe()
    }

    /// Names the request's span to Pleo as the one above.
    pub(super) fn continue_trace(&mut self, span: &Span) {
        span.hand_on(&mut self.headers);
    }

    /// The request as it is sent: `Authorization` is set, never appended. The value is marked sensitive where it is made.
    pub fn inject<B>(mut self, bearer: &Bearer, body: B) -> Request<B> {
        self.headers.insert(AUTHORIZATION, bearer.value().clone());
        let mut request = Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = Uri::from(self.target);
        *request.headers_mut() = self.headers;
        request
    }
}

/// hyper frames bodies by what they say of themselves, and would leave these two out.
fn frame(headers: &mut HeaderMap, method: &Method, framing: Framing, said_length: bool) {
    match framing {
        Framing::Empty
            if said_length || matches!(*method, Method::POST | Method::PUT | Method::PATCH) =>
        {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        Framing::Chunked if matches!(*method, Method::GET | Method::HEAD) => {
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        Framing::Empty | Framing::Known | Framing::Chunked => {}
    }
}

fn via(version: Version) -> HeaderValue {
    match version {
        Version::HTTP_2 => VIA_HTTP2,
        Version::HTTP_10 => VIA_HTTP10,
        _ => VIA_HTTP1,
    }
}

fn wants_trailers(headers: &HeaderMap) -> bool {
    let words = headers
        .get_all(TE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    words
        .flat_map(|value| value.split(','))
        .any(|word| word.trim().eq_ignore_ascii_case("trailers"))
}

/// Removes what `Connection` names, whatever it is (RFC 9110 section 7.6.1). `Connection` itself is left.
pub(super) fn strip_named(headers: &mut HeaderMap) {
    if !headers.contains_key(CONNECTION) {
        return;
    }
    let lists: Vec<HeaderValue> = headers.get_all(CONNECTION).iter().cloned().collect();
    for name in lists
        .iter()
        .flat_map(|list| list.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| *name != CONNECTION)
    {
        headers.remove(name);
    }
}

/// Removes every field whose name is `stripped`, or is no name outside of HTTP/2: h2 lets `"` pass.
pub(super) fn strip(headers: &mut HeaderMap, stripped: fn(&str) -> bool) {
    let found = |name: &&HeaderName| stripped(name.as_str()) || has(name.as_str(), b'"');
    let names: Vec<HeaderName> = headers.keys().filter(found).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Drops from trailers, either way, what belongs in heads only: framing, routing, credentials, content (RFC 9110 section
/// 6.5.1), and what the head would be rid of.
pub fn clean_trailers(trailers: &mut HeaderMap) {
    strip(trailers, |name| {
        is_stripped(name)
            || is_stripped_or_cookie(name)
            || name.starts_with("content-")
            || matches!(
                name,
                "cache-control"
                    | "max-forwards"
                    | "range"
                    | "trailer"
                    | "via"
                    | "location"
                    | "x-request-id"
            )
    });
}

/// True for what a caller may not send to Pleo: credentials, our own fields, what says who the caller is or overrides
/// method and path, what concerns this link only, and the framing, which we redo. Names are in lower case.
fn is_stripped(name: &str) -> bool {
    if has(name, b'_') {
        return is_look_alike(name);
    }
    is_hop_by_hop(name)
        || name.starts_with("proxy-")
        || name.starts_with("pleo-gateway-")
        || name.starts_with("x-forwarded-")
        || matches!(
            name,
            "authorization"
                | "cookie"
                | "cookie2"
                | "x-api-key"
                | "forwarded"
                | "x-real-ip"
                | "x-http-method-override"
                | "x-http-method"
                | "x-method-override"
                | "x-original-url"
                | "x-original-uri"
                | "x-rewrite-url"
                | "host"
                | "content-length"
                | "expect"
        )
}

/// Names are so short that looking byte by byte is the fastest.
fn has(name: &str, sought: u8) -> bool {
    name.bytes().any(|byte| byte == sought)
}

/// What concerns one link only, in requests and answers.
pub(super) fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
    )
}

/// `Transfer_Encoding` and the like: some software reads `_` as `-`.
fn is_look_alike(name: &str) -> bool {
    let dashed = name.replace('_', "-");
    is_stripped(&dashed) || dashed.starts_with("content-") || dashed == TRAILER.as_str()
}

#[cfg(test)]
mod tests;
