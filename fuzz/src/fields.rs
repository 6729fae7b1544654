//! Which header fields may reach Pleo: the contract's list once more (section 3.6), read without the gateway's code.

/// True for a field that a caller may never send on. What the gateway itself puts in its place is for the targets to allow.
pub(crate) fn is_forbidden(name: &str) -> bool {
    const NAMES: [&str; 24] = [
        "authorization",
        "connection",
        "content-length",
        "cookie",
        "cookie2",
        "expect",
        "forwarded",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
        "x-api-key",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-original-uri",
        "x-original-url",
        "x-real-ip",
        "x-rewrite-url",
    ];
    let lower = name.to_ascii_lowercase();
    let dashed = lower.replace('_', "-");
    let misspelt = lower != dashed && (dashed.starts_with("content-") || dashed == "trailer");
    let prefixed = ["proxy-", "pleo-gateway-", "x-forwarded-"];
    misspelt
        || NAMES.contains(&dashed.as_str())
        || prefixed.iter().any(|prefix| dashed.starts_with(prefix))
}
