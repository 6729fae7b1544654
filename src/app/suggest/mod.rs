//! What callers need, judging by what was observed: the smallest ceilings and routes, as tables for the file. How the tables
//! are made is in `tables`, how the log is read in `observed`; nothing is written.

mod observed;
mod tables;

use std::collections::{BTreeMap, BTreeSet};

use toml::Table;

pub use self::observed::Observed;
use self::observed::{Call, Times};
use self::tables::Entries;
use crate::model::catalogue::{self, Operation};
use crate::model::route::{Route, RouteOrigin, Template};
use crate::model::scope::ScopeSet;
use crate::model::snapshot::Snapshot;

/// Tables to put in the place of every `[[callers]]` and `[[routes]]` of the file.
#[derive(Debug, Default)]
pub struct Suggestion {
    /// The callers of the file, with the smallest `scopes`.
    pub callers: Vec<Table>,
    /// The routes that were used, for those who used them, and whatever denies.
    pub routes: Vec<Table>,
    /// What could not be taken in, and why.
    pub remarks: Vec<String>,
}

/// What was observed says nothing about this configuration.
#[derive(Debug, thiserror::Error)]
#[error("no call in the log is of a caller of this configuration; the log has: {0}")]
pub struct NobodyKnown(String);

/// What was used of the configuration and the catalogue, and by whom.
#[derive(Debug, Default)]
struct Used<'a> {
    /// By caller. A caller that is missing was not seen.
    ceilings: BTreeMap<&'a str, ScopeSet>,
    /// Entries of the file that stay, by their places.
    entries: BTreeMap<usize, KeptEntry<'a>>,
    /// Operations to import, by their names.
    imports: BTreeMap<&'static str, Import<'a>>,
}

/// An entry with a path of its own, as far as it was used.
#[derive(Debug, Default)]
struct KeptEntry<'a> {
    callers: BTreeSet<&'a str>,
    methods: BTreeSet<&'static str>,
    /// True if it was used for what the catalogue does not have: its methods stay as they are then.
    is_beyond_catalogue: bool,
}

/// An operation that was used.
#[derive(Debug)]
struct Import<'a> {
    operation: &'static Operation,
    callers: BTreeSet<&'a str>,
    /// Whose entry says how the operation's calls are treated.
    entry: Option<usize>,
}

