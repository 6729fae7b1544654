//! The one canonical parse of a request target: what is matched is what is sent (contract.md section 3.3). Which route a
//! path means is not here (`model::route_table`).

use http::uri::PathAndQuery;

use super::query;

/// A target with one reading: no needless escape, no dot segment, no empty segment, nothing that other software could take
/// for a separator. Can only be made here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalPath(PathAndQuery);

/// Why a target is refused: two readers could take it for different paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// Asterisk form, authority form, or anything else that does not begin with `/`.
    #[error("the target is not a path")]
    NotAPath,
    /// `%2F`.
    #[error("the path has an encoded '/'")]
    EncodedSlash,
    /// `\` or `%5C`.
    #[error("the path has a '\\'")]
    Backslash,
    /// `.` or `..`, plain or encoded, also with `;parameters`.
    #[error("the path has a '.' or '..' segment")]
    DotSegment,
    /// `;`.
    #[error("the path has a ';'")]
    Parameters,
    /// `//`.
    #[error("the path has an empty segment")]
    DoubleSlash,
    /// `%00`.
    #[error("the path has a NUL")]
    Nul,
    /// A control byte, plain or encoded.
    #[error("the path or the query has a control byte")]
    Control,
    /// `%` without two hexadecimal digits.
    #[error("the path has a '%' that is not followed by two hexadecimal digits")]
    BadEscape,
    /// Escapes that are not UTF-8, overlong ones among them.
    #[error("the escapes of the path are not UTF-8")]
    NotUtf8,
    /// `%25` before two hexadecimal digits.
    #[error("the path is encoded twice")]
    DoubleEncoding,
    /// A segment that ends with `.` or a blank.
    #[error("a segment of the path ends with '.' or a blank")]
    TrailingDotOrBlank,
    /// A character that looks like `.`, `/`, `\`, `%` or `;`, and that some software turns into it.
    #[error("the path has a character that can be mistaken for '.', '/', '\\', '%' or ';'")]
    Lookalike,
    /// A byte that must be encoded: non-ASCII, blank, `<>"{}|^` and backtick, in the path also `[]#`.
    #[error("the path or the query has a character that must be percent-encoded")]
    MustBeEncoded,
    /// A token in the query (RFC 9700 section 4.3.2).
    #[error("a token must not be sent in the query: access_token is refused")]
    TokenInQuery,
}

impl CanonicalPath {
    /// Decodes escapes of unreserved characters, `:` and `@`, writes the others in upper case, and refuses what is
    /// ambiguous. The query stays as it is, byte for byte. Allocates nothing if there is nothing to do.
    pub fn parse(target: &PathAndQuery) -> Result<Self, InvalidTarget> {
        if let Some(query) = target.query() {
            query::check(query)?;
        }
        if target.as_str() == "/" {
            // One with nothing in it, such as was left of `#fragment`, calls itself "/" and is written as nothing.
            return Ok(Self(PathAndQuery::from_static("/")));
        }
        if is_canonical(target.path()) && target.as_str().starts_with('/') {
            return Ok(Self(target.clone()));
        }
        let mut text = canonical(target.path())?;
        if let Some(query) = target.query() {
            text.push('?');
            text.push_str(query);
        }
        Self::from_checked(text)
    }

    /// The path, from its `/` on.
    pub fn path(&self) -> &str {
        self.0.path()
    }

    /// What follows the `?`, byte for byte.
    pub fn query(&self) -> Option<&str> {
        self.0.query()
    }

    /// Path and query.
    pub fn target(&self) -> &PathAndQuery {
        &self.0
    }

    /// Path and query, to keep.
    pub fn into_target(self) -> PathAndQuery {
        self.0
    }

    /// Without the first `length` bytes, which are whole segments: what remains begins with `/`, or it is no path.
    pub fn skip(&self, length: usize) -> Result<Self, InvalidTarget> {
        match self.0.as_str().get(length..) {
            Some(rest) if rest.starts_with('/') => Self::from_checked(rest.to_owned()),
            _ => Err(InvalidTarget::NotAPath),
        }
    }

    fn from_checked(text: String) -> Result<Self, InvalidTarget> {
        PathAndQuery::try_from(text)
            .map(Self)
            .map_err(|_| InvalidTarget::MustBeEncoded)
    }
}

/// True if the path is in canonical form already, as in nearly every call.
fn is_canonical(path: &str) -> bool {
    let mut before = 0;
    for byte in path.bytes() {
        if !is_plain(byte) || (byte == b'/' && matches!(before, b'/' | b'.')) {
            return false;
        }
        before = byte;
    }
    path.starts_with('/') && before != b'.'
}

