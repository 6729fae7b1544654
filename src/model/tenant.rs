//! What the configuration says about a tenant. Its connection is not here (`model::connection`).

use super::caller::Rate;
use super::ids::{CompanyId, TenantName};
use super::scope::ScopeSet;

/// A tenant with an entry of its own; tenants also exist as soon as they are linked.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenant {
    /// Its name.
    pub name: TenantName,
    /// Refuse a connection to any other Pleo company.
    pub company: Option<CompanyId>,
    /// Asked for at connect; `None`: the union of what its callers' routes need.
    pub scopes: Option<ScopeSet>,
    /// Calls a time.
    pub rate: Option<Rate>,
}
