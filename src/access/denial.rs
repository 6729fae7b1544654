//! Why a call was not permitted. What the caller is told, and with which status, is not here (`edge::reply`).

use std::sync::Arc;

use crate::model::caller::Caller;
use crate::model::ids::{CallerName, TenantName};
use crate::model::path::InvalidTarget;
use crate::model::route::Route;
use crate::model::scope::ScopeSet;

/// A call that was not permitted: why, and how far it got. A name is set only once it is established, so it comes from the
/// configuration and is safe in a log line or a metric label.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("the call is not permitted")]
pub struct Denied {
    /// Why.
    #[source]
    pub denial: Denial,
    /// Who calls, if that was established.
    pub caller: Option<CallerName>,
    /// On whose behalf, if the caller may call for them.
    pub tenant: Option<TenantName>,
    /// Which route was meant, if one was found.
    pub route: Option<Arc<Route>>,
    /// Which of Pleo's operations was meant, if the path was read.
    pub operation: Option<&'static str>,
}

/// Why a call was not permitted, with the contract's code of each.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Denial {
    /// `method-refused`: CONNECT or TRACE.
    #[error("this method is never served")]
    MethodRefused,
    /// `uri-too-long`: over `max_uri_bytes`.
    #[error("the target is longer than {limit} bytes")]
    UriTooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// `headers-too-large`: over `max_header_bytes` or `max_headers`.
    #[error("the header fields are too many or too large")]
    HeadersTooLarge,
    /// `bad-request`: the Host is missing, repeated or malformed.
    #[error(transparent)]
    Host(#[from] InvalidHost),
    /// `misdirected`: where anonymous callers are allowed, the Host must be the door's own.
    #[error("the Host is not a name of this listener")]
    Misdirected,
    /// `cross-site`: where anonymous callers are allowed, a web page of another site may not call.
    #[error("the request comes from a web page of another site")]
    CrossSite,
    /// `caller-unknown`: no credential, or a wrong one.
    #[error(transparent)]
    Caller(#[from] CallerUnknown),
    /// `bad-request`: the path or the query is ambiguous.
    #[error(transparent)]
    Target(#[from] InvalidTarget),
    /// `bad-request`: it is unclear which tenant is meant.
    #[error(transparent)]
    Tenant(#[from] TenantUnclear),
    /// `tenant-forbidden`: unknown, not a tenant's name at all, or not one of this caller's; nobody is told which.
    #[error("the caller may not call for this tenant")]
    TenantForbidden,
    /// `route-denied`.
    #[error(transparent)]
    Route(#[from] RouteDenied),
    /// `scope-forbidden`: these are required and above the caller's ceiling.
    #[error("above the caller's ceiling: {0}")]
    ScopeForbidden(ScopeSet),
}

/// What is wrong with the Host (RFC 9112 section 3.2, RFC 9113 section 8.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHost {
    /// There is none, and this version of HTTP needs one.
    #[error("the Host is missing")]
    Missing,
    /// There are several.
    #[error("there is more than one Host")]
    Repeated,
    /// It is no host with an optional port.
    #[error("the Host is not a host name or address with an optional port")]
    Malformed,
    /// The target names one authority (absolute form, `:authority`), the Host another.
    #[error("the target and the Host name different hosts")]
    Disagree,
}

/// Why the caller is not known. All get the same answer; only the log says which it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallerUnknown {
    /// Nothing was presented, and `anonymous` does not apply here.
    #[error("no credential was presented")]
    Missing,
    /// `Authorization` is neither Bearer nor Basic, or cannot be read.
    #[error("the Authorization header cannot be read as Bearer or Basic")]
    Malformed,
    /// A credential names nobody.
    #[error("a credential is not the one of any caller")]
    Wrong,
    /// A header that carries a credential came twice.
    #[error("a credential header came more than once")]
    Repeated,
    /// Several credentials are valid, but name different callers.
    #[error("the credentials name different callers")]
    Disagree,
}

/// Why it is unclear which tenant is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TenantUnclear {
    /// Two sources name different tenants.
    #[error("the listener, the path, the Host or Pleo-Gateway-Tenant name different tenants")]
    Disagree,
    /// No source names one, and the caller does not have exactly one.
    #[error(
        "no tenant is named: use /tenants/{{tenant}}/ or Pleo-Gateway-Tenant, as this caller may call for several"
    )]
    Unnamed,
    /// `Pleo-Gateway-Tenant` came twice.
    #[error("Pleo-Gateway-Tenant came more than once")]
    Repeated,
    /// `/tenants` or `/tenants/{tenant}` with no path after it.
    #[error("a path must follow /tenants/{{tenant}}")]
    NoPath,
}

/// Why the route is denied. All get the same answer; only the log says which it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteDenied {
    /// Method and path match no route.
    #[error("no route matches this method and path")]
    NoRoute,
    /// A `deny` route matches.
    #[error("a route denies this method and path")]
    Deny,
    /// The route is for other callers.
    #[error("the route is not for this caller")]
    NotForCaller,
}

/// Before anybody is known.
impl<D: Into<Denial>> From<D> for Denied {
    fn from(denial: D) -> Self {
        Self {
            denial: denial.into(),
            caller: None,
            tenant: None,
            route: None,
            operation: None,
        }
    }
}

impl Denied {
    pub(super) fn by(mut self, caller: &Caller) -> Self {
        self.caller = Some(caller.name.clone());
        self
    }

    pub(super) fn on_behalf_of(mut self, tenant: &TenantName) -> Self {
        self.tenant = Some(tenant.clone());
        self
    }

    pub(super) fn at(mut self, route: &Arc<Route>) -> Self {
        self.route = Some(route.clone());
        self
    }

    pub(super) fn meaning(mut self, operation: Option<&'static str>) -> Self {
        self.operation = operation;
        self
    }
}
