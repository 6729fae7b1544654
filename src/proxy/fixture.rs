//! A small configuration and permits for this room's tests.

use http::request::Parts;
use http::{Method, Request};

use crate::access::identify::key_digest;
use crate::access::permit::Permit;
use crate::access::{PeerFacts, admit};
use crate::model::caller::{Caller, Tenants};
use crate::model::ids::{CallerName, RouteName, TenantName};
use crate::model::limits::Limits;
use crate::model::route::{Route, RouteOrigin, Template};
use crate::model::route_table::RouteTable;
use crate::model::snapshot::{Callers, Door, Snapshot};

/// Anybody may call anything for `acme` and `beta`; tenants have a host of their own.
pub(super) fn snapshot() -> Snapshot {
    snapshot_with(|_, _| {})
}

/// The same with its one caller and its one route changed.
pub(super) fn snapshot_with(change: impl FnOnce(&mut Caller, &mut Route)) -> Snapshot {
    let tenant = |name| TenantName::parse(name).unwrap();
    let mut caller = Caller {
        name: CallerName::new("anyone"),
        key_digests: Vec::new(),
        client_certs: Vec::new(),
        unix_uids: Vec::new(),
        anonymous: true,
        tenants: Tenants::Named(vec![tenant("acme"), tenant("beta")]),
        ceiling: None,
        rate: None,
        max_in_flight: None,
    };
    let template = Template::parse("/{*rest}").unwrap();
    let mut route = Route::new(RouteName::new("all"), template, RouteOrigin::Explicit);
    change(&mut caller, &mut route);
    Snapshot {
        generation: 1,
        callers: Callers::new(vec![caller]),
        tenants: std::collections::HashMap::default(),
        routes: RouteTable::build(vec![route]).unwrap(),
        limits: Limits::default(),
        doors: Vec::new(),
        public_url: "http://127.0.0.1:8080".into(),
        tenant_host: Some((String::new(), ".pleo.localhost".into())),
        access_log: false,
    }
}

pub(super) fn head(method: Method, target: &str, fields: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(target);
    if !fields.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "localhost");
    }
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

/// The permit for a call with these fields, in a configuration as [`snapshot`] makes it.
pub(super) fn permit(snapshot: &Snapshot, target: &str, fields: &[(&str, &str)]) -> Permit {
    let door = Door {
        hosts: vec!["localhost".into(), "acme.pleo.localhost".into()],
        local: true,
        ..Door::default()
    };
    let peer = PeerFacts {
        door: &door,
        unix_uid: None,
        certificate_names: None,
    };
    admit(snapshot, &head(Method::GET, target, fields), peer).unwrap()
}

/// Callers with the keys `NAME-key` that all call for `acme`, each with a permit for the one route.
pub(super) fn shared<const N: usize>(names: [&str; N]) -> (Snapshot, [Permit; N]) {
    let snapshot = snapshot();
    let callers = names.map(|name| Caller {
        name: CallerName::new(name),
        key_digests: vec![key_digest(format!("{name}-key").as_bytes())],
        anonymous: false,
        ..Caller::clone(snapshot.callers.anonymous().unwrap())
    });
    let snapshot = Snapshot {
        callers: Callers::new(callers.to_vec()),
        ..snapshot
    };
    let permits = names.map(|name| {
        let key = format!("{name}-key");
        permit(
            &snapshot,
            "/x",
            &[("pleo-gateway-tenant", "acme"), ("pleo-gateway-key", &key)],
        )
    });
    (snapshot, permits)
}
