//! Whether a head is within `[limits]`. HTTP/1.1 heads are also bounded while they are read; that is not here.

use http::request::Parts;

use super::denial::Denial;
use crate::model::limits::Limits;

/// What a field takes on the wire besides its name and value: `: ` and the line's end.
const FIELD_OVERHEAD: usize = 4;

pub(super) fn check(limits: &Limits, head: &Parts) -> Result<(), Denial> {
    let target = head
        .uri
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    let authority = head
        .uri
        .authority()
        .map_or(0, |authority| authority.as_str().len());
    if target + authority > limits.max_uri_bytes {
        return Err(Denial::UriTooLong {
            limit: limits.max_uri_bytes,
        });
    }
    let bytes: usize = head
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD)
        .sum();
    if head.headers.len() > limits.max_headers || bytes > limits.max_header_bytes {
        return Err(Denial::HeadersTooLarge);
    }
    Ok(())
}
