//! Scopes that routes need and connections lack.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::access::grant::enforces;
use crate::model::caller::Tenants;
use crate::model::ids::TenantName;
use crate::model::scope::ScopeSet;
use crate::model::snapshot::Snapshot;

/// What is known of connections: the scopes of those that have any; `None` if nobody was asked.
pub type Granted = Option<BTreeMap<TenantName, ScopeSet>>;

/// Scopes that the new routes need for a tenant.
#[derive(Debug, PartialEq, Serialize)]
pub struct ScopesMissing {
    /// For whom.
    pub tenant: TenantName,
    /// Which.
    pub scopes: ScopeSet,
    /// True if the tenant's connection is known to lack them; false if its scopes are not known, and these are needed now
    /// and were not before.
    pub known: bool,
}

/// Calls that need these are refused until somebody consents again; what is only observed is left out.
pub(super) fn missing(
    before: &Snapshot,
    after: &Snapshot,
    granted: &Granted,
) -> Vec<ScopesMissing> {
    let connected = granted.iter().flat_map(BTreeMap::keys).cloned();
    let tenants: BTreeSet<TenantName> =
        named(before).chain(named(after)).chain(connected).collect();
    let mut missing = Vec::new();
    for tenant in tenants {
        let needed = needed(after, &tenant);
        let held = granted.as_ref().and_then(|granted| granted.get(&tenant));
        let scopes = match held {
            Some(held) => needed.missing_from(held),
            None => needed.missing_from(&self::needed(before, &tenant)),
        };
        if !scopes.is_empty() {
            let known = held.is_some();
            missing.push(ScopesMissing {
                tenant,
                scopes,
                known,
            });
        }
    }
    missing
}

fn named(snapshot: &Snapshot) -> impl Iterator<Item = TenantName> {
    let of_callers = snapshot
        .callers
        .iter()
        .flat_map(|caller| match &caller.tenants {
            Tenants::All => Vec::new(),
            Tenants::Named(names) => names.clone(),
        });
    of_callers.chain(snapshot.tenants.keys().cloned())
}

/// What is enforced of the routes that the tenant's callers may use.
fn needed(snapshot: &Snapshot, tenant: &TenantName) -> ScopeSet {
    let callers = || {
        let callers = snapshot.callers.iter();
        callers.filter(|caller| caller.tenants.contains(tenant))
    };
    let routes = snapshot
        .routes
        .iter()
        .filter(|route| !route.deny && enforces(route));
    routes
        .filter(|route| {
            callers().any(|caller| {
                let ceiling = caller.ceiling.as_ref();
                route.is_for(&caller.name)
                    && ceiling.is_none_or(|ceiling| route.scopes.is_covered_by(ceiling))
            })
        })
        .flat_map(|route| route.scopes.iter().cloned())
        .collect()
}
