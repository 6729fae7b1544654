//! Target: the canonical path. Input: a request's target. What is accepted has one reading, for every reader: it is its own
//! canonical form, it decodes to what was sent, and a browser's URL parser would change nothing.

use http::uri::PathAndQuery;
use pleo_gateway::model::path::CanonicalPath;
use url::Url;

pub(crate) fn target(input: &[u8]) {
    let Ok(sent) = PathAndQuery::try_from(input) else {
        return;
    };
    let Ok(path) = CanonicalPath::parse(&sent) else {
        return;
    };
    check(path.path());
    assert_eq!(
        path.query(),
        sent.query(),
        "the query is not ours to change"
    );
    assert_eq!(CanonicalPath::parse(path.target()).as_ref(), Ok(&path));
    assert_eq!(decoded(path.path()), decoded(sent.path()));
    let url = Url::parse(&format!("http://pleo.invalid{}", path.path())).unwrap();
    assert_eq!(url.path(), path.path());
    for (length, _) in path.path().match_indices('/').skip(1) {
        let rest = path.skip(length).unwrap();
        assert_eq!(rest.path(), &path.path()[length..]);
        assert_eq!(CanonicalPath::parse(rest.target()), Ok(rest));
    }
}

/// What no path on its way to Pleo may have.
pub(crate) fn check(path: &str) {
    assert!(path.starts_with('/'), "{path}");
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:@/!$&'()*+,=%".contains(&byte);
    assert!(path.bytes().all(plain), "{path}");
    let segments: Vec<&str> = path[1..].split('/').collect();
    for (place, segment) in segments.iter().enumerate() {
        let last = place + 1 == segments.len();
        assert!(last || !segment.is_empty(), "an empty segment: {path}");
        let bytes = decoded(segment);
        let text = std::str::from_utf8(&bytes).unwrap();
        let name = text.split(';').next().unwrap_or_default().trim();
        assert!(name != "." && name != "..", "a dot segment: {path}");
        let hidden = |c: char| c.is_control() || "/\\．／＼％；".contains(c);
        assert!(!text.contains(hidden), "a hidden separator: {path}");
        assert_eq!(decoded(text), bytes, "encoded twice: {path}");
    }
    for (place, _) in path.match_indices('%') {
        let escape = &path[place + 1..place + 3];
        let byte = u8::from_str_radix(escape, 16).unwrap();
        assert_eq!(escape, escape.to_uppercase(), "{path}");
        let unreserved = byte.is_ascii_alphanumeric() || b"-._~:@".contains(&byte);
        assert!(!unreserved, "a needless escape: {path}");
    }
}

/// Escapes decoded once, and nothing else.
pub(crate) fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        let escape = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let value = escape.and_then(|two| u8::from_str_radix(two, 16).ok());
        match value {
            Some(byte) if first == b'%' && !after.starts_with(b"+") => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => bytes.push(first),
        }
    }
    bytes
}
