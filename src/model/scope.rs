//! Scopes (RFC 6749 section 3.3) and sets of them.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

/// One scope: printable ASCII without blank, `"` and `\` (RFC 6749 section 3.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Scope(Arc<str>);

/// A text that is no scope.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a scope is one word of printable ASCII without '\"' and '\\' (RFC 6749 section 3.3)")]
pub struct InvalidScope;

impl Scope {
    /// Checks the grammar of RFC 6749 section 3.3.
    pub fn parse(text: &str) -> Result<Self, InvalidScope> {
        let fits = !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        if fits {
            Ok(Self(text.into()))
        } else {
            Err(InvalidScope)
        }
    }

    /// The scope as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A set of scopes, in order, without duplicates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ScopeSet(Arc<[Scope]>);

impl ScopeSet {
    /// Parses scopes separated by blanks, as the token endpoint and `/v1/introspect` write them.
    pub fn parse(text: &str) -> Result<Self, InvalidScope> {
        text.split_ascii_whitespace().map(Scope::parse).collect()
    }

    /// The scopes of `self` that `other` lacks; empty if `self` is covered.
    #[must_use]
    pub fn missing_from(&self, other: &Self) -> Self {
        Self(
            self.0
                .iter()
                .filter(|scope| !other.contains(scope))
                .cloned()
                .collect(),
        )
    }

    /// True if every scope of `self` is in `other`. Allocates nothing.
    pub fn is_covered_by(&self, other: &Self) -> bool {
        self.0.iter().all(|scope| other.contains(scope))
    }

    /// True if `scope` is in the set.
    pub fn contains(&self, scope: &Scope) -> bool {
        self.0.binary_search(scope).is_ok()
    }

    /// All scopes of both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.iter().chain(other.iter()).cloned().collect()
    }

    /// The scopes in order.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut scopes: Vec<Scope> = scopes.into_iter().collect();
        scopes.sort();
        scopes.dedup();
        Self(scopes.into())
    }
}

/// Separated by blanks, the form of RFC 6749.
impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, scope) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str(" ")?;
            }
            f.write_str(&scope.0)?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for ScopeSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let words = Vec::<String>::deserialize(deserializer)?;
        words
            .iter()
            .map(|word| Scope::parse(word))
            .collect::<Result<_, _>>()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> ScopeSet {
        ScopeSet::parse(text).unwrap()
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(set("b a").missing_from(&set("a c")), set("b"));
        assert!(set("a").missing_from(&set("a b")).is_empty());
        assert!(set("").is_covered_by(&set("")));
        assert!(!set("a b").is_covered_by(&set("a")));
    }

    #[test]
    fn order_and_doubles_do_not_matter() {
        assert_eq!(set("b a b"), set("a b"));
        assert_eq!(set("b a").to_string(), "a b");
    }

    #[test]
    fn a_scope_follows_the_grammar() {
        assert!(Scope::parse("export-jobs:read").is_ok());
        for bad in ["", "a b", "a\"", "a\\", "é"] {
            assert_eq!(Scope::parse(bad), Err(InvalidScope), "{bad:?}");
        }
    }
}
