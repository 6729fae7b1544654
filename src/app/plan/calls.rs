//! What a caller may call: for every method and template of either configuration, a table is asked about a path made from
//! the template. Which route answers is up to the table, not guessed here.

use std::collections::BTreeSet;

use http::Method;
use serde::{Serialize, Serializer};

use crate::model::caller::Caller;
use crate::model::route::{Route, Segment, Template};
use crate::model::route_table::{Found, RouteTable};
use crate::model::snapshot::Snapshot;

/// Stands in for a parameter: a value that no literal is likely to have.
const VALUE: &str = "~";

/// What `every method` is asked with.
const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// A method and the paths of one template.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    template: String,
    method: String,
    path: String,
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.template)
    }
}

impl Serialize for Call {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Every call that either table knows.
pub(super) fn asked_of(before: &RouteTable, after: &RouteTable) -> BTreeSet<Call> {
    (before.iter().chain(after.iter()))
        .flat_map(|route| {
            let methods = match route.methods.as_slice() {
                [] => METHODS.to_vec(),
                methods => methods.to_vec(),
            };
            methods.into_iter().map(|method| Call {
                template: route.template.as_str().to_owned(),
                path: path_of(&route.template),
                method: method.as_str().to_owned(),
            })
        })
        .collect()
}

/// Those that the caller may make for its tenants, whatever these have granted.
pub(super) fn allowed(
    calls: &BTreeSet<Call>,
    snapshot: &Snapshot,
    caller: Option<&Caller>,
) -> BTreeSet<Call> {
    let Some(caller) = caller else {
        return BTreeSet::new();
    };
    let is_allowed = |call: &&Call| {
        route_of(call, &snapshot.routes, caller).is_some_and(|route| is_within(caller, route))
    };
    calls.iter().filter(is_allowed).cloned().collect()
}

fn route_of<'t>(call: &Call, routes: &'t RouteTable, caller: &Caller) -> Option<&'t Route> {
    let method = Method::from_bytes(call.method.as_bytes()).ok()?;
    match routes.find(&method, &call.path, &caller.name) {
        Found::Route(route) => Some(route.as_ref()).filter(|route| route.is_for(&caller.name)),
        Found::Denied(_) | Found::Nothing => None,
    }
}

fn is_within(caller: &Caller, route: &Route) -> bool {
    let ceiling = caller.ceiling.as_ref();
    route.observe || ceiling.is_none_or(|ceiling| route.scopes.is_covered_by(ceiling))
}

/// A path that this template means, and as few others as possible.
fn path_of(template: &Template) -> String {
    let segments = template.segments().iter().map(|segment| match segment {
        Segment::Literal(text) => text.clone(),
        Segment::Parameter { suffix, .. } => format!("{VALUE}{suffix}"),
        Segment::Rest { .. } => [VALUE; 3].join("/"),
    });
    format!("/{}", segments.collect::<Vec<_>>().join("/"))
}