fn canonical(path: &str) -> Result<String, InvalidTarget> {
    let inner = path.strip_prefix('/').ok_or(InvalidTarget::NotAPath)?;
    let mut canonical = String::with_capacity(path.len());
    let mut segments = inner.split('/').peekable();
    while let Some(segment) = segments.next() {
        if segment.is_empty() && segments.peek().is_some() {
            return Err(InvalidTarget::DoubleSlash);
        }
        canonical.push('/');
        append_segment(&mut canonical, segment)?;
    }
    Ok(canonical)
}

fn append_segment(canonical: &mut String, segment: &str) -> Result<(), InvalidTarget> {
    let start = canonical.len();
    let mut decoded = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        let value = if byte == b'%' {
            unescape(bytes.next(), bytes.next()).ok_or(InvalidTarget::BadEscape)?
        } else {
            byte
        };
        check_byte(value, byte == b'%')?;
        decoded.push(value);
        if byte == b'%' && !is_decoded(value) {
            canonical.push('%');
            canonical.push(hex_digit(value >> 4));
            canonical.push(hex_digit(value & 15));
        } else {
            canonical.push(char::from(value));
        }
    }
    check_text(std::str::from_utf8(&decoded).map_err(|_| InvalidTarget::NotUtf8)?)?;
    check_encoded_once(&canonical[start..])
}

fn check_byte(value: u8, escaped: bool) -> Result<(), InvalidTarget> {
    match value {
        0 => Err(InvalidTarget::Nul),
        1..=0x1F | 0x7F => Err(InvalidTarget::Control),
        b'/' => Err(InvalidTarget::EncodedSlash),
        b'\\' => Err(InvalidTarget::Backslash),
        b';' if !escaped => Err(InvalidTarget::Parameters),
        _ if escaped || is_plain(value) => Ok(()),
        _ => Err(InvalidTarget::MustBeEncoded),
    }
}

/// Judges a segment as a lenient reader would see it.
fn check_text(segment: &str) -> Result<(), InvalidTarget> {
    let name = segment.split(';').next().unwrap_or_default();
    if matches!(name.trim(), "." | "..") {
        return Err(InvalidTarget::DotSegment);
    }
    if segment.ends_with(|c: char| c == '.' || c.is_whitespace()) {
        return Err(InvalidTarget::TrailingDotOrBlank);
    }
    if segment.contains(char::is_control) {
        return Err(InvalidTarget::Control);
    }
    if segment.contains(LOOKALIKES) {
        return Err(InvalidTarget::Lookalike);
    }
    Ok(())
}

/// On the canonical text, so that an escape cannot be put together from decoded parts.
fn check_encoded_once(segment: &str) -> Result<(), InvalidTarget> {
    let twice = segment
        .split("%25")
        .skip(1)
        .map(str::bytes)
        .any(|mut after| unescape(after.next(), after.next()).is_some());
    if twice {
        Err(InvalidTarget::DoubleEncoding)
    } else {
        Ok(())
    }
}

/// Stands for itself in a path (RFC 3986 section 3.3, without `;`).
pub(super) fn is_plain(byte: u8) -> bool {
    is_decoded(byte)
        || matches!(
            byte,
            b'/' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'='
        )
}

/// Means the same encoded and plain: unreserved (RFC 3986 section 2.3), and `:` and `@`, which clients needlessly encode.
fn is_decoded(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b'@')
}

