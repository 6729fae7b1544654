//! Floor 4: may this caller do this for this tenant? If so, it makes the [`Permit`]. Pure: the decision
//! depends only on the snapshot and the request's head. Whether the tenant's consent covers the route is asked later, with
//! the connection in hand ([`grant`]).

pub mod denial;
pub mod grant;
pub mod host;
pub mod identify;
pub mod permit;
mod site;
mod size;
mod tenant;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod obvious;
#[cfg(test)]
mod spellings;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use http::Method;
use http::request::Parts;

use self::denial::{Denial, Denied, RouteDenied};
use self::host::Host;
use self::permit::Permit;
use self::tenant::Named;
use crate::model::caller::Caller;
use crate::model::operations;
use crate::model::path::{CanonicalPath, InvalidTarget};
use crate::model::route::Route;
use crate::model::route_table::Found;
use crate::model::scope::ScopeSet;
use crate::model::snapshot::{Door, Snapshot};

/// What is known of who sent a request, apart from its head.
#[derive(Clone, Copy, Debug)]
pub struct PeerFacts<'a> {
    /// The door it came through.
    pub door: &'a Door,
    /// The peer's user id, on a unix socket.
    pub unix_uid: Option<u32>,
    /// The names in the peer's verified certificate, such as `dns:erp.internal`; `None` if it showed none.
    pub certificate_names: Option<&'a [String]>,
}

/// Stages 1 to 4 of contract.md section 3, without the grant: who calls, for whom, by which route, within which ceiling.
pub fn admit(snapshot: &Snapshot, head: &Parts, peer: PeerFacts<'_>) -> Result<Permit, Denied> {
    check_head(snapshot, head)?;
    let host = host::named(head)?;
    site::check(snapshot, peer.door, &head.headers, host)?;
    let caller = identify::caller(&snapshot.callers, &head.headers, peer)?;
    let call = Call {
        snapshot,
        head,
        door: peer.door,
        host,
        caller,
    };
    call.permit()
}

fn check_head(snapshot: &Snapshot, head: &Parts) -> Result<(), Denied> {
    if matches!(head.method, Method::CONNECT | Method::TRACE) {
        return Err(Denial::MethodRefused.into());
    }
    Ok(size::check(&snapshot.limits, head)?)
}

/// As [`admit`], for a caller who is taken at their word: what `explain` shows. Looks at no credential, and at the Host only
/// where the target is a whole URL.
pub fn admit_as(
    caller: &Arc<Caller>,
    snapshot: &Snapshot,
    head: &Parts,
    door: &Door,
) -> Result<Permit, Denied> {
    check_head(snapshot, head)?;
    let host = host::named(head)?;
    if head.uri.authority().is_some() {
        site::check(snapshot, door, &head.headers, host)?;
    }
    let call = Call {
        snapshot,
        head,
        door,
        host,
        caller,
    };
    call.permit()
}

/// A request of which it is known who sends it.
#[derive(Clone, Copy)]
struct Call<'a> {
    snapshot: &'a Snapshot,
    head: &'a Parts,
    door: &'a Door,
    host: Option<Host<'a>>,
    caller: &'a Arc<Caller>,
}

impl<'a> Call<'a> {
    fn permit(self) -> Result<Permit, Denied> {
        let by = |denied: Denied| denied.by(self.caller);
        let path = self.path().map_err(|invalid| by(invalid.into()))?;
        let Named {
            tenant,
            source,
            path,
        } = tenant::named(self, path).map_err(|denial| by(denial.into()))?;
        let for_tenant = |denied: Denied| {
            let operation = operations::meant(&self.head.method, path.path());
            by(denied).on_behalf_of(&tenant).meaning(operation)
        };
        let route = self.route(path.path()).map_err(for_tenant)?;
        let observed = self.within_ceiling(route).map_err(for_tenant)?;
        Ok(Permit {
            caller: self.caller.clone(),
            route: route.clone(),
            target: path.into_target(),
            named_by: source,
            pinned: self.snapshot.pinned_company(&tenant).cloned(),
            known: self.snapshot.names_tenant(tenant.as_ref()),
            observed,
            tenant,
        })
    }

    fn path(self) -> Result<CanonicalPath, InvalidTarget> {
        let uri = &self.head.uri;
        let ours = matches!(uri.scheme_str(), None | Some("http" | "https"));
        match uri.path_and_query() {
            Some(target) if ours => CanonicalPath::parse(target),
            _ => Err(InvalidTarget::NotAPath),
        }
    }

    fn route(self, path: &str) -> Result<&'a Arc<Route>, Denied> {
        let table = &self.snapshot.routes;
        match table.find(&self.head.method, path, &self.caller.name) {
            Found::Route(route) if route.is_for(&self.caller.name) => Ok(route),
            Found::Route(route) => Err(Denied::from(RouteDenied::NotForCaller).at(route)),
            Found::Denied(route) => Err(Denied::from(RouteDenied::Deny).at(route)),
            Found::Nothing => Err(RouteDenied::NoRoute.into()),
        }
    }

    /// The scopes above the caller's ceiling, where the route lets them pass.
    fn within_ceiling(self, route: &Arc<Route>) -> Result<Option<ScopeSet>, Denied> {
        match &self.caller.ceiling {
            Some(ceiling) if !route.scopes.is_covered_by(ceiling) => {
                let above = route.scopes.missing_from(ceiling);
                if route.observe {
                    Ok(Some(above))
                } else {
                    Err(Denied::from(Denial::ScopeForbidden(above)).at(route))
                }
            }
            _ => Ok(None),
        }
    }
}
