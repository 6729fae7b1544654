//! Names and numbers that identify things. Each can only be made through the check that its kind needs.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! shown_as_text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )*};
}

/// A tenant: on whose behalf a call is made. `[a-z0-9-]{1,63}` (contract.md section 2).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct TenantName(Arc<str>);

/// A tenant's name breaks the rule `[a-z0-9-]{1,63}`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tenant's name is 1 to 63 of a-z, 0-9 and '-'")]
pub struct InvalidTenantName;

impl TenantName {
    /// Checks the rule for names.
    pub fn parse(text: &str) -> Result<Self, InvalidTenantName> {
        let fits = (1..=63).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits {
            Ok(Self(text.into()))
        } else {
            Err(InvalidTenantName)
        }
    }
}

/// A caller: the program that calls us, by its name in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct CallerName(Arc<str>);

/// A route, by its name in the configuration or its operation in the catalogue. Bounded: fit for a metric label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct RouteName(Arc<str>);

/// A Pleo company's id, as Pleo writes it in `urn:pleo:company:<uuid>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CompanyId(Arc<str>);

/// The authorisation server that rows belong to: environment, token URL and client id, digested (contract.md section 4).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProviderId(Arc<str>);

/// One running process: the owner of attempts. Made anew at every start.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Owner(Arc<str>);

macro_rules! made_from_text {
    ($($name:ident),*) => {$(
        impl $name {
            /// Takes the text as it is.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }
        }
    )*};
}

shown_as_text!(
    TenantName, CallerName, RouteName, CompanyId, ProviderId, Owner
);
made_from_text!(CallerName, RouteName, CompanyId, ProviderId, Owner);

impl RouteName {
    /// Of a route that the operator gave no name: its methods and its path.
    pub fn of_calls(methods: &[&str], path: &str) -> Self {
        let name = format!("{} {path}", methods.join(","));
        Self::new(name.trim_start())
    }
}

impl Owner {
    /// A new process's name.
    pub fn make() -> Self {
        Self(Uuid::now_v7().to_string().into())
    }
}

/// One try to refresh, unique for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttemptId(pub Uuid);

impl AttemptId {
    /// A new attempt's id.
    pub fn make() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An authorisation's number for a tenant; a new consent begins a new epoch (design.md R13).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// A pair's number within its epoch; every refresh that succeeds adds one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Epoch {
    /// The next authorisation.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Generation {
    /// The next pair.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenant_names_follow_the_rule() {
        for good in ["a", "acme", "a-1", "0", &"x".repeat(63)] {
            assert!(TenantName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "a.b", "a_b", "a/b", "é", &"x".repeat(64), "a\0"] {
            assert_eq!(TenantName::parse(bad), Err(InvalidTenantName), "{bad:?}");
        }
    }
}
