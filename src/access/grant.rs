//! The checks that need the connection: does the tenant's consent cover the route, and does the request name the right
//! company? Asked by `tokens` before it hands out a bearer, and by `explain`.

use super::permit::Permit;
use crate::model::ids::CompanyId;
use crate::model::query;
use crate::model::route::Route;
use crate::model::scope::ScopeSet;

/// Why the connection does not serve this call.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum GrantDenial {
    /// `scope-missing`: required, and not granted by the tenant's consent.
    #[error("not granted by the tenant's consent: {0}")]
    MissingScopes(ScopeSet),
    /// `not-connected`: the tenant is pinned to another company than the connection's.
    #[error("the connection is to another company than the configuration pins")]
    ForeignCompany,
    /// `bad-request`: the query does not name the connection's company, and nothing else.
    #[error("the query must name the connection's company")]
    WrongCompany,
}

/// Whether a connection with these scopes, to this company, can serve the call. What is not known counts as not granted.
/// Scopes that Pleo does not document and those of an observing route are left to Pleo, see [`missing`]; the company is
/// not.
pub fn granted(
    permit: &Permit,
    scopes: Option<&ScopeSet>,
    company: Option<&CompanyId>,
) -> Result<(), GrantDenial> {
    if permit
        .pinned()
        .is_some_and(|pinned| Some(pinned) != company)
    {
        return Err(GrantDenial::ForeignCompany);
    }
    if enforces(permit.route())
        && let Some(missing) = missing(permit, scopes)
    {
        return Err(GrantDenial::MissingScopes(missing));
    }
    match &permit.route().company_query {
        Some(key) if !names_company(permit, key, company) => Err(GrantDenial::WrongCompany),
        _ => Ok(()),
    }
}

/// True if a scope missing from the grant refuses a call; otherwise it is only observed.
pub fn enforces(route: &Route) -> bool {
    route.scopes_documented && !route.observe
}

/// The required scopes that were not granted, enforced or not; `None`, without allocating, if there are none.
pub fn missing(permit: &Permit, scopes: Option<&ScopeSet>) -> Option<ScopeSet> {
    let required = &permit.route().scopes;
    match scopes {
        _ if required.is_empty() => None,
        Some(scopes) if required.is_covered_by(scopes) => None,
        Some(scopes) => Some(required.missing_from(scopes)),
        None => Some(required.clone()),
    }
}

/// True if the query names this company at least once and never another, however it is read: to some software `;` is a
/// separator, and a name in other case, with blanks around it or with an index (`key[0]`, `key.x`) may mean the key. Such a
/// name is refused.
fn names_company(permit: &Permit, key: &str, company: Option<&CompanyId>) -> bool {
    let (Some(company), Some(query)) = (company, permit.target().query()) else {
        return false;
    };
    let named = query::pairs(query).any(|(name, value)| name == key && value == company.as_ref());
    let parts = query.split(['&', ';']).flat_map(query::pairs);
    named
        && (query::pairs(query).chain(parts)).all(|(name, value)| {
            if name == key {
                value == company.as_ref()
            } else {
                !may_mean(&name, key)
            }
        })
}

/// True if lenient software could take `name` for `key`.
fn may_mean(name: &str, key: &str) -> bool {
    let bare = name.trim_matches(|c: char| c.is_whitespace() || c.is_control());
    let parts = bare.split_at_checked(key.len());
    parts.is_some_and(|(bare, rest)| {
        bare.eq_ignore_ascii_case(key) && (rest.is_empty() || rest.starts_with(['[', '.', '\0']))
    })
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::super::admit;
    use super::super::fixture::{at, caller, get, route, with};
    use super::*;
    use crate::model::snapshot::Door;

    fn permit(route: Route, target: &str) -> Permit {
        let snapshot = with(vec![caller("erp", &["acme"])], vec![route]);
        let head = get(target, &[("pleo-gateway-key", "erp-key")]);
        admit(&snapshot, &head, at(&Door::default())).unwrap()
    }

    fn scopes(text: &str) -> ScopeSet {
        ScopeSet::parse(text).unwrap()
    }

    #[test]
    fn what_the_consent_lacks_is_named() {
        let permit = permit(route(Method::GET, "/a", "a b"), "/a");
        assert_eq!(granted(&permit, Some(&scopes("c b a")), None), Ok(()));
        let lacking = |text| Err(GrantDenial::MissingScopes(scopes(text)));
        assert_eq!(granted(&permit, Some(&scopes("a")), None), lacking("b"));
        assert_eq!(granted(&permit, None, None), lacking("a b"));
    }

    #[test]
    fn undocumented_scopes_and_observing_routes_are_left_to_pleo() {
        for route in [
            Route {
                scopes_documented: false,
                ..route(Method::GET, "/a", "a b")
            },
            Route {
                observe: true,
                ..route(Method::GET, "/a", "a b")
            },
        ] {
            let permit = permit(route, "/a");
            assert_eq!(granted(&permit, Some(&scopes("a")), None), Ok(()));
            assert_eq!(missing(&permit, Some(&scopes("a"))), Some(scopes("b")));
        }
    }

    #[test]
    fn the_query_must_name_the_connections_company_and_no_other() {
        let company = CompanyId::new("c-1");
        for (target, fits) in [
            ("/a?company_id=c-1", true),
            ("/a?x&company_id=%63-1&company_id=c-1", true),
            ("/a", false),
            ("/a?company_id", false),
            ("/a?company_id=c-2", false),
            ("/a?company_id=C-1", false),
            ("/a?company_id=c-1&company%5fid=c-2", false),
            ("/a?company_id=c-1&company_id[]=c-2", false),
            ("/a?company_ids=c-1", false),
            ("/a?company_id=c-1&company_ids=c-2", true),
            ("/a?company_id=c-1&x=1;company_id=c-2", false),
            ("/a?x=1;company_id=c-1", false),
            ("/a?company_id=c-1;", false),
            ("/a?company_id=c-1&x=%3Bcompany_id%3Dc-2", true),
            ("/a?company_id=c-1&Company_Id=c-2", false),
            ("/a?company_id=c-1&+company_id=c-2", false),
            ("/a?company_id=c-1&company_id%00=c-2", false),
            ("/a?company_id=c-1&company_id%5B0%5D=c-2", false),
            ("/a?company_id=c-1&company_id.x=c-2", false),
        ] {
            let route = Route {
                company_query: Some("company_id".into()),
                ..route(Method::GET, "/a", "")
            };
            let permit = permit(route, target);
            let expected = if fits {
                Ok(())
            } else {
                Err(GrantDenial::WrongCompany)
            };
            assert_eq!(granted(&permit, None, Some(&company)), expected, "{target}");
            assert_eq!(granted(&permit, None, None), Err(GrantDenial::WrongCompany));
        }
    }
}