/// The byte that two hexadecimal digits write.
fn unescape(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

fn hex_digit(nibble: u8) -> char {
    char::from(b"0123456789ABCDEF"[usize::from(nibble & 15)])
}

/// Fullwidth, small and mathematical forms of `.`, `/`, `\`, `%` and `;`.
const LOOKALIKES: &[char] = &[
    '\u{FF0E}', '\u{FE52}', '\u{2024}', '\u{2025}', '\u{2026}', '\u{FF0F}', '\u{2044}', '\u{2215}',
    '\u{29F8}', '\u{FF3C}', '\u{FE68}', '\u{2216}', '\u{29F5}', '\u{29F9}', '\u{FF05}', '\u{FE6A}',
    '\u{FF1B}', '\u{FE54}',
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(target: &str) -> Result<String, InvalidTarget> {
        let target = PathAndQuery::try_from(target).unwrap();
        CanonicalPath::parse(&target).map(|path| path.target().as_str().to_owned())
    }

    #[test]
    fn what_needs_no_work_is_kept_without_a_copy() {
        for text in [
            "/v1/vendors/a.b:archive",
            "/a/?q=%zz&b=+",
            "/~a/-_'()*!$&,=@:",
        ] {
            let target = PathAndQuery::try_from(text).unwrap();
            let path = CanonicalPath::parse(&target).unwrap();
            assert_eq!(path.target().as_str().as_ptr(), target.as_str().as_ptr());
        }
    }

    #[test]
    fn a_target_with_nothing_in_it_is_written_as_the_root() {
        for text in ["/", "#fragment"] {
            let target = PathAndQuery::try_from(text).unwrap();
            let path = CanonicalPath::parse(&target).unwrap();
            assert_eq!(http::Uri::from(path.into_target()).to_string(), "/");
        }
    }

    #[test]
    fn needless_escapes_are_decoded_and_others_kept_in_upper_case() {
        for (text, canonical) in [
            ("/v1/%76endors/x%3Asearch", "/v1/vendors/x:search"),
            ("/a%40b%7e", "/a@b~"),
            ("/a%2cb%20c%c3%a9", "/a%2Cb%20c%C3%A9"),
            ("/100%25", "/100%25"),
            ("/a%3bb", "/a%3Bb"),
            ("?x=1", "/?x=1"),
            ("/%61?b=%61&c&&=%2f", "/a?b=%61&c&&=%2f"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(canonical), "{text}");
        }
    }

    #[test]
    fn what_is_ambiguous_is_refused_by_its_own_name() {
        use InvalidTarget as E;
        for (text, error) in [
            ("*", E::NotAPath),
            ("/a%2fb", E::EncodedSlash),
            ("/%2F", E::EncodedSlash),
            ("/a\\b", E::Backslash),
            ("/a%5Cb", E::Backslash),
            ("/a/../b", E::DotSegment),
            ("/./b", E::DotSegment),
            ("/a/..", E::DotSegment),
            ("/a/%2e%2E/b", E::DotSegment),
            ("/a/.%2e", E::DotSegment),
            ("/a/..%3bx/b", E::DotSegment),
            ("/a/%20..%3b", E::DotSegment),
            ("/a/..;/b", E::Parameters),
            ("/a;v=1", E::Parameters),
            ("//a", E::DoubleSlash),
            ("/a//", E::DoubleSlash),
            ("/a%00", E::Nul),
            ("/a%0d%0ab", E::Control),
            ("/a%7f", E::Control),
            ("/a%C2%85b", E::Control),
            ("/a%", E::BadEscape),
            ("/a%2", E::BadEscape),
            ("/%u002e", E::BadEscape),
            ("/%+1", E::BadEscape),
            ("/%c0%ae%c0%ae/", E::NotUtf8),
            ("/%ff", E::NotUtf8),
            ("/%252e%252e", E::DoubleEncoding),
            ("/a%252fb", E::DoubleEncoding),
            ("/a%25%32%65", E::DoubleEncoding),
            ("/export.", E::TrailingDotOrBlank),
            ("/export./a", E::TrailingDotOrBlank),
            ("/export%20", E::TrailingDotOrBlank),
            ("/...", E::TrailingDotOrBlank),
            ("/export%c2%a0/a", E::TrailingDotOrBlank),
            ("/%ef%bc%8e%ef%bc%8e/a", E::Lookalike),
            ("/a%e2%88%95b", E::Lookalike),
            ("/é", E::MustBeEncoded),
            ("/a{b}", E::MustBeEncoded),
            ("/a|b^[]", E::MustBeEncoded),
            ("/a?access_token=x", E::TokenInQuery),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_prefix_is_skipped_only_before_a_path() {
        let target = PathAndQuery::from_static("/tenants/a/v1?x");
        let path = CanonicalPath::parse(&target).unwrap();
        assert_eq!(path.skip(10).unwrap().target().as_str(), "/v1?x");
        assert_eq!(path.skip(9), Err(InvalidTarget::NotAPath));
        assert_eq!(path.skip(13), Err(InvalidTarget::NotAPath));
        assert_eq!(path.skip(99), Err(InvalidTarget::NotAPath));
    }

    /// Pieces of which attacks are made, and single characters.
    fn target() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("/".to_owned()),
            Just("..".to_owned()),
            Just("%2e".to_owned()),
            Just("%25".to_owned()),
            Just("%".to_owned()),
            "[a-zA-Z0-9.;:@ é]",
            "%[0-9a-fA-F]{2}",
            any::<char>().prop_map(String::from),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn a_canonical_path_is_its_own_canonical_form(text in target()) {
            if let Ok(once) = canonical(&text) {
                prop_assert_eq!(canonical(&once), Ok(once.clone()));
                prop_assert!(!once.contains("//"));
                prop_assert!(once.split('/').all(|segment| segment != "." && segment != ".."));
                for after in once.split('%').skip(1) {
                    let mut digits = after.bytes();
                    let byte = unescape(digits.next(), digits.next()).unwrap();
                    prop_assert!(!is_decoded(byte) && !b"/\\\0".contains(&byte));
                }
            }
        }

        #[test]
        fn the_quick_look_agrees_with_the_full_parse(text in target()) {
            prop_assert_eq!(is_canonical(&text), canonical(&text).as_ref() == Ok(&text) && !text.contains('%'));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(target) = PathAndQuery::try_from(bytes) {
                let _ = CanonicalPath::parse(&target);
            }
        }
    }
}
