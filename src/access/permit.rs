//! The permit: proof that this caller may use this route for this tenant. Only `admit` makes one.

use std::sync::Arc;

use http::uri::PathAndQuery;

use crate::model::caller::Caller;
use crate::model::ids::{CompanyId, TenantName};
use crate::model::route::Route;
use crate::model::scope::ScopeSet;

/// Proof that this caller may use this route for this tenant.
#[derive(Clone, Debug)]
pub struct Permit {
    pub(super) caller: Arc<Caller>,
    pub(super) tenant: TenantName,
    pub(super) route: Arc<Route>,
    pub(super) target: PathAndQuery,
    pub(super) named_by: TenantSource,
    pub(super) observed: Option<ScopeSet>,
    pub(super) pinned: Option<CompanyId>,
    pub(super) known: bool,
}

/// What named the tenant (contract.md section 3, stage 2): where several did, the first of these, so that `Location` keeps
/// what the request's own address says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenantSource {
    /// The path's prefix `/tenants/{tenant}`.
    Path,
    /// The Host.
    Host,
    /// The door's pin.
    Door,
    /// `Pleo-Gateway-Tenant`.
    Header,
    /// The caller has only one.
    OnlyTenant,
}

impl Permit {
    /// Who calls.
    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// On whose behalf.
    pub fn tenant(&self) -> &TenantName {
        &self.tenant
    }

    /// By which route.
    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// What to ask Pleo for: the canonical path that was matched, and the query byte for byte.
    pub fn target(&self) -> &PathAndQuery {
        &self.target
    }

    /// What named the tenant: decides how `Location` is rewritten.
    pub fn named_by(&self) -> TenantSource {
        self.named_by
    }

    /// The only company that the tenant may be connected to, if the configuration pins one.
    pub fn pinned(&self) -> Option<&CompanyId> {
        self.pinned.as_ref()
    }

    /// True if the configuration knows the tenant by name; else only the store can.
    pub fn is_known(&self) -> bool {
        self.known
    }

    /// True if the call cannot be judged before the connection's company is known.
    pub fn needs_company(&self) -> bool {
        self.pinned.is_some() || self.route.company_query.is_some()
    }

    /// The required scopes above the caller's ceiling that an observing route let pass.
    pub fn observed(&self) -> Option<&ScopeSet> {
        self.observed.as_ref()
    }
}
