//! Tests of what reaches Pleo of a caller's head.

use super::super::{answer, fixture};
use super::*;

const FOR_ACME: (&str, &str) = ("pleo-gateway-tenant", "acme");

fn cleaned(head: request::Parts, framing: Framing) -> CleanHead {
    let snapshot = fixture::snapshot();
    let permit = fixture::permit(&snapshot, "/v1/x?q=%41&b", &[FOR_ACME]);
    clean(head, &permit, framing, &HeaderValue::from_static("id-1"))
}

/// What reaches Pleo of these fields of a GET, without what we add, sorted by name: only the order of repeats means
/// something (RFC 9110 section 5.3).
fn reaches(fields: &[(&str, &str)]) -> Vec<String> {
    let head = cleaned(fixture::head(Method::GET, "/", fields), Framing::Empty);
    let ours = |name: &HeaderName| *name == VIA || *name == X_REQUEST_ID;
    let mut kept: Vec<_> = head
        .headers
        .iter()
        .filter(|(name, _)| !ours(name))
        .collect();
    kept.sort_by_key(|(name, _)| name.as_str());
    kept.iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect()
}

fn refused(fields: &[(&str, &str)]) -> Option<ProxyError> {
    check(&fixture::head(Method::POST, "/", fields)).err()
}

#[test]
fn credentials_and_our_own_fields_never_reach_pleo() {
    for name in [
        "authorization",
        "AUTHORIZATION",
        "cookie",
        "proxy-authorization",
        "proxy-anything",
        "pleo-gateway-key",
        "pleo-gateway-tenant",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-prefix",
        "x-api-key",
        "x-real-ip",
        "x-http-method-override",
        "x-original-url",
        "x-rewrite-url",
        "host",
        "expect",
        "upgrade",
        "http2-settings",
        "keep-alive",
    ] {
        assert_eq!(
            reaches(&[(name, "canary"), (name, "again")]),
            [""; 0],
            "{name}"
        );
    }
}

#[test]
fn underscored_spellings_of_them_neither() {
    for name in [
        "x_api_key",
        "Content_Length",
        "transfer_encoding",
        "x-forwarded_for",
        "pleo_gateway_key",
        "x_real-ip",
        "content_type",
    ] {
        assert_eq!(reaches(&[(name, "canary")]), [""; 0], "{name}");
    }
    assert_eq!(reaches(&[("x_custom", "1")]), ["x_custom: 1"]);
}

#[test]
fn all_else_passes_repeats_in_their_order() {
    let fields = [
        ("accept", "a"),
        ("x-many", "1"),
        ("x-many", ""),
        ("x-many", "1"),
        ("traceparent", "t"),
    ];
    let expected = [
        "accept: a",
        "traceparent: t",
        "x-many: 1",
        "x-many: ",
        "x-many: 1",
    ];
    assert_eq!(reaches(&fields), expected);
}

#[test]
fn what_connection_names_concerns_this_link_only() {
    let fields = [
        ("connection", "close, X-Secret"),
        ("connection", " te ,connection,, not a name"),
        ("x-secret", "1"),
        ("te", "trailers"),
        ("accept", "a"),
    ];
    assert_eq!(
        reaches(&fields),
        ["accept: a", "connection: te", "te: trailers"]
    );
}

#[test]
fn what_connection_names_beside_other_bytes_too() {
    let mut head = fixture::head(Method::GET, "/", &[("x-secret", "1")]);
    let odd = HeaderValue::from_bytes(b"\xFF, X-Secret").unwrap();
    head.headers.insert(CONNECTION, odd);
    let head = cleaned(head, Framing::Empty);
    assert!(!head.headers.contains_key("x-secret"));
}

#[test]
fn connection_cannot_remove_what_we_add() {
    let fields = [(
        "connection",
        "via, x-request-id, host, authorization, content-length",
    )];
    let head = cleaned(fixture::head(Method::POST, "/", &fields), Framing::Empty);
    assert_eq!(head.headers[VIA], "1.1 pleo-gateway");
    assert_eq!(head.headers[X_REQUEST_ID], "id-1");
    assert_eq!(head.headers[CONTENT_LENGTH], "0");
    assert!(!head.headers.contains_key(CONNECTION));
}

#[test]
fn of_te_only_trailers_pass() {
    let expected = ["connection: te", "te: trailers"];
    assert_eq!(reaches(&[("te", "gzip;q=0.5, Trailers")]), expected);
    assert_eq!(reaches(&[("te", "gzip")]), [""; 0]);
}

#[test]
fn the_target_is_the_one_that_was_matched() {
    let head = cleaned(fixture::head(Method::GET, "/other", &[]), Framing::Empty);
    assert_eq!(head.target.as_str(), "/v1/x?q=%41&b");
}

