//! `Location` and `Content-Location` that point at Pleo's API are rewritten to point at us, in the way the tenant was named.

use http::header::{CONTENT_LOCATION, LOCATION};
use http::{HeaderMap, HeaderValue, Uri};

use crate::access::permit::{Permit, TenantSource};
use crate::model::snapshot::Snapshot;
use crate::net::origin::{Origin, Scheme};

/// Rewrites both fields, if they are there and point at `api`.
pub(super) fn rewrite(headers: &mut HeaderMap, api: &Origin, permit: &Permit, snapshot: &Snapshot) {
    for name in [LOCATION, CONTENT_LOCATION] {
        let Some(value) = headers.get(&name).map(HeaderValue::as_bytes) else {
            continue;
        };
        // Not everything that servers write there is ASCII.
        let Ok(value) = std::str::from_utf8(value) else {
            continue;
        };
        let Some(place) = Place::of(value, api) else {
            continue;
        };
        let ours = match (place, permit.named_by()) {
            (Place::Absolute(rest), TenantSource::Path) => {
                format!("{}/tenants/{}{rest}", snapshot.public_url, permit.tenant())
            }
            (Place::Absolute(rest), TenantSource::Host) => {
                format!("{}{rest}", tenant_url(snapshot, permit.tenant().as_ref()))
            }
            (Place::Absolute(rest), _) => format!("{}{rest}", snapshot.public_url),
            (Place::Path(path), TenantSource::Path) => {
                format!("/tenants/{}{path}", permit.tenant())
            }
            (Place::Path(_), _) => continue,
        };
        if let Ok(ours) = HeaderValue::try_from(ours) {
            headers.insert(name, ours);
        }
    }
}

/// Where a reference to the API points.
#[derive(Debug, PartialEq)]
enum Place<'v> {
    /// With scheme and host, or host alone: what follows the host.
    Absolute(&'v str),
    /// A path on the same host.
    Path(&'v str),
}

impl<'v> Place<'v> {
    /// None if it points elsewhere, or is relative to the path it came from. The host counts, not the scheme: one to the
    /// API without TLS would lead callers past us, their key in clear.
    fn of(value: &'v str, api: &Origin) -> Option<Self> {
        let (scheme, hosted) = match value.split_once("://") {
            Some((scheme, rest)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                (scheme_of(scheme)?, rest)
            }
            _ => match value.strip_prefix("//") {
                Some(rest) => (api.scheme(), rest),
                None => return value.starts_with('/').then_some(Self::Path(value)),
            },
        };
        let end = hosted.find(['/', '?', '#', '\\']).unwrap_or(hosted.len());
        let (authority, rest) = hosted.split_at(end);
        names(authority, scheme, api).then_some(Self::Absolute(rest))
    }
}

fn scheme_of(text: &str) -> Option<Scheme> {
    let is = |known| text.eq_ignore_ascii_case(known);
    if is("https") {
        Some(Scheme::Https)
    } else {
        is("http").then_some(Scheme::Http)
    }
}

/// True if `authority` is the API's host, with the API's port or the scheme's own, written or not. A user is no part of the
/// host (RFC 3986 section 3.2) and is dropped: callers have a name of their own with us.
fn names(authority: &str, scheme: Scheme, api: &Origin) -> bool {
    let user_apart = authority.rsplit_once('@');
    let place = user_apart.map_or(authority, |(_, place)| place);
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (place, ""),
    };
    let usual = match scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
    };
    let fits = |port: u16| port == usual || port == api.port();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    without_dot(host).eq_ignore_ascii_case(without_dot(api.host()))
        && (port.is_empty() || port.parse().is_ok_and(fits))
}

