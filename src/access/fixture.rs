//! Small snapshots, doors and heads for this room's tests.

use http::Method;
use http::request::{Parts, Request};

use super::denial::Denial;
use super::identify::key_digest;
use super::{PeerFacts, admit};
use crate::model::caller::{Caller, Tenants};
use crate::model::ids::{CallerName, RouteName, TenantName};
use crate::model::limits::Limits;
use crate::model::route::{Route, RouteOrigin, Template};
use crate::model::route_table::RouteTable;
use crate::model::scope::ScopeSet;
use crate::model::snapshot::{Callers, Door, Snapshot};

/// `erp`'s key.
pub(super) const ERP: (&str, &str) = ("pleo-gateway-key", "erp-key");
/// `crm`'s.
pub(super) const CRM: (&str, &str) = ("pleo-gateway-key", "crm-key");

/// A caller with the key `NAME-key`.
pub(super) fn caller(name: &str, tenants: &[&str]) -> Caller {
    Caller {
        name: CallerName::new(name),
        key_digests: vec![key_digest(format!("{name}-key").as_bytes())],
        client_certs: Vec::new(),
        unix_uids: Vec::new(),
        anonymous: false,
        tenants: match tenants {
            ["*"] => Tenants::All,
            names => Tenants::Named(names.iter().map(|name| tenant(name)).collect()),
        },
        ceiling: None,
        rate: None,
        max_in_flight: None,
    }
}

/// A caller without a key: whoever presents nothing.
pub(super) fn anonymous(tenants: &[&str]) -> Caller {
    Caller {
        key_digests: Vec::new(),
        anonymous: true,
        ..caller("anyone", tenants)
    }
}

/// A route named by its path.
pub(super) fn route(method: Method, path: &str, scopes: &str) -> Route {
    Route {
        methods: vec![method],
        scopes: ScopeSet::parse(scopes).unwrap(),
        ..Route::new(
            RouteName::new(path),
            Template::parse(path).unwrap(),
            RouteOrigin::Explicit,
        )
    }
}

/// `erp` may call for `acme`, `crm` for `acme` and `beta`; `GET /v1/vendors/{id}` needs `vendors:read`.
pub(super) fn snapshot() -> Snapshot {
    let routes = vec![route(Method::GET, "/v1/vendors/{id}", "vendors:read")];
    with(
        vec![caller("erp", &["acme"]), caller("crm", &["acme", "beta"])],
        routes,
    )
}

pub(super) fn with(callers: Vec<Caller>, routes: Vec<Route>) -> Snapshot {
    Snapshot {
        generation: 1,
        callers: Callers::new(callers),
        tenants: std::collections::HashMap::default(),
        routes: RouteTable::build(routes).unwrap(),
        limits: Limits::default(),
        doors: Vec::new(),
        public_url: "http://127.0.0.1:8080".into(),
        tenant_host: None,
        access_log: false,
    }
}

pub(super) fn tenant(name: &str) -> TenantName {
    TenantName::parse(name).unwrap()
}

/// A door on loopback.
pub(super) fn local_door() -> Door {
    Door {
        tenant: None,
        hosts: vec!["localhost".into(), "127.0.0.1:8080".into()],
        local: true,
    }
}

/// Somebody of whom nothing is known but the door.
pub(super) fn at(door: &Door) -> PeerFacts<'_> {
    PeerFacts {
        door,
        unix_uid: None,
        certificate_names: None,
    }
}

/// An HTTP/1.1 head; the Host is `localhost:8080` unless one is given.
pub(super) fn head(method: Method, target: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(target);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "localhost:8080");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

pub(super) fn get(target: &str, headers: &[(&str, &str)]) -> Parts {
    head(Method::GET, target, headers)
}

/// Why a GET is denied; `None` if it is not.
pub(super) fn denial(
    snapshot: &Snapshot,
    door: &Door,
    headers: &[(&str, &str)],
    target: &str,
) -> Option<Denial> {
    admit(snapshot, &get(target, headers), at(door))
        .err()
        .map(|denied| denied.denial)
}