/// What one kind of call needs.
enum Need<'a> {
    /// The entry of a route, used for this operation.
    Entry(usize, &'a Route, Option<&'static Operation>),
    /// An operation, treated as this entry says.
    Import(&'static Operation, Option<usize>),
    /// It cannot be taken in, or must not be.
    Nothing(&'static str),
}

impl Suggestion {
    /// What the callers of `file`, which was read into `snapshot`, need. `refused` takes in what was refused for want of
    /// a route or a scope too; what a `deny` route refuses stays refused.
    pub fn of(
        (snapshot, file): (&Snapshot, &Table),
        observed: &Observed,
        refused: bool,
    ) -> Result<Self, NobodyKnown> {
        let entries = Entries::of(file);
        let known: BTreeSet<&str> = (snapshot.callers.iter())
            .map(|caller| caller.name.as_ref())
            .collect();
        let seen: BTreeSet<&str> = (observed.calls.keys())
            .map(|call| call.caller.as_str())
            .collect();
        if known.is_disjoint(&seen) {
            return Err(NobodyKnown(some_of(&seen)));
        }
        let mut used = Used::default();
        let mut remarks = Vec::new();
        for (call, times) in &observed.calls {
            let need = if known.contains(call.caller.as_str()) {
                need(call, snapshot, &entries)
            } else {
                Need::Nothing("there is no such caller in the configuration")
            };
            match need {
                Need::Nothing(why) => remarks.push(remark(call, times, why)),
                _ if call.is_refused && !refused => {
                    remarks.push(remark(call, times, "it was refused; --refused takes it in"));
                }
                Need::Entry(place, route, operation) => {
                    used.entry(&call.caller, place, route, operation);
                }
                Need::Import(operation, entry) => used.import(&call.caller, operation, entry),
            }
        }
        for caller in known.difference(&used.ceilings.keys().copied().collect()) {
            remarks.push(format!("{caller}: nothing that it called is taken in: its scopes stay as they are, and no route is for it"));
        }
        remarks.extend(entries.unused(&used));
        Ok(Self {
            callers: tables::callers(file, &used),
            routes: entries.needed(&used),
            remarks,
        })
    }
}

/// The first of these names, made safe for a terminal: anybody may have written the log.
fn some_of(names: &BTreeSet<&str>) -> String {
    const SHOWN: usize = 10;
    let mut shown: Vec<String> = (names.iter().take(SHOWN))
        .map(|name| name.escape_debug().to_string())
        .collect();
    if let Some(more @ 1..) = names.len().checked_sub(SHOWN) {
        shown.push(format!("and {more} more"));
    }
    shown.join(", ")
}

impl<'a> Used<'a> {
    fn entry(
        &mut self,
        caller: &'a str,
        place: usize,
        route: &Route,
        operation: Option<&'static Operation>,
    ) {
        self.needs(caller, &route.scopes);
        let entry = self.entries.entry(place).or_default();
        entry.callers.insert(caller);
        match operation {
            Some(operation) => drop(entry.methods.insert(operation.method.as_str())),
            None => entry.is_beyond_catalogue = true,
        }
    }

    fn import(&mut self, caller: &'a str, operation: &'static Operation, entry: Option<usize>) {
        self.needs(caller, &operation.scopes);
        let name = operation.operation_id;
        let import = self.imports.entry(name).or_insert(Import {
            operation,
            callers: BTreeSet::new(),
            entry,
        });
        import.callers.insert(caller);
        import.entry = import.entry.or(entry);
    }

    fn needs(&mut self, caller: &'a str, scopes: &ScopeSet) {
        let ceiling = self.ceilings.entry(caller).or_default();
        *ceiling = ceiling.union(scopes);
    }
}

fn need<'a>(call: &Call, snapshot: &'a Snapshot, entries: &Entries<'_>) -> Need<'a> {
    let known = catalogue::builtin();
    let operation = (call.operation.as_deref()).and_then(|name| known.operation(name));
    let route = call.route.as_ref().and_then(|(name, template)| {
        let same =
            |route: &&Route| route.name.as_ref() == name && route.template.as_str() == template;
        let routes = snapshot.routes.iter().map(AsRef::as_ref);
        routes.filter(same).min_by_key(|route| route.deny)
    });
    match (route, operation) {
        (Some(route), _) if route.deny => Need::Nothing("a route denies it"),
        (Some(route), operation) => of_route(route, operation, entries),
        (None, Some(operation)) => Need::Import(operation, entries.of_operation(operation)),
        (None, None) if call.route.is_some() => {
            Need::Nothing("there is no such route in the configuration")
        }
        (None, None) => Need::Nothing("it means no route and no operation of the catalogue"),
    }
}

/// A route that is wider than what it was used for gives way to the catalogue's.
fn of_route<'a>(
    route: &'a Route,
    operation: Option<&'static Operation>,
    entries: &Entries<'_>,
) -> Need<'a> {
    let entry = match route.origin {
        RouteOrigin::Catalogue => None,
        RouteOrigin::Explicit => entries.of_route(&route.name),
    };
    match (entry, operation) {
        (Some(entry), Some(operation)) if !is_within(route, operation) => {
            Need::Import(operation, Some(entry))
        }
        (Some(entry), operation) => Need::Entry(entry, route, operation),
        (None, Some(operation)) => Need::Import(operation, entries.of_operation(operation)),
        (None, None) => Need::Nothing("the file has no entry for it"),
    }
}

fn is_within(route: &Route, operation: &Operation) -> bool {
    Template::parse(operation.path).is_ok_and(|path| route.template.is_within(&path))
}

fn remark(call: &Call, times: &Times, why: &str) -> String {
    let known = catalogue::builtin();
    let operation = (call.operation.as_deref()).and_then(|name| known.operation(name));
    let what = match (operation, &call.route) {
        (Some(operation), _) => {
            let Operation {
                operation_id,
                method,
                path,
                ..
            } = operation;
            format!("{operation_id} ({method} {path})")
        }
        (None, Some((route, _))) => format!("route {route}"),
        (None, None) => "a path that is not known".to_owned(),
    };
    let Times { count, first } = times;
    let caller = &call.caller;
    format!("{caller}: {what}, {count}×, first in request {first}: {why}")
}

#[cfg(test)]
mod tests;
