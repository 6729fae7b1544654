//! What one kind of call needs of the configuration as it is today: the log may be older.

use http::Method;

use super::observed::Call;
use super::shape::{order, overlap, wins};
use crate::model::caller::Caller;
use crate::model::catalogue::{self, Operation};
use crate::model::route::{Route, RouteOrigin, Template};
use crate::model::scope::ScopeSet;
use crate::model::snapshot::Snapshot;

/// What a call needs, for whom.
#[derive(Debug)]
pub(super) struct Need<'a> {
    pub(super) caller: &'a str,
    pub(super) method: &'a str,
    pub(super) what: What<'a>,
}

#[derive(Debug)]
pub(super) enum What<'a> {
    /// The route by which it goes, and the operation that it means.
    Route(&'a Route, Option<&'static Operation>),
    /// An operation for which there is no route.
    Operation(&'static Operation),
}

/// What the call needs, or why it is not taken in.
pub(super) fn need<'a>(
    call: &'a Call,
    caller: &Caller,
    snapshot: &'a Snapshot,
    refused: bool,
) -> Result<Need<'a>, &'static str> {
    let method = method(&call.method).ok_or("no route can name its method")?;
    let operation = (call.operation.as_deref())
        .and_then(|name| catalogue::builtin().operation(name))
        .filter(|operation| operation.method == method);
    let route = route(call, operation, &method, snapshot);
    let taken = |why| if refused { Ok(()) } else { Err(why) };
    let what = match (route, operation) {
        (Some(route), _) if route.deny => return Err("a route denies it"),
        (Some(route), operation) => {
            if is_hidden(route, operation, &method, snapshot) {
                return Err("another route means it by now");
            }
            if call.is_refused {
                taken("it was refused; --refused takes it in")?;
            } else if !lets(route, caller) {
                taken("the configuration refuses it by now; --refused takes it in")?;
            }
            What::Route(route, operation)
        }
        (None, Some(operation)) => {
            taken("it was refused; --refused takes it in")?;
            if stands_between(operation, None, snapshot) {
                return Err(
                    "a route of the file is for some of its calls: write one for the others",
                );
            }
            What::Operation(operation)
        }
        (None, None) if call.route.is_some() => {
            return Err("there is no such route in the configuration");
        }
        (None, None) => return Err("it means no route and no operation of the catalogue"),
    };
    Ok(Need {
        caller: &call.caller,
        method: &call.method,
        what,
    })
}

/// One that a route may name.
fn method(text: &str) -> Option<Method> {
    let method = Method::from_bytes(text.as_bytes()).ok()?;
    let is_fit = !matches!(method, Method::CONNECT | Method::TRACE)
        && !text.bytes().any(|byte| byte.is_ascii_lowercase());
    is_fit.then_some(method)
}

/// The route that the log names; if it is gone, the one that imports the operation.
fn route<'a>(
    call: &Call,
    operation: Option<&Operation>,
    method: &Method,
    snapshot: &'a Snapshot,
) -> Option<&'a Route> {
    let is_import = |route: &Route| route.origin == RouteOrigin::Catalogue;
    let routes = || {
        let routes = snapshot.routes.iter().map(AsRef::as_ref);
        routes.filter(|route| route.means(method))
    };
    let named = call.route.as_ref().and_then(|(name, template)| {
        let same =
            |route: &&Route| route.name.as_ref() == name && route.template.as_str() == template;
        (routes().filter(same)).min_by_key(|route| (route.deny, is_import(route)))
    });
    named.or_else(|| {
        let name = operation?.operation_id;
        routes().find(|route| !route.deny && is_import(route) && route.name.as_ref() == name)
    })
}

/// True if other routes win wherever this one could have served the call.
fn is_hidden(
    route: &Route,
    operation: Option<&Operation>,
    method: &Method,
    snapshot: &Snapshot,
) -> bool {
    let meant = operation
        .and_then(|operation| Template::parse(operation.path).ok())
        .filter(|path| path.is_within(&route.template));
    let meant = meant.as_ref().unwrap_or(&route.template);
    (snapshot.routes.iter()).any(|other| {
        !other.deny && other.means(method) && wins(other, route) && meant.is_within(&other.template)
    })
}

fn lets(route: &Route, caller: &Caller) -> bool {
    route.is_for(&caller.name) && (route.observe || covers(caller.ceiling.as_ref(), route))
}

/// True if a caller with this ceiling may have the route's scopes.
pub(super) fn covers(ceiling: Option<&ScopeSet>, route: &Route) -> bool {
    ceiling.is_none_or(|ceiling| route.scopes.is_covered_by(ceiling))
}

/// True if the catalogue's route for the operation means none but calls of the wider route, less of them, and takes none
/// from others.
pub(super) fn gives_way(route: &Route, operation: &Operation, snapshot: &Snapshot) -> bool {
    let Ok(path) = Template::parse(operation.path) else {
        return false;
    };
    path.is_within(&route.template)
        && !route.template.is_within(&path)
        && !stands_between(operation, Some(route), snapshot)
}

/// True if a route that wins over `wide` would lose some of its calls to a route for the operation, or one that denies is
/// written with its very shape.
fn stands_between(operation: &Operation, wide: Option<&Route>, snapshot: &Snapshot) -> bool {
    let Ok(path) = Template::parse(operation.path) else {
        return true;
    };
    (snapshot.routes.iter()).any(|route| {
        let after = order(&path, &route.template);
        let is_in_the_way = if route.deny {
            after.is_eq() && route.origin == RouteOrigin::Explicit
        } else {
            after.is_le() && wide.is_none_or(|wide| wins(route, wide))
        };
        is_in_the_way && route.means(&operation.method) && overlap(&route.template, &path)
    })
}
