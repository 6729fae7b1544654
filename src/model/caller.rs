//! A caller as the configuration describes it. How callers are recognised is not here (`access::identify`).

use std::num::NonZeroU32;

use super::ids::{CallerName, TenantName};
use super::scope::ScopeSet;

/// SHA-256 of a caller key's UTF-8 bytes.
pub type KeyDigest = [u8; 32];

/// A program that may call us.
#[derive(Clone, Debug, PartialEq)]
pub struct Caller {
    /// Its name.
    pub name: CallerName,
    /// Digests of its keys; several during a rotation.
    pub key_digests: Vec<KeyDigest>,
    /// Names in a verified client certificate, such as `dns:erp.internal`.
    pub client_certs: Vec<String>,
    /// User ids of the peer of a unix socket.
    pub unix_uids: Vec<u32>,
    /// True if it is anyone who presents nothing.
    pub anonymous: bool,
    /// For whom it may call.
    pub tenants: Tenants,
    /// It never gets more than these, whatever was granted; `None` is no ceiling.
    pub ceiling: Option<ScopeSet>,
    /// Calls a time.
    pub rate: Option<Rate>,
    /// Calls at once.
    pub max_in_flight: Option<NonZeroU32>,
}

/// For whom a caller may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tenants {
    /// For every tenant: `["*"]`.
    All,
    /// For these, sorted.
    Named(Vec<TenantName>),
}

impl Tenants {
    /// True if `tenant` is one of them.
    pub fn contains(&self, tenant: &TenantName) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.binary_search(tenant).is_ok(),
        }
    }

    /// The name written like this, if it is listed. `All` lists none.
    pub fn listed(&self, text: &str) -> Option<&TenantName> {
        match self {
            Self::All => None,
            Self::Named(names) => {
                let place = names
                    .binary_search_by(|name| name.as_ref().cmp(text))
                    .ok()?;
                names.get(place)
            }
        }
    }

    /// The only one, if there is only one.
    pub fn only(&self) -> Option<&TenantName> {
        match self {
            Self::Named(names) if names.len() == 1 => names.first(),
            Self::All | Self::Named(_) => None,
        }
    }
}

/// A rate such as `"300/min"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: NonZeroU32,
    /// In how long.
    pub per: std::time::Duration,
}

/// As the configuration writes it.
impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.per.as_secs() {
            1 => write!(f, "{}/s", self.count),
            60 => write!(f, "{}/min", self.count),
            3600 => write!(f, "{}/h", self.count),
            seconds => write!(f, "{}/{seconds}s", self.count),
        }
    }
}
