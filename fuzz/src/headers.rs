//! Target: the head that goes to Pleo. Input: a line `METHOD version framing`, then lines `name: value`. What remains is
//! checked against the contract's list, field by field: nothing forbidden is left, and nothing else is lost.

use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, VIA};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version};
use pleo_gateway::proxy::headers::{Framing, check, clean, clean_trailers};

use crate::fields::is_forbidden;
use crate::stand::STAND;

pub(crate) fn target(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let first = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let Some((head, framing)) = head(&first, lines) else {
        return;
    };
    let sent = head.headers.clone();
    trailers(&sent);
    if check(&head).is_err() {
        return;
    }
    unambiguous(&sent);
    let Some(permit) = STAND.permit(&head) else {
        return;
    };
    let (method, id) = (head.method.clone(), HeaderValue::from_static("id-1"));
    let bearer = STAND.bearer(&permit);
    let request = clean(head, &permit, framing, &id).inject(&bearer, ());
    assert_eq!(request.method(), method);
    assert_eq!(request.uri().path_and_query(), Some(permit.target()));
    assert_eq!(values(request.headers(), &AUTHORIZATION), [bearer.value()]);
    assert_eq!(
        values(request.headers(), &HeaderName::from_static("x-request-id")),
        [&id]
    );
    let via = values(request.headers(), &VIA);
    assert!(
        via.last()
            .is_some_and(|via| via.as_bytes().ends_with(b" pleo-gateway"))
    );
    for name in request.headers().keys() {
        allowed(name, request.headers(), &method, framing);
    }
    kept(&sent, request.headers());
}

fn head<'a>(first: &str, lines: impl Iterator<Item = &'a [u8]>) -> Option<(Parts, Framing)> {
    let mut words = first.split(' ');
    let method = Method::from_bytes(words.next()?.as_bytes()).ok()?;
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = "/v1/x".parse().unwrap();
    *request.version_mut() = match words.next() {
        Some("0") => Version::HTTP_10,
        Some("2") => Version::HTTP_2,
        _ => Version::HTTP_11,
    };
    let framing = match words.next() {
        Some("known") => Framing::Known,
        Some("chunked") => Framing::Chunked,
        _ => Framing::Empty,
    };
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        request.headers_mut().append(name, value);
    }
    request
        .headers_mut()
        .entry(HOST)
        .or_insert(HeaderValue::from_static("localhost"));
    Some((request.into_parts().0, framing))
}

fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a HeaderValue> {
    headers.get_all(name).iter().collect()
}

/// What passes the check has one length.
fn unambiguous(sent: &HeaderMap) {
    let (lengths, codings) = (
        values(sent, &CONTENT_LENGTH),
        values(sent, &TRANSFER_ENCODING),
    );
    assert!(lengths.len() + codings.len() <= 1, "{sent:?}");
    let number = |value: &&HeaderValue| {
        value
            .to_str()
            .is_ok_and(|text| text.parse::<u128>().is_ok())
    };
    assert!(
        lengths
            .iter()
            .all(|value| number(value) || value.len() > 38),
        "{sent:?}"
    );
    assert!(
        codings
            .iter()
            .all(|value| value.as_bytes().eq_ignore_ascii_case(b"chunked")),
        "{sent:?}"
    );
}

fn allowed(name: &HeaderName, left: &HeaderMap, method: &Method, framing: Framing) {
    let is_ours = match name.as_str() {
        "authorization" => true,
        "te" => values(left, name) == ["trailers"],
        "connection" => values(left, name) == ["te"] && left.contains_key("te"),
        "content-length" => values(left, name) == ["0"] && framing == Framing::Empty,
        "transfer-encoding" => {
            values(left, name) == ["chunked"]
                && framing == Framing::Chunked
                && matches!(*method, Method::GET | Method::HEAD)
        }
        _ => false,
    };
    assert!(
        is_ours || !is_forbidden(name.as_str()),
        "{name} of {left:?}"
    );
}

/// Nothing that `Connection` names is left, and all else is.
fn kept(sent: &HeaderMap, left: &HeaderMap) {
    let lists = values(sent, &CONNECTION);
    let words = lists
        .iter()
        .flat_map(|list| list.as_bytes().split(|byte| *byte == b','));
    let named: Vec<&[u8]> = words.map(<[u8]>::trim_ascii).collect();
    for name in sent.keys() {
        let is_named = named
            .iter()
            .any(|word| word.eq_ignore_ascii_case(name.as_str().as_bytes()));
        let mut expected = values(sent, name);
        if is_named || is_forbidden(name.as_str()) {
            expected.clear();
        }
        let mut found = values(left, name);
        match name.as_str() {
            "via" => drop(found.pop()),
            "authorization" | "connection" | "content-length" | "transfer-encoding" | "te"
            | "x-request-id" => continue,
            _ => {}
        }
        assert_eq!(found, expected, "{name} of {sent:?}");
    }
}

/// The same fields as trailers.
fn trailers(sent: &HeaderMap) {
    let mut trailers = sent.clone();
    clean_trailers(&mut trailers);
    for name in trailers.keys().map(HeaderName::as_str) {
        assert!(
            !is_forbidden(name) && !name.starts_with("content-"),
            "{name}"
        );
        assert!(
            !matches!(name, "via" | "trailer" | "set-cookie" | "x-request-id"),
            "{name}"
        );
    }
}
