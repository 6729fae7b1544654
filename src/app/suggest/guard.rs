//! What keeps a suggestion from allowing more than today: where a route that is kept would serve the calls of a narrower
//! one that nobody used, the narrower one stays as a `deny`; or, if a `deny` would refuse what was used, as it is.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;

use super::need::covers;
use super::shape::overlap;
use super::tables::Entries;
use super::used::{Import, Kept, Place, Standing, Used};
use crate::model::catalogue;
use crate::model::route::Route;
use crate::model::snapshot::Snapshot;

/// What is denied in the place of routes that are left out.
#[derive(Debug, Default)]
pub(super) struct Guards<'a> {
    pub(super) denied: Vec<Denied<'a>>,
    /// What had to be left out.
    pub(super) remarks: Vec<String>,
}

/// Calls of a route that nobody of these callers made.
#[derive(Debug)]
pub(super) struct Denied<'a> {
    pub(super) route: &'a Route,
    pub(super) methods: BTreeSet<&'a str>,
    pub(super) callers: BTreeSet<&'a str>,
    /// Routes that would allow them otherwise.
    pub(super) wider: BTreeSet<&'a str>,
}

/// A caller whose calls of this route with this method would go by a wider one.
struct Gap<'a> {
    route: &'a Route,
    method: &'a str,
    caller: &'a str,
    wider: Place,
    wider_name: &'a str,
    /// True if the caller used something within the route: a `deny` would refuse that.
    is_crossed: bool,
}

impl<'a> Guards<'a> {
    pub(super) fn put(used: &mut Used<'a>, snapshot: &'a Snapshot, entries: &Entries<'_>) -> Self {
        let mut remarks = Vec::new();
        let mut withdrawn = BTreeSet::new();
        loop {
            let gaps = gaps(used, snapshot);
            if gaps.iter().all(|gap| !gap.is_crossed) {
                let denied = denied(&gaps);
                return Self { denied, remarks };
            }
            for gap in gaps.iter().filter(|gap| gap.is_crossed) {
                if !used.has(gap.route, gap.method)
                    && !gap.keep(used, snapshot, entries, &withdrawn)
                {
                    used.withdraw(gap.wider, gap.caller);
                    if withdrawn.insert((gap.wider, gap.caller)) {
                        remarks.push(format!(
                            "{}: what it called by {} is left out: nothing would keep it from calls of {} that are for nobody",
                            gap.caller, gap.wider_name, gap.route.name
                        ));
                    }
                }
            }
        }
    }
}

fn gaps<'a>(used: &Used<'a>, snapshot: &'a Snapshot) -> Vec<Gap<'a>> {
    let standing = used.standing();
    let mut gaps = Vec::new();
    for route in snapshot.routes.iter().map(AsRef::as_ref) {
        for wider in standing.iter().filter(|wider| covers_some(wider, route)) {
            let open = |method: &&&'a str| means(route, method) && !used.has(route, method);
            for &method in wider.methods.iter().filter(open) {
                gaps.extend(wider.callers.iter().map(|&caller| Gap {
                    route,
                    method,
                    caller,
                    wider: wider.place,
                    wider_name: wider.name,
                    is_crossed:
                        (standing.iter()).any(|other| crosses(other, route, method, caller)),
                }));
            }
        }
    }
    gaps
}

/// True if it would serve calls that are this route's today.
fn covers_some(wider: &Standing<'_, '_>, route: &Route) -> bool {
    !route.deny && wider.yields_to(route) && overlap(&wider.template, &route.template)
}

fn crosses(other: &Standing<'_, '_>, route: &Route, method: &str, caller: &str) -> bool {
    let is_part = other
        .source
        .is_some_and(|source| std::ptr::eq(source, route));
    other.callers.contains(caller)
        && other.methods.contains(method)
        && (is_part || !other.yields_to(route))
        && overlap(&other.template, &route.template)
}

fn means(route: &Route, method: &str) -> bool {
    Method::from_bytes(method.as_bytes()).is_ok_and(|method| route.means(&method))
}

impl<'a> Gap<'a> {
    /// Keeps the route for those of its callers to whom it gives no more than today. False if there are none.
    fn keep(
        &self,
        used: &mut Used<'a>,
        snapshot: &'a Snapshot,
        entries: &Entries<'_>,
        withdrawn: &BTreeSet<(Place, &'a str)>,
    ) -> bool {
        let operation = catalogue::builtin().operation(self.route.name.as_ref());
        let place = match (entries.of_route(self.route), operation) {
            (Some(place), _) => Place::Entry(place),
            (None, Some(operation)) => Place::Import(operation.operation_id),
            (None, None) => return false,
        };
        let gains = |name: &str, ceiling| {
            let ceiling_then = used.ceilings.get(name).or(ceiling);
            !covers(ceiling, self.route) && covers(ceiling_then, self.route)
        };
        let fitting = (snapshot.callers.iter())
            .filter(|caller| self.route.is_for(&caller.name))
            .filter(|caller| !gains(caller.name.as_ref(), caller.ceiling.as_ref()))
            .map(|caller| caller.name.as_ref())
            .filter(|caller| !withdrawn.contains(&(place, caller)));
        let fitting: BTreeSet<&str> = fitting.collect();
        if fitting.is_empty() {
            return false;
        }
        let wider = Some(self.wider_name);
        match (place, operation) {
            (Place::Entry(place), _) => {
                let new = Kept {
                    callers: fitting,
                    ..Kept::new(self.route, wider)
                };
                let kept = used.entries.entry(place).or_insert(new);
                kept.methods.insert(self.method);
            }
            (Place::Import(name), Some(operation)) => {
                let new = Import::new(operation, Some(self.route), entries);
                let new = Import {
                    callers: fitting,
                    guards_from: wider,
                    ..new
                };
                used.imports.insert(name, new);
            }
            (Place::Import(_), None) => {}
        }
        true
    }
}

/// Methods of a route that are denied to the same callers go together.
fn denied<'a>(gaps: &[Gap<'a>]) -> Vec<Denied<'a>> {
    let mut all: Vec<Denied<'a>> = Vec::new();
    for same in gaps.chunk_by(|one, other| std::ptr::eq(one.route, other.route)) {
        let mut callers: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for gap in same {
            callers.entry(gap.method).or_default().insert(gap.caller);
        }
        let mut methods: BTreeMap<BTreeSet<&str>, BTreeSet<&str>> = BTreeMap::new();
        for (method, callers) in callers {
            methods.entry(callers).or_default().insert(method);
        }
        all.extend(methods.into_iter().map(|(callers, methods)| Denied {
            route: same[0].route,
            wider: same.iter().map(|gap| gap.wider_name).collect(),
            methods,
            callers,
        }));
    }
    all
}
