//! Where anonymous callers are allowed, only the Host tells a local program from a web page that a browser on the same
//! machine shows. A page of a foreign site must not call, not even one whose name was made to resolve to loopback.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::denial::Denial;
use super::host::Host;
use super::tenant;
use crate::model::ids::TenantName;
use crate::model::snapshot::{Door, Snapshot};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses foreign names and foreign pages at a door where `anonymous` applies, whoever calls.
pub(super) fn check(
    snapshot: &Snapshot,
    door: &Door,
    headers: &HeaderMap,
    host: Option<Host<'_>>,
) -> Result<(), Denial> {
    if !door.local || snapshot.callers.anonymous().is_none() {
        return Ok(());
    }
    let is_own = |host: Host<'_>| is_own(snapshot, door, host);
    if !host.is_some_and(is_own) {
        return Err(Denial::Misdirected);
    }
    let same_origin = |origin: &HeaderValue| host_of(origin).is_some_and(is_own);
    let same_site = |site: &HeaderValue| site == "same-origin" || site == "none";
    if headers.get_all(header::ORIGIN).iter().all(same_origin)
        && headers.get_all(SEC_FETCH_SITE).iter().all(same_site)
    {
        Ok(())
    } else {
        Err(Denial::CrossSite)
    }
}

/// A name of the door, or one that `tenant_host` makes.
fn is_own(snapshot: &Snapshot, door: &Door, host: Host<'_>) -> bool {
    door.hosts.iter().any(|entry| host.is(entry))
        || tenant::label(snapshot, host).is_some_and(|label| TenantName::parse(&label).is_ok())
}

/// The host of an origin; `null` has none.
fn host_of(origin: &HeaderValue) -> Option<Host<'_>> {
    let origin = origin.to_str().ok()?;
    let host = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"))?;
    Host::parse(host)
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::super::denial::CallerUnknown;
    use super::super::fixture::{
        ERP, anonymous, caller, denial, local_door, route, snapshot, with,
    };
    use super::*;

    #[test]
    fn a_web_page_cannot_use_an_anonymous_door() {
        let snapshot = with(
            vec![anonymous(&["acme"]), caller("erp", &["acme"])],
            vec![route(Method::GET, "/v1/x", "")],
        );
        let door = local_door();
        for (headers, expected) in [
            (&[][..], None),
            (&[("host", "127.0.0.1:8080")], None),
            (
                &[
                    ("origin", "http://localhost:8080"),
                    ("sec-fetch-site", "same-origin"),
                ],
                None,
            ),
            (&[("sec-fetch-site", "none")], None),
            (&[("host", "127.0.0.1:80")], Some(Denial::Misdirected)),
            (
                &[("host", "rebound.evil.example:8080")],
                Some(Denial::Misdirected),
            ),
            (
                &[("host", "localhost.evil.example")],
                Some(Denial::Misdirected),
            ),
            (
                &[ERP, ("host", "rebound.evil.example")],
                Some(Denial::Misdirected),
            ),
            (
                &[("origin", "http://evil.example")],
                Some(Denial::CrossSite),
            ),
            (&[("origin", "null")], Some(Denial::CrossSite)),
            (&[("origin", "file://localhost")], Some(Denial::CrossSite)),
            (
                &[
                    ("origin", "http://localhost"),
                    ("origin", "http://evil.example"),
                ],
                Some(Denial::CrossSite),
            ),
            (&[("sec-fetch-site", "cross-site")], Some(Denial::CrossSite)),
            (&[("sec-fetch-site", "same-site")], Some(Denial::CrossSite)),
            (
                &[ERP, ("sec-fetch-site", "cross-site")],
                Some(Denial::CrossSite),
            ),
        ] {
            assert_eq!(
                denial(&snapshot, &door, headers, "/v1/x"),
                expected,
                "{headers:?}"
            );
        }
    }

    #[test]
    fn the_rules_for_pages_hold_at_anonymous_doors_only() {
        let foreign = [
            ERP,
            ("host", "gateway.example"),
            ("origin", "https://erp.example"),
        ];
        assert_eq!(
            denial(&snapshot(), &local_door(), &foreign, "/v1/vendors/7"),
            None
        );
        let snapshot = with(
            vec![anonymous(&["acme"]), caller("erp", &["acme"])],
            vec![route(Method::GET, "/v1/x", "")],
        );
        assert_eq!(denial(&snapshot, &Door::default(), &foreign, "/v1/x"), None);
        let nobody = Some(Denial::Caller(CallerUnknown::Missing));
        assert_eq!(denial(&snapshot, &Door::default(), &[], "/v1/x"), nobody);
    }

    #[test]
    fn hosts_that_tenant_host_makes_are_the_doors_own() {
        let mut snapshot = with(
            vec![anonymous(&["acme"])],
            vec![route(Method::GET, "/v1/x", "")],
        );
        snapshot.tenant_host = Some((String::new(), ".pleo.internal".into()));
        let own = [("host", "acme.pleo.internal:8080")];
        assert_eq!(denial(&snapshot, &local_door(), &own, "/v1/x"), None);
        for host in [
            "a.b.pleo.internal",
            ".pleo.internal",
            "pleo.internal",
            "acme.pleo.internal.evil.example",
        ] {
            let refused = denial(&snapshot, &local_door(), &[("host", host)], "/v1/x");
            assert_eq!(refused, Some(Denial::Misdirected), "{host}");
        }
    }
}
