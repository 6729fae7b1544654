//! On whose behalf (contract.md section 3.2): the door's pin, the path, the Host, a header, or the caller's only tenant.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};

use super::Call;
use super::denial::{Denial, TenantUnclear};
use super::host::Host;
use super::permit::TenantSource;
use crate::model::caller::Caller;
use crate::model::ids::TenantName;
use crate::model::path::CanonicalPath;
use crate::model::snapshot::Snapshot;

const TENANT: HeaderName = HeaderName::from_static("pleo-gateway-tenant");
const PREFIX: &str = "/tenants";

/// The tenant, what named it, and the path without the prefix.
pub(super) struct Named {
    pub(super) tenant: TenantName,
    pub(super) source: TenantSource,
    pub(super) path: CanonicalPath,
}

/// The tenant whom all sources name, if the caller may call for them.
pub(super) fn named(call: Call<'_>, path: CanonicalPath) -> Result<Named, Denial> {
    let in_path = in_path(path.path())?;
    let (source, tenant) = {
        // All must agree: the order only says which of them is told.
        let sources = [
            (TenantSource::Path, in_path.map(Cow::Borrowed)),
            (
                TenantSource::Host,
                call.host.and_then(|host| label(call.snapshot, host)),
            ),
            (
                TenantSource::Door,
                call.door.tenant.as_ref().map(|name| name.as_ref().into()),
            ),
            (
                TenantSource::Header,
                in_header(&call.head.headers)?.map(Cow::Borrowed),
            ),
        ];
        agreed(sources, call.caller)?
    };
    let path = match in_path {
        Some(name) => path.skip(PREFIX.len() + 1 + name.len())?,
        None => path,
    };
    Ok(Named {
        tenant,
        source,
        path,
    })
}

type Source<'a> = (TenantSource, Option<Cow<'a, str>>);

/// Names are compared as they are written, so that the answer to two that differ says nothing about either.
fn agreed(sources: [Source<'_>; 4], caller: &Caller) -> Result<(TenantSource, TenantName), Denial> {
    let mut named = sources
        .into_iter()
        .filter_map(|(source, name)| Some((source, name?)));
    let Some((source, name)) = named.next() else {
        let only = caller.tenants.only().ok_or(TenantUnclear::Unnamed)?;
        return Ok((TenantSource::OnlyTenant, only.clone()));
    };
    if named.any(|(_, other)| other != name) {
        return Err(TenantUnclear::Disagree.into());
    }
    let tenant = match caller.tenants.listed(&name) {
        Some(tenant) => tenant.clone(),
        None => TenantName::parse(&name).map_err(|_| Denial::TenantForbidden)?,
    };
    if caller.tenants.contains(&tenant) {
        Ok((source, tenant))
    } else {
        Err(Denial::TenantForbidden)
    }
}

/// The tenant of `/tenants/{tenant}/…`. None of Pleo's paths begins like this.
fn in_path(path: &str) -> Result<Option<&str>, TenantUnclear> {
    match path.strip_prefix(PREFIX) {
        Some("") => Err(TenantUnclear::NoPath),
        Some(rest) => match rest.strip_prefix('/').map(|rest| rest.split_once('/')) {
            Some(Some((name, _))) => Ok(Some(name)),
            Some(None) => Err(TenantUnclear::NoPath),
            None => Ok(None),
        },
        None => Ok(None),
    }
}

/// What a Host has in place of `{tenant}`, in lower case; `None` if it does not match `tenant_host`, or is everybody's.
pub(super) fn label<'a>(snapshot: &Snapshot, host: Host<'a>) -> Option<Cow<'a, str>> {
    let (before, after) = snapshot.tenant_host.as_ref()?;
    let (after, port) = match after.split_once(':') {
        Some((after, port)) => (after, Some(port)),
        None => (after.as_str(), None),
    };
    let name = host.name;
    let end = name.len().checked_sub(after.len())?;
    let label = name.get(before.len()..end)?;
    let made = name[..before.len()].eq_ignore_ascii_case(before)
        && name[end..].eq_ignore_ascii_case(after)
        && (port.is_none() || port == host.port);
    if !made {
        return None;
    }
    let label = if label.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(label.to_ascii_lowercase())
    } else {
        Cow::Borrowed(label)
    };
    (!is_everybodys(snapshot, host, &label)).then_some(label)
}

