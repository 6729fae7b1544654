//! One immutable generation of the configuration: a request reads the same snapshot from its first byte to its last.

use std::collections::HashMap;
use std::sync::Arc;

use super::caller::{Caller, KeyDigest, Tenants};
use super::ids::{CompanyId, TenantName};
use super::limits::Limits;
use super::route_table::RouteTable;
use super::scope::ScopeSet;
use super::tenant::Tenant;

/// Everything that a request's way through the house depends on.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Counts loads of the configuration, from 1.
    pub generation: u64,
    /// The callers, with the ways to find them.
    pub callers: Callers,
    /// Tenants with an entry of their own.
    pub tenants: HashMap<TenantName, Tenant>,
    /// The routes.
    pub routes: RouteTable,
    /// `[limits]`.
    pub limits: Limits,
    /// The doors for callers, in the order of the configuration: a link knows its door by its place here.
    pub doors: Vec<Door>,
    /// How callers reach us: origin without a trailing slash, such as `http://127.0.0.1:8080`.
    pub public_url: String,
    /// `tenant_host`: the tenant is what stands between these two in the Host.
    pub tenant_host: Option<(String, String)>,
    /// `[log].access`.
    pub access_log: bool,
}

impl Snapshot {
    /// The only company that a tenant may be connected to, if one is pinned.
    pub fn pinned_company(&self, tenant: &TenantName) -> Option<&CompanyId> {
        self.tenants.get(tenant)?.company.as_ref()
    }

    /// True if the configuration names the tenant: in an entry of its own, or in a caller's list.
    pub fn names_tenant(&self, tenant: &str) -> bool {
        self.tenants.contains_key(tenant) || self.callers.listed.contains_key(tenant)
    }

    /// What a consent asks for: the tenant's own list, or the union of what the routes of its callers need, each within
    /// its caller's ceiling.
    pub fn scopes_to_ask(&self, tenant: &TenantName) -> ScopeSet {
        if let Some(scopes) = self
            .tenants
            .get(tenant)
            .and_then(|tenant| tenant.scopes.clone())
        {
            return scopes;
        }
        let callers = || {
            self.callers
                .iter()
                .filter(|caller| caller.tenants.contains(tenant))
        };
        let routes = self.routes.iter().filter(|route| !route.deny);
        routes
            .flat_map(|route| callers().map(move |caller| (route, caller)))
            .filter(|(route, caller)| route.is_for(&caller.name))
            .flat_map(|(route, caller)| {
                let ceiling = caller.ceiling.as_ref();
                route
                    .scopes
                    .iter()
                    .filter(move |scope| ceiling.is_none_or(|set| set.contains(scope)))
                    .cloned()
            })
            .collect()
    }
}

/// What a door for callers adds to a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Door {
    /// Pins every request to one tenant (sidecar).
    pub tenant: Option<TenantName>,
    /// Names this door answers to where anonymous callers are allowed: lower-case, with the port if one is written;
    /// default: loopback names and `public_url`'s.
    pub hosts: Vec<String>,
    /// True for loopback addresses and unix sockets: `anonymous` callers may come here.
    pub local: bool,
}

/// The callers, indexed by what they present.
#[derive(Debug, Default)]
pub struct Callers {
    all: Vec<Arc<Caller>>,
    by_digest: HashMap<KeyDigest, Arc<Caller>>,
    by_certificate: HashMap<String, Arc<Caller>>,
    by_uid: HashMap<u32, Arc<Caller>>,
    anonymous: Option<Arc<Caller>>,
    /// How many callers list a tenant, and how many are for every tenant.
    listed: HashMap<TenantName, u32>,
    for_all: u32,
}

impl Callers {
    /// Indexes callers. That no two share a key, a certificate name, a uid or `anonymous` was checked by `config`.
    pub fn new(callers: Vec<Caller>) -> Self {
        let mut index = Self::default();
        for caller in callers.into_iter().map(Arc::new) {
            for digest in &caller.key_digests {
                index.by_digest.insert(*digest, caller.clone());
            }
            for name in &caller.client_certs {
                index.by_certificate.insert(name.clone(), caller.clone());
            }
            for uid in &caller.unix_uids {
                index.by_uid.insert(*uid, caller.clone());
            }
            if caller.anonymous {
                index.anonymous = Some(caller.clone());
            }
            match &caller.tenants {
                Tenants::All => index.for_all += 1,
                Tenants::Named(names) => {
                    for name in names {
                        *index.listed.entry(name.clone()).or_default() += 1;
                    }
                }
            }
            index.all.push(caller);
        }
        index
    }

    /// Every caller, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Caller>> {
        self.all.iter()
    }

    /// How many callers may call for the tenant.
    pub fn count_for(&self, tenant: &TenantName) -> u32 {
        self.listed.get(tenant).copied().unwrap_or_default() + self.for_all
    }

    /// Whose key has this digest. Looking a digest up leaks nothing of use about the key.
    pub fn by_digest(&self, digest: &KeyDigest) -> Option<&Arc<Caller>> {
        self.by_digest.get(digest)
    }

    /// Whose certificate bears this name.
    pub fn by_certificate(&self, name: &str) -> Option<&Arc<Caller>> {
        self.by_certificate.get(name)
    }

    /// True if certificates are credentials here.
    pub fn have_certificates(&self) -> bool {
        !self.by_certificate.is_empty()
    }

    /// Who runs as this user.
    pub fn by_uid(&self, uid: u32) -> Option<&Arc<Caller>> {
        self.by_uid.get(&uid)
    }

    /// The caller for whoever presents nothing.
    pub fn anonymous(&self) -> Option<&Arc<Caller>> {
        self.anonymous.as_ref()
    }
}
