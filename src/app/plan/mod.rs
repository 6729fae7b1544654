//! What a reload would change: two configurations, compared by what callers may do under each. Both are asked the same
//! questions by the code that serves requests, so that a `deny` route or a narrower template counts as it does there. How
//! the result is shown is not here (`cli::plan`), nor what connections were granted: that is passed in.

mod calls;
mod routes;
mod scopes;

use std::collections::BTreeSet;

use serde::Serialize;

pub use self::calls::Call;
pub use self::routes::ChangedRoute;
pub use self::scopes::{Granted, ScopesMissing};
use super::fixed::{Fixed, named, places};
use crate::config::Settings;
use crate::model::caller::{Caller, KeyDigest, Tenants};
use crate::model::ids::{CallerName, TenantName};
use crate::model::scope::ScopeSet;
use crate::model::snapshot::Snapshot;

/// What a reload would change.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Plan {
    /// Routes by name.
    pub routes: Difference<String, ChangedRoute>,
    /// Callers by name.
    pub callers: Difference<CallerAccess>,
    /// Tenants with an entry of their own, by name, and what of it changes.
    pub tenants: Difference<TenantName, ChangedTenant>,
    /// Scopes that the new routes need of a tenant, and that its connection lacks.
    pub scopes_missing: Vec<ScopesMissing>,
    /// Other settings that are taken at once.
    pub taken: Vec<String>,
    /// Settings that need a restart.
    pub needs_restart: Vec<String>,
}

/// What is there only afterwards, only before, or changed.
#[derive(Debug, PartialEq, Serialize)]
pub struct Difference<T, C = T> {
    /// Only afterwards.
    pub added: Vec<T>,
    /// Only before.
    pub removed: Vec<T>,
    /// Changed.
    pub changed: Vec<C>,
}

/// What changes for one caller.
#[derive(Debug, PartialEq, Serialize)]
pub struct CallerAccess {
    /// Its name.
    pub caller: CallerName,
    /// For whom it may newly call; `*` is every tenant.
    pub tenants_gained: Vec<String>,
    /// For whom it may no longer call; `*` is every tenant that is not named now.
    pub tenants_lost: Vec<String>,
    /// What it may newly call.
    pub calls_gained: Vec<Call>,
    /// What it may no longer call.
    pub calls_lost: Vec<Call>,
    /// Its ceiling, before and afterwards; `None` where that stays.
    pub ceiling: Option<(Option<ScopeSet>, Option<ScopeSet>)>,
    /// Keys by the first eight digits of their digests.
    pub keys_added: Vec<String>,
    /// The same.
    pub keys_removed: Vec<String>,
    /// What else of its entry changes, by key.
    pub other: Vec<&'static str>,
}

/// A tenant's entry of which something changes.
#[derive(Debug, PartialEq, Serialize)]
pub struct ChangedTenant {
    /// Its name.
    pub tenant: TenantName,
    /// What changes, by key.
    pub keys: Vec<&'static str>,
}

impl<T, C> Default for Difference<T, C> {
    fn default() -> Self {
        Self {
            added: Vec::new(),
            removed: Vec::new(),
            changed: Vec::new(),
        }
    }
}

impl<T, C> Difference<T, C> {
    /// True if nothing is different.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

impl Plan {
    /// What a reload from `old` to `new` would change. `granted` is what is known of the connections' scopes.
    pub fn between(old: &Settings, new: &Settings, granted: &Granted) -> Self {
        let (before, after) = (&old.snapshot, &new.snapshot);
        Self {
            routes: routes::difference(&before.routes, &after.routes),
            callers: callers(before, after),
            tenants: tenants(before, after),
            scopes_missing: scopes::missing(before, after, granted),
            taken: taken(old, new),
            needs_restart: Fixed::of(old).changed(&Fixed::of(new)),
        }
    }

