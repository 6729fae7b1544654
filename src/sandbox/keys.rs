//! Who is calling the API: a bearer token, or one of two seeded API keys (pleo.md section 6). Scopes are in `api`.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::state::{Company, Payer, State};
use crate::clock::Timestamp;
use crate::model::catalogue::builtin;
use crate::model::scope::{Scope, ScopeSet};

/// An API key of the first seeded company, of the kind that Pleo makes when an integration is installed.
pub const INTEGRATED_KEY: &str = "sandbox-integrated-key";
/// An API key of the second seeded company, of the kind that a customer makes.
pub const STANDALONE_KEY: &str = "sandbox-standalone-key";

/// Scopes that appear in Pleo's examples only.
const EXAMPLES: [&str; 5] = [
    "users:write",
    "export:read",
    "export:write",
    "expense:read",
    "test:test",
];

/// Every scope that an operation of the catalogue needs: what an API key may do.
pub(super) fn all_scopes() -> &'static ScopeSet {
    static ALL: LazyLock<ScopeSet> = LazyLock::new(|| {
        (builtin().operations.iter())
            .flat_map(|operation| operation.scopes.iter().cloned())
            .collect()
    });
    &ALL
}

/// True if Pleo would take the scope in an authorise request.
pub(super) fn is_known(scope: &Scope) -> bool {
    all_scopes().contains(scope) || EXAMPLES.contains(&scope.as_str())
}

/// Who is calling, and what they may do.
#[derive(Clone, Debug)]
pub(super) struct Principal {
    pub(super) payer: Payer,
    pub(super) company_id: String,
    pub(super) scopes: ScopeSet,
}

/// The principal of a call's credential; none if it is missing, wrong or dead.
pub(super) fn principal(
    state: &State,
    companies: &[Company],
    headers: &HeaderMap,
    now: Timestamp,
) -> Option<Principal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return by_token(state, rest.trim(), now);
    }
    scheme
        .eq_ignore_ascii_case("basic")
        .then(|| by_key(companies, rest.trim()))?
}

fn by_token(state: &State, token: &str, now: Timestamp) -> Option<Principal> {
    let alive = state.grants.access(token, now)?;
    Some(Principal {
        payer: Payer::Authorisation(alive.id),
        company_id: alive.authorisation.company_id.clone(),
        scopes: alive.authorisation.scopes.clone(),
    })
}

/// The key is the user name and the password is empty: the colon matters.
fn by_key(companies: &[Company], encoded: &str) -> Option<Principal> {
    let decoded = STANDARD.decode(encoded).ok()?;
    let key = decoded.strip_suffix(b":")?;
    let place = [INTEGRATED_KEY, STANDALONE_KEY]
        .iter()
        .position(|known| known.as_bytes() == key)?;
    Some(Principal {
        payer: Payer::Key(place),
        company_id: companies.get(place)?.id.clone(),
        scopes: all_scopes().clone(),
    })
}
