//! The one canonical parse of a request's target.

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
