//! What is admitted, as whom, for whom and to what; and by what name the rest is refused.

use http::Method;

use super::denial::{Denial, InvalidHost, RouteDenied};
use super::fixture::{
    CRM, ERP, at, caller, denial, get, head, local_door, route, snapshot, tenant, with,
};
use super::permit::TenantSource;
use super::{admit, admit_as};
use crate::model::caller::Caller;
use crate::model::ids::CallerName;
use crate::model::path::InvalidTarget;
use crate::model::route::Route;
use crate::model::scope::ScopeSet;
use crate::model::snapshot::Door;

#[test]
fn a_permit_says_who_for_whom_by_which_route_and_what_to_ask_pleo() {
    let request = get("/tenants/beta/v1/%76endors/7%2d8?x=%2f&y&y=", &[CRM]);
    let permit = admit(&snapshot(), &request, at(&Door::default())).unwrap();
    assert_eq!(permit.caller().name.as_ref(), "crm");
    assert_eq!(permit.tenant().as_ref(), "beta");
    assert_eq!(permit.route().name.as_ref(), "/v1/vendors/{id}");
    assert_eq!(permit.target(), "/v1/vendors/7-8?x=%2f&y&y=");
    assert_eq!(permit.named_by(), TenantSource::Path);
}

#[test]
fn a_plain_target_is_handed_on_without_a_copy() {
    let request = get("/v1/vendors/7?q=1", &[ERP]);
    let permit = admit(&snapshot(), &request, at(&Door::default())).unwrap();
    assert_eq!(permit.named_by(), TenantSource::OnlyTenant);
    let sent = request.uri.path_and_query().unwrap().as_str().as_ptr();
    assert_eq!(permit.target().as_str().as_ptr(), sent);
}

#[test]
fn explain_takes_a_caller_at_their_word_and_for_nothing_else() {
    let snapshot = snapshot();
    let erp = snapshot.callers.iter().next().unwrap();
    let ask = |target| admit_as(erp, &snapshot, &get(target, &[]), &Door::default());
    assert_eq!(ask("/v1/vendors/7").unwrap().caller(), erp);
    let denied = ask("/tenants/beta/v1/vendors/7").unwrap_err();
    assert_eq!(denied.denial, Denial::TenantForbidden);
}

#[test]
fn what_matches_no_route_of_this_caller_is_denied_with_what_is_known() {
    let snapshot = with(
        vec![caller("erp", &["acme"])],
        vec![
            route(Method::GET, "/v1/{*rest}", ""),
            Route {
                deny: true,
                ..route(Method::GET, "/v1/secret", "")
            },
            Route {
                callers: vec![CallerName::new("crm")],
                ..route(Method::GET, "/v1/crm", "")
            },
        ],
    );
    for (target, why, route) in [
        ("/v2", RouteDenied::NoRoute, None),
        ("/v1/secret", RouteDenied::Deny, Some("/v1/secret")),
        ("/v1/%73ecret", RouteDenied::Deny, Some("/v1/secret")),
        ("/v1/crm", RouteDenied::NotForCaller, Some("/v1/crm")),
    ] {
        let denied = admit(&snapshot, &get(target, &[ERP]), at(&Door::default())).unwrap_err();
        assert_eq!(denied.denial, Denial::Route(why), "{target}");
        assert_eq!(denied.tenant, Some(tenant("acme")));
        assert_eq!(
            denied.route.as_ref().map(|found| found.name.as_ref()),
            route
        );
    }
    let post = head(Method::POST, "/v1/x", &[ERP]);
    let denied = admit(&snapshot, &post, at(&Door::default())).unwrap_err();
    assert_eq!(denied.denial, Denial::Route(RouteDenied::NoRoute));
}

#[test]
fn a_ceiling_holds_except_where_a_route_observes() {
    let scopes = |text| ScopeSet::parse(text).unwrap();
    let erp = Caller {
        ceiling: Some(scopes("a")),
        ..caller("erp", &["acme"])
    };
    let snapshot = with(
        vec![erp],
        vec![
            route(Method::GET, "/within", "a"),
            route(Method::GET, "/above", "a b"),
            Route {
                scopes_documented: false,
                ..route(Method::GET, "/undocumented", "b")
            },
            Route {
                observe: true,
                ..route(Method::GET, "/observed", "a b c")
            },
        ],
    );
    let asked = |target| admit(&snapshot, &get(target, &[ERP]), at(&Door::default()));
    assert_eq!(asked("/within").unwrap().observed(), None);
    let above = Denial::ScopeForbidden(scopes("b"));
    assert_eq!(asked("/above").unwrap_err().denial, above);
    assert_eq!(asked("/undocumented").unwrap_err().denial, above);
    assert_eq!(asked("/observed").unwrap().observed(), Some(&scopes("b c")));
}

#[test]
fn what_is_wrong_with_the_head_is_said_before_anything_else() {
    for method in [Method::CONNECT, Method::TRACE] {
        let denied = admit(
            &snapshot(),
            &head(method, "/v1/vendors/7", &[]),
            at(&local_door()),
        );
        assert_eq!(denied.unwrap_err().denial, Denial::MethodRefused);
    }
    let mut snapshot = snapshot();
    snapshot.limits.max_uri_bytes = 20;
    snapshot.limits.max_headers = 4;
    snapshot.limits.max_header_bytes = 200;
    let long = "x".repeat(150);
    let many = [ERP, ("a", ""), ("b", ""), ("c", "")];
    for (headers, target, expected) in [
        (&[ERP][..], "/v1/vendors/12345678", None),
        (
            &[ERP],
            "/v1/vendors/123456789",
            Some(Denial::UriTooLong { limit: 20 }),
        ),
        (&many, "/v1/vendors/1", Some(Denial::HeadersTooLarge)),
        (
            &[ERP, ("a", &long)],
            "/v1/vendors/1",
            Some(Denial::HeadersTooLarge),
        ),
        (
            &[ERP, ("host", "a b")],
            "/",
            Some(Denial::Host(InvalidHost::Malformed)),
        ),
        (&[ERP], "*", Some(Denial::Target(InvalidTarget::NotAPath))),
        (
            &[ERP],
            "/v1/../v1",
            Some(Denial::Target(InvalidTarget::DotSegment)),
        ),
        (
            &[ERP],
            "/a?access_token=1",
            Some(Denial::Target(InvalidTarget::TokenInQuery)),
        ),
    ] {
        assert_eq!(
            denial(&snapshot, &Door::default(), headers, target),
            expected,
            "{target}"
        );
    }
}

#[test]
fn a_foreign_scheme_is_no_target_of_ours() {
    let request = get("ftp://localhost:8080/v1/vendors/7", &[ERP]);
    let denied = admit(&snapshot(), &request, at(&Door::default())).unwrap_err();
    assert_eq!(denied.denial, Denial::Target(InvalidTarget::NotAPath));
}
