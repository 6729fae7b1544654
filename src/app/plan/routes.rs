//! Routes that are added, removed or treated differently, by name.

use std::collections::BTreeMap;

use http::Method;
use serde::Serialize;

use super::super::fixed::named;
use super::{Difference, both};
use crate::model::ids::RouteName;
use crate::model::route::{Route, RouteOrigin};
use crate::model::route_table::RouteTable;

/// A route of which something changes.
#[derive(Debug, PartialEq, Serialize)]
pub struct ChangedRoute {
    /// Its name, with what it means.
    pub route: String,
    /// What changes, by key.
    pub keys: Vec<&'static str>,
}

/// The catalogue has its names, and an operator may deny an operation that is also imported.
type Key<'t> = (bool, &'t RouteName, bool);

pub(super) fn difference(
    before: &RouteTable,
    after: &RouteTable,
) -> Difference<String, ChangedRoute> {
    let (before, after) = (by_name(before), by_name(after));
    let mut difference = Difference::default();
    for key in both(before.keys().copied(), after.keys().copied()) {
        match (before.get(&key), after.get(&key)) {
            (None, Some(new)) => difference.added.push(shown(new)),
            (Some(old), None) => difference.removed.push(shown(old)),
            (Some(old), Some(new)) if old != new => difference.changed.push(ChangedRoute {
                route: shown(new),
                keys: changed_keys(old, new),
            }),
            _ => {}
        }
    }
    difference
}

fn by_name(table: &RouteTable) -> BTreeMap<Key<'_>, &Route> {
    let key = |route: &Route| route.origin == RouteOrigin::Catalogue;
    (table.iter())
        .map(|route| ((key(route), &route.name, route.deny), route.as_ref()))
        .collect()
}

/// Such as `employees: GET /v2/employees/{employeeId}`.
fn shown(route: &Route) -> String {
    let methods: Vec<&str> = route.methods.iter().map(Method::as_str).collect();
    let methods = if methods.is_empty() {
        "*".to_owned()
    } else {
        methods.join(",")
    };
    let deny = if route.deny { " (deny)" } else { "" };
    format!(
        "{}: {methods} {}{deny}",
        route.name,
        route.template.as_str()
    )
}

fn changed_keys(old: &Route, new: &Route) -> Vec<&'static str> {
    named([
        ("methods", old.methods != new.methods),
        ("path", old.template != new.template),
        ("scopes", old.scopes != new.scopes),
        ("callers", old.callers != new.callers),
        ("timeout", old.timeout != new.timeout),
        (
            "max_request_body",
            old.max_request_body != new.max_request_body,
        ),
        ("replay_buffer", old.replay_buffer != new.replay_buffer),
        ("company", old.company_query != new.company_query),
        ("observe", old.observe != new.observe),
        (
            "allow_set_cookie",
            old.allow_set_cookie != new.allow_set_cookie,
        ),
        ("rate", old.rate != new.rate),
        ("max_in_flight", old.max_in_flight != new.max_in_flight),
    ])
}
