//! The malformed requests that h2 lets pass (RFC 9113 sections 8.2.1, 8.3.1 and 8.5). Their streams are reset, and nobody
//! further up sees them. HTTP/1.1 needs no such check: there, whitespace around a value is no part of it.

use h2::Reason;
use http::{HeaderName, HeaderValue, Method, Request, Version};

/// The error resets the stream.
pub(super) fn check<B>(request: &Request<B>) -> Result<(), h2::Error> {
    if request.version() != Version::HTTP_2 {
        return Ok(());
    }
    let uri = request.uri();
    let nowhere = if request.method() == Method::CONNECT {
        uri.authority().is_none()
    } else {
        uri.path().is_empty()
    };
    let headers = request.headers();
    if nowhere || headers.values().any(has_blank_edge) || headers.keys().any(is_no_token) {
        return Err(Reason::PROTOCOL_ERROR.into());
    }
    Ok(())
}

/// The one character outside of tokens (RFC 9110 section 5.6.2) that h2 lets pass in a name.
fn is_no_token(name: &HeaderName) -> bool {
    name.as_str().contains('"')
}

fn has_blank_edge(value: &HeaderValue) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let bytes = value.as_bytes();
    is_blank(bytes.first()) || is_blank(bytes.last())
}