    /// True if a reload would change nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Those of both sides, in the order of their names.
fn both<T: Ord + Clone>(one: impl Iterator<Item = T>, other: impl Iterator<Item = T>) -> Vec<T> {
    one.chain(other)
        .collect::<BTreeSet<T>>()
        .into_iter()
        .collect()
}

fn callers(before: &Snapshot, after: &Snapshot) -> Difference<CallerAccess> {
    let mut difference = Difference::default();
    let names = |snapshot: &Snapshot| -> Vec<CallerName> {
        snapshot.callers.iter().map(|c| c.name.clone()).collect()
    };
    let calls = calls::asked_of(&before.routes, &after.routes);
    for name in both(names(before).into_iter(), names(after).into_iter()) {
        let find = |snapshot: &Snapshot| {
            let found = snapshot.callers.iter().find(|caller| caller.name == name);
            found.cloned()
        };
        let (old, new) = (find(before), find(after));
        let may_old = calls::allowed(&calls, before, old.as_deref());
        let may_new = calls::allowed(&calls, after, new.as_deref());
        let access = access(&name, (old.as_deref(), new.as_deref()), (may_old, may_new));
        match (old, new) {
            (None, _) => difference.added.push(access),
            (_, None) => difference.removed.push(access),
            _ if access.is_empty() => {}
            _ => difference.changed.push(access),
        }
    }
    difference
}

fn access(
    name: &CallerName,
    (old, new): (Option<&Caller>, Option<&Caller>),
    (may_old, may_new): (BTreeSet<Call>, BTreeSet<Call>),
) -> CallerAccess {
    let both = [old, new];
    let [tenants_old, tenants_new] = both.map(|it| it.map(tenants_of).unwrap_or_default());
    let [keys_old, keys_new] = both.map(|it| it.map(keys_of).unwrap_or_default());
    let ceilings = old
        .zip(new)
        .map(|(old, new)| (old.ceiling.clone(), new.ceiling.clone()));
    CallerAccess {
        caller: name.clone(),
        tenants_gained: beyond(&tenants_new, &tenants_old),
        tenants_lost: beyond(&tenants_old, &tenants_new),
        calls_gained: may_new.difference(&may_old).cloned().collect(),
        calls_lost: may_old.difference(&may_new).cloned().collect(),
        ceiling: ceilings.filter(|(old, new)| old != new),
        keys_added: keys_new.difference(&keys_old).map(short).collect(),
        keys_removed: keys_old.difference(&keys_new).map(short).collect(),
        other: old.zip(new).map(other_keys).unwrap_or_default(),
    }
}

impl CallerAccess {
    fn is_empty(&self) -> bool {
        self.tenants_gained.is_empty()
            && self.tenants_lost.is_empty()
            && self.calls_gained.is_empty()
            && self.calls_lost.is_empty()
            && self.ceiling.is_none()
            && self.keys_added.is_empty()
            && self.keys_removed.is_empty()
            && self.other.is_empty()
    }
}

/// Those of `these` that `others` does not have, which has all if it is for every tenant.
fn beyond(these: &BTreeSet<String>, others: &BTreeSet<String>) -> Vec<String> {
    let news = these.difference(others).filter(|_| !others.contains("*"));
    news.cloned().collect()
}

fn tenants_of(caller: &Caller) -> BTreeSet<String> {
    match &caller.tenants {
        Tenants::All => BTreeSet::from(["*".to_owned()]),
        Tenants::Named(names) => names.iter().map(ToString::to_string).collect(),
    }
}

fn keys_of(caller: &Caller) -> BTreeSet<KeyDigest> {
    caller.key_digests.iter().copied().collect()
}

/// Enough of a digest to find its line, too little to be of use.
fn short(digest: &KeyDigest) -> String {
    let [a, b, c, d, ..] = digest;
    format!("{a:02x}{b:02x}{c:02x}{d:02x}")
}

fn other_keys((old, new): (&Caller, &Caller)) -> Vec<&'static str> {
    named([
        ("client_cert", old.client_certs != new.client_certs),
        ("unix_uid", old.unix_uids != new.unix_uids),
        ("anonymous", old.anonymous != new.anonymous),
        ("rate", old.rate != new.rate),
        ("max_in_flight", old.max_in_flight != new.max_in_flight),
    ])
}

fn tenants(before: &Snapshot, after: &Snapshot) -> Difference<TenantName, ChangedTenant> {
    let mut difference = Difference::default();
    let names = both(
        before.tenants.keys().cloned(),
        after.tenants.keys().cloned(),
    );
    for name in names {
        match (before.tenants.get(&name), after.tenants.get(&name)) {
            (Some(old), Some(new)) => {
                let keys = named([
                    ("company_id", old.company != new.company),
                    ("scopes", old.scopes != new.scopes),
                    ("rate", old.rate != new.rate),
                ]);
                if !keys.is_empty() {
                    difference
                        .changed
                        .push(ChangedTenant { tenant: name, keys });
                }
            }
            (None, _) => difference.added.push(name),
            (_, None) => difference.removed.push(name),
        }
    }
    difference
}

/// What a reload takes beside routes, callers and tenants. Doors are compared by what they add to a request.
fn taken(old: &Settings, new: &Settings) -> Vec<String> {
    let (before, after) = (&old.snapshot, &new.snapshot);
    let (limits, then) = (&before.limits, &after.limits);
    let others = named([
        ("[proxy] public_url", before.public_url != after.public_url),
        (
            "[proxy] tenant_host",
            before.tenant_host != after.tenant_host,
        ),
        (
            "[limits] max_uri_bytes",
            limits.max_uri_bytes != then.max_uri_bytes,
        ),
        (
            "[limits] request_timeout",
            limits.request_timeout != then.request_timeout,
        ),
        (
            "[limits] max_request_body",
            limits.max_request_body != then.max_request_body,
        ),
        (
            "[limits] replay_buffer",
            limits.replay_buffer != then.replay_buffer,
        ),
        (
            "[limits] max_in_flight",
            limits.max_in_flight != then.max_in_flight,
        ),
        ("[log] access", before.access_log != after.access_log),
    ]);
    let others = others.into_iter().map(str::to_owned);
    of_doors(old, new).into_iter().chain(others).collect()
}

fn of_doors(old: &Settings, new: &Settings) -> Vec<String> {
    let (before, after) = (&old.snapshot.doors, &new.snapshot.doors);
    let places = places(&old.listens, &new.listens);
    let kept = (places.iter().enumerate()).filter_map(|(was, is)| Some((was, (*is)?)));
    kept.flat_map(|(was, is)| {
        let address = &old.listens[was].address;
        let keys = named([
            ("tenant", before[was].tenant != after[is].tenant),
            ("hosts", before[was].hosts != after[is].hosts),
            ("tls files", old.listens[was].tls != new.listens[is].tls),
        ]);
        keys.into_iter()
            .map(move |key| format!("[[listen]] {address} {key}"))
    })
    .collect()
}