#[test]
fn a_via_is_kept_and_ours_comes_after_it() {
    let mut head = fixture::head(Method::GET, "/", &[("via", "1.0 fred, 1.1 p.example")]);
    head.version = Version::HTTP_2;
    let head = cleaned(head, Framing::Empty);
    let via: Vec<_> = head.headers.get_all(VIA).iter().collect();
    assert_eq!(via, ["1.0 fred, 1.1 p.example", "2.0 pleo-gateway"]);
}

#[test]
fn our_own_via_is_a_loop() {
    for via in [
        "1.1 pleo-gateway",
        "1.0 a, 2.0  Pleo-Gateway (x)",
        "HTTP/1.1 pleo-gateway",
    ] {
        assert!(
            matches!(refused(&[("via", via)]), Some(ProxyError::Loop)),
            "{via}"
        );
    }
    for via in [
        "1.1 other",
        "1.1 not-pleo-gateway",
        "1.1 a (pleo-gateway)",
        "pleo-gateway",
    ] {
        assert!(refused(&[("via", via)]).is_none(), "{via}");
    }
}

#[test]
fn bodies_are_framed_anew() {
    let length = |method: Method, framing, fields: &[(&str, &str)]| {
        let head = cleaned(fixture::head(method, "/", fields), framing);
        let told = |name| {
            head.headers
                .get(name)
                .map(|v: &HeaderValue| v.to_str().unwrap().to_owned())
        };
        (told(CONTENT_LENGTH), told(TRANSFER_ENCODING))
    };
    let zero = (Some("0".to_owned()), None);
    let said = [("content-length", "7")];
    assert_eq!(length(Method::POST, Framing::Known, &said), (None, None));
    assert_eq!(length(Method::POST, Framing::Empty, &[]), zero);
    assert_eq!(
        length(Method::DELETE, Framing::Empty, &[("content-length", "0")]),
        zero
    );
    assert_eq!(length(Method::GET, Framing::Empty, &[]), (None, None));
    let coded = [("transfer-encoding", "chunked")];
    assert_eq!(length(Method::POST, Framing::Chunked, &coded), (None, None));
    let chunked = (None, Some("chunked".to_owned()));
    assert_eq!(length(Method::GET, Framing::Chunked, &coded), chunked);
}

#[test]
fn a_body_with_two_lengths_is_refused() {
    for fields in [
        &[("transfer-encoding", "gzip, chunked")][..],
        &[("transfer-encoding", "chunked, chunked")],
        &[("transfer-encoding", ", chunked")],
        &[
            ("transfer-encoding", "chunked"),
            ("transfer-encoding", "chunked"),
        ],
        &[("transfer-encoding", "chunked"), ("content-length", "3")],
        &[("content-length", "+3")],
        &[("content-length", "3,3")],
        &[("content-length", "")],
        &[("content-length", "3"), ("content-length", "3")],
    ] {
        let refused = refused(fields);
        assert!(
            matches!(refused, Some(ProxyError::Malformed(Malformed::Framing))),
            "{fields:?}"
        );
    }
    assert!(refused(&[("transfer-encoding", "Chunked")]).is_none());
    assert!(refused(&[("content-length", "3")]).is_none());
}

#[test]
fn only_100_continue_may_be_expected() {
    assert!(refused(&[("expect", "100-Continue")]).is_none());
    let other = refused(&[("expect", "100-continue"), ("expect", "fire")]);
    assert!(matches!(
        other,
        Some(ProxyError::Malformed(Malformed::Expectation))
    ));
}

#[test]
fn a_name_that_only_http2_lets_pass_is_dropped_both_ways() {
    let odd = HeaderName::from_lowercase(b"x\"a").unwrap();
    let fine = HeaderName::from_static("cache-control");
    let value = HeaderValue::from_static("no-store");
    let all: HeaderMap = [(odd.clone(), value.clone()), (fine.clone(), value)]
        .into_iter()
        .collect();
    let (mut trailers, mut answer) = (all.clone(), all);
    clean_trailers(&mut trailers);
    assert!(!trailers.contains_key(&odd));
    answer::clean(&mut answer, false);
    assert!(!answer.contains_key(&odd) && answer.contains_key(&fine));
}

#[test]
fn trailers_carry_nothing_that_belongs_into_heads() {
    let mut trailers = HeaderMap::new();
    for name in [
        "authorization",
        "content-length",
        "host",
        "transfer-encoding",
        "alt-svc",
        "strict-transport-security",
        "www-authenticate",
        "proxy-authenticate",
        "set-cookie",
        "set-cookie2",
        "pleo-gateway-error",
        "checksum",
    ] {
        trailers.insert(name, HeaderValue::from_static("1"));
    }
    clean_trailers(&mut trailers);
    assert_eq!(trailers.keys().collect::<Vec<_>>(), ["checksum"]);
}
