//! Target: Pleo's 401. Input: a status in two bytes, then one `WWW-Authenticate` a line. A challenge that says
//! `insufficient_scope` (RFC 6750 section 3.1) never costs a refresh; any other 401 puts the token in doubt.

use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, Response, StatusCode};
use pleo_gateway::proxy::forward::doubts_token;

const SCOPE: &str = "insufficient_scope";

pub(crate) fn target(input: &[u8]) {
    let Some((&[high, low], rest)) = input.split_first_chunk() else {
        return;
    };
    let mut answer = Response::new(());
    *answer.status_mut() =
        StatusCode::from_u16(u16::from_be_bytes([high, low])).unwrap_or(StatusCode::UNAUTHORIZED);
    let lines = rest.split(|byte| *byte == b'\n');
    for value in lines.filter_map(|line| HeaderValue::from_bytes(line).ok()) {
        answer.headers_mut().append(WWW_AUTHENTICATE, value);
    }
    let doubts = doubts_token(&answer);
    if answer.status() != StatusCode::UNAUTHORIZED {
        assert!(!doubts);
        return;
    }
    let values = || answer.headers().get_all(WWW_AUTHENTICATE).iter();
    let texts = || values().map(|value| String::from_utf8_lossy(value.as_bytes()));
    if texts().any(|text| errors(&text).iter().any(|error| error == SCOPE)) {
        assert!(
            !doubts,
            "a lack of scopes is no reason to refresh: {answer:?}"
        );
    }
    if !texts().any(|text| text.contains(SCOPE)) {
        assert!(doubts, "{answer:?}");
    }
}

/// The values of every parameter `error` (RFC 9110 section 11.2): a token, or a quoted text.
fn errors(challenges: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = challenges;
    while let Some(next) = rest.find(|c: char| !matches!(c, ' ' | '\t' | ',')) {
        rest = &rest[next..];
        let end = rest.find([' ', '\t', ',', '=', '"']).unwrap_or(rest.len());
        let name = &rest[..end];
        rest = rest[end..].trim_start_matches([' ', '\t']);
        let Some(after) = rest.strip_prefix('=') else {
            rest = rest.strip_prefix('"').unwrap_or(rest);
            continue;
        };
        let after = after.trim_start_matches([' ', '\t']);
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_at(after.find([' ', '\t', ',']).unwrap_or(after.len())),
        };
        if name.eq_ignore_ascii_case("error") {
            found.push(value.to_owned());
        }
        rest = after;
    }
    found
}