/// A name with a final dot is the same name.
fn without_dot(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

/// The tenant's own host, with scheme and port of the public URL.
fn tenant_url(snapshot: &Snapshot, tenant: &str) -> String {
    let Some((before, after)) = &snapshot.tenant_host else {
        return snapshot.public_url.clone();
    };
    let url: Option<Uri> = snapshot.public_url.parse().ok();
    let scheme = url.as_ref().and_then(Uri::scheme_str).unwrap_or("https");
    let port = url
        .as_ref()
        .and_then(Uri::port_u16)
        .filter(|_| !after.contains(':'));
    match port {
        Some(port) => format!("{scheme}://{before}{tenant}{after}:{port}"),
        None => format!("{scheme}://{before}{tenant}{after}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::fixture;
    use url::Url;

    fn api(url: &str) -> Origin {
        Origin::from_url(&Url::parse(url).unwrap()).unwrap()
    }

    #[test]
    fn only_references_to_the_api_are_taken() {
        let api = api("https://external.pleo.io");
        let taken = [
            (
                "https://external.pleo.io/v1/x?y#z",
                Place::Absolute("/v1/x?y#z"),
            ),
            ("HTTPS://External.Pleo.io:443/a", Place::Absolute("/a")),
            ("//external.pleo.io?q", Place::Absolute("?q")),
            ("https://external.pleo.io", Place::Absolute("")),
            ("http://external.pleo.io/", Place::Absolute("/")),
            ("http://external.pleo.io:80/", Place::Absolute("/")),
            ("http://external.pleo.io:443/", Place::Absolute("/")),
            ("https://external.pleo.io:/a", Place::Absolute("/a")),
            ("https://external.pleo.io./a", Place::Absolute("/a")),
            ("https://me:x@external.pleo.io/", Place::Absolute("/")),
            ("https://a@b@external.pleo.io:443", Place::Absolute("")),
            ("/v1/x?to=http://a/", Place::Path("/v1/x?to=http://a/")),
        ];
        for (value, place) in taken {
            assert_eq!(Place::of(value, &api), Some(place), "{value}");
        }
        for value in [
            "https://external.pleo.io:444/",
            "https://external.pleo.io:80/",
            "//external.pleo.io:80/",
            "ftp://external.pleo.io/",
            "https://external.pleo.io.evil.example/",
            "https://external.pleo.io@evil.example/",
            "https://external.pleo.io:443@evil.example/",
            "https://external.pleo.io:x/",
            "https://evil.example/https://external.pleo.io/",
            "v1/x",
            "?q",
            "",
        ] {
            assert_eq!(Place::of(value, &api), None, "{value}");
        }
    }

    #[test]
    fn ports_and_addresses_are_compared() {
        let v6 = api("http://[::1]:9400");
        assert_eq!(
            Place::of("http://[::1]:9400/a", &v6),
            Some(Place::Absolute("/a"))
        );
        assert_eq!(
            Place::of("https://[::1]/a", &v6),
            Some(Place::Absolute("/a"))
        );
        assert_eq!(Place::of("http://[::1]:9401/a", &v6), None);
    }

    #[test]
    fn a_reference_that_is_not_ascii_comes_back_too() {
        let snapshot = fixture::snapshot();
        let permit = fixture::permit(&snapshot, "/v1/x", &[("pleo-gateway-tenant", "acme")]);
        let mut headers = HeaderMap::new();
        let there = HeaderValue::from_bytes("https://external.pleo.io/v1/é".as_bytes()).unwrap();
        headers.insert(LOCATION, there);
        let api = api("https://external.pleo.io");
        rewrite(&mut headers, &api, &permit, &snapshot);
        let here = "http://127.0.0.1:8080/v1/é".as_bytes();
        assert_eq!(headers[LOCATION].as_bytes(), here);
    }

    #[test]
    fn a_reference_comes_back_the_way_the_tenant_was_named() {
        let snapshot = fixture::snapshot();
        let by_header = &[("pleo-gateway-tenant", "acme")][..];
        let by_host = &[("host", "acme.pleo.localhost")][..];
        for (target, fields, absolute, path) in [
            ("/v1/x", by_header, "http://127.0.0.1:8080/v1/y?z", "/v1/y"),
            (
                "/tenants/acme/v1/x",
                &[],
                "http://127.0.0.1:8080/tenants/acme/v1/y?z",
                "/tenants/acme/v1/y",
            ),
            (
                "/v1/x",
                by_host,
                "http://acme.pleo.localhost:8080/v1/y?z",
                "/v1/y",
            ),
        ] {
            let permit = fixture::permit(&snapshot, target, fields);
            let mut headers = HeaderMap::new();
            let api = api("https://external.pleo.io");
            headers.insert(LOCATION, "https://external.pleo.io/v1/y?z".parse().unwrap());
            headers.insert(CONTENT_LOCATION, "/v1/y".parse().unwrap());
            rewrite(&mut headers, &api, &permit, &snapshot);
            assert_eq!(headers[LOCATION], absolute);
            assert_eq!(headers[CONTENT_LOCATION], path);
        }
    }
}