/// `gw.pleo.internal` of `public_url` beside `{tenant}.pleo.internal`: it names no tenant, unless the configuration has one
/// that is called `gw`. Whatever the port: a forwarder may have changed it.
fn is_everybodys(snapshot: &Snapshot, host: Host<'_>, label: &str) -> bool {
    let public = snapshot.public_url.split_once("://");
    public
        .and_then(|(_, authority)| Host::parse(authority))
        .is_some_and(|public| public.name.eq_ignore_ascii_case(host.name))
        && !snapshot.names_tenant(label)
}

/// A value that is not text names no tenant.
fn in_header(headers: &HeaderMap) -> Result<Option<&str>, Denial> {
    let mut values = headers.get_all(TENANT).iter();
    let value = values.next();
    if values.next().is_some() {
        return Err(TenantUnclear::Repeated.into());
    }
    value
        .map(|value| value.to_str())
        .transpose()
        .map_err(|_| Denial::TenantForbidden)
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::super::admit;
    use super::super::fixture::{CRM, ERP, at, caller, denial, get, route, snapshot, tenant, with};
    use super::*;
    use crate::model::ids::CallerName;
    use crate::model::snapshot::Door;

    #[test]
    fn a_tenant_may_be_named_in_five_ways() {
        let pinned = Door {
            tenant: Some(tenant("beta")),
            ..Door::default()
        };
        let mut snapshot = snapshot();
        snapshot.tenant_host = Some((String::new(), ".pleo.internal".into()));
        for (door, headers, target, expected) in [
            (&pinned, &[CRM][..], "/v1/vendors/7", TenantSource::Door),
            (
                &pinned,
                &[CRM],
                "/tenants/beta/v1/vendors/7",
                TenantSource::Path,
            ),
            (
                &pinned,
                &[CRM, ("host", "beta.pleo.internal")],
                "/v1/vendors/7",
                TenantSource::Host,
            ),
            (
                &Door::default(),
                &[CRM, ("host", "beta.pleo.internal")],
                "/tenants/beta/v1/vendors/7",
                TenantSource::Path,
            ),
            (
                &Door::default(),
                &[CRM],
                "/tenants/beta/v1/vendors/7",
                TenantSource::Path,
            ),
            (
                &Door::default(),
                &[CRM, ("host", "Beta.Pleo.internal:80")],
                "/v1/vendors/7",
                TenantSource::Host,
            ),
            (
                &Door::default(),
                &[CRM, ("host", "beta.pleo.internal.")],
                "/v1/vendors/7",
                TenantSource::Host,
            ),
            (
                &Door::default(),
                &[CRM, ("pleo-gateway-tenant", "beta")],
                "/v1/vendors/7",
                TenantSource::Header,
            ),
        ] {
            let permit = admit(&snapshot, &get(target, headers), at(door)).unwrap();
            assert_eq!(
                (permit.named_by(), permit.tenant().as_ref()),
                (expected, "beta"),
                "{target}"
            );
        }
    }

    #[test]
    fn the_public_host_is_no_tenants_unless_one_is_called_so() {
        let door = Door::default();
        let source = |snapshot: &Snapshot, host: &str, target: &str| {
            let permit = admit(snapshot, &get(target, &[CRM, ("host", host)]), at(&door));
            permit.map(|permit| permit.named_by()).ok()
        };
        let mut snapshot = snapshot();
        snapshot.tenant_host = Some((String::new(), ".pleo.internal".into()));
        snapshot.public_url = "http://gw.pleo.internal:8080".into();
        let prefixed = "/tenants/acme/v1/vendors/7";
        for host in [
            "gw.pleo.internal:8080",
            "GW.Pleo.internal",
            "gw.pleo.internal.:1",
        ] {
            assert_eq!(
                source(&snapshot, host, prefixed),
                Some(TenantSource::Path),
                "{host}"
            );
        }
        let other = source(&snapshot, "gw2.pleo.internal:8080", prefixed);
        assert_eq!(other, None);
        snapshot.public_url = "http://beta.pleo.internal:8080".into();
        let called_so = source(&snapshot, "beta.pleo.internal:8080", "/v1/vendors/7");
        assert_eq!(called_so, Some(TenantSource::Host));
    }

    #[test]
    fn a_tenant_that_is_unclear_is_refused() {
        let pinned = Door {
            tenant: Some(tenant("acme")),
            ..Door::default()
        };
        let mut snapshot = snapshot();
        snapshot.tenant_host = Some((String::new(), ".pleo.internal".into()));
        let beta = ("pleo-gateway-tenant", "beta");
        let anywhere = Door::default();
        for (door, headers, target, expected) in [
            (
                &anywhere,
                &[CRM][..],
                "/v1/vendors/7",
                TenantUnclear::Unnamed,
            ),
            (
                &anywhere,
                &[CRM, beta, beta],
                "/v1/vendors/7",
                TenantUnclear::Repeated,
            ),
            (
                &anywhere,
                &[CRM, beta],
                "/tenants/acme/v1/vendors/7",
                TenantUnclear::Disagree,
            ),
            (
                &anywhere,
                &[CRM, beta, ("host", "acme.pleo.internal")],
                "/v1/vendors/7",
                TenantUnclear::Disagree,
            ),
            (
                &pinned,
                &[CRM, beta],
                "/v1/vendors/7",
                TenantUnclear::Disagree,
            ),
            (
                &pinned,
                &[CRM],
                "/tenants/beta/v1/vendors/7",
                TenantUnclear::Disagree,
            ),
            (&anywhere, &[ERP], "/tenants", TenantUnclear::NoPath),
            (&anywhere, &[ERP], "/tenants/", TenantUnclear::NoPath),
            (
                &anywhere,
                &[ERP],
                "/%74enants/acme?x=/",
                TenantUnclear::NoPath,
            ),
        ] {
            let refused = denial(&snapshot, door, headers, target);
            assert_eq!(
                refused,
                Some(Denial::Tenant(expected)),
                "{target} {headers:?}"
            );
        }
    }

    #[test]
    fn a_foreign_tenant_an_unknown_one_and_no_name_at_all_are_one_answer() {
        let pinned = Door {
            tenant: Some(tenant("beta")),
            ..Door::default()
        };
        assert_eq!(
            denial(&snapshot(), &pinned, &[ERP], "/v1/vendors/7"),
            Some(Denial::TenantForbidden)
        );
        for name in ["beta", "unknown", "ACME", "a_b", "a%2Cb"] {
            let target = format!("/tenants/{name}/v1/vendors/7");
            let denied =
                admit(&snapshot(), &get(&target, &[ERP]), at(&Door::default())).unwrap_err();
            assert_eq!(denied.denial, Denial::TenantForbidden, "{name}");
            assert_eq!(
                (denied.caller, denied.tenant),
                (Some(CallerName::new("erp")), None)
            );
        }
        for name in ["beta", "unknown", "Acme", "", "acme,beta"] {
            let headers = [ERP, ("pleo-gateway-tenant", name)];
            let refused = denial(&snapshot(), &Door::default(), &headers, "/v1/vendors/7");
            assert_eq!(refused, Some(Denial::TenantForbidden), "{name}");
        }
    }

    #[test]
    fn a_caller_for_all_tenants_must_name_one_and_may_name_any() {
        let snapshot = with(
            vec![caller("ops", &["*"])],
            vec![route(Method::GET, "/v1/x", "")],
        );
        let key = ("pleo-gateway-key", "ops-key");
        let unnamed = denial(&snapshot, &Door::default(), &[key], "/v1/x");
        assert_eq!(unnamed, Some(Denial::Tenant(TenantUnclear::Unnamed)));
        assert_eq!(
            denial(&snapshot, &Door::default(), &[key], "/tenants/new/v1/x"),
            None
        );
    }
}
