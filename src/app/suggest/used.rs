//! What is kept of the configuration and the catalogue, and for whom. What it may not grow into is not here (`guard`).

use std::collections::{BTreeMap, BTreeSet};

use super::need::{Need, What, gives_way};
use super::shape::{order, wins};
use super::tables::Entries;
use crate::model::catalogue::{self, Operation};
use crate::model::route::{Route, RouteOrigin, Template};
use crate::model::scope::ScopeSet;
use crate::model::snapshot::Snapshot;

/// What was used, and by whom.
#[derive(Debug, Default)]
pub(super) struct Used<'a> {
    /// By caller. A caller that is missing was not seen.
    pub(super) ceilings: BTreeMap<&'a str, ScopeSet>,
    /// Entries of the file that stay, by their places.
    pub(super) entries: BTreeMap<usize, Kept<'a>>,
    /// Operations to import, by their names.
    pub(super) imports: BTreeMap<&'static str, Import<'a>>,
}

/// An entry with a path of its own, as far as it was used.
#[derive(Debug)]
pub(super) struct Kept<'a> {
    pub(super) route: &'a Route,
    pub(super) callers: BTreeSet<&'a str>,
    pub(super) methods: BTreeSet<&'a str>,
    /// The route that would serve its calls if it was not there. `None` if it was used.
    pub(super) guards_from: Option<&'a str>,
}

/// An operation that was used.
#[derive(Debug)]
pub(super) struct Import<'a> {
    pub(super) operation: &'static Operation,
    pub(super) callers: BTreeSet<&'a str>,
    /// The route by which its calls went.
    pub(super) route: Option<&'a Route>,
    /// Whose entry says how the operation's calls are treated.
    pub(super) entry: Option<usize>,
    /// As in [`Kept`].
    pub(super) guards_from: Option<&'a str>,
}

/// Which of those that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Entry(usize),
    Import(&'static str),
}

/// A route that the suggestion will have.
#[derive(Debug)]
pub(super) struct Standing<'u, 'a> {
    pub(super) place: Place,
    pub(super) name: &'a str,
    pub(super) template: Template,
    pub(super) methods: BTreeSet<&'a str>,
    pub(super) callers: &'u BTreeSet<&'a str>,
    /// The route of today of which it is a part.
    pub(super) source: Option<&'a Route>,
}

impl Import<'_> {
    /// What its route asks for: what the wider one did, and what Pleo is known to.
    pub(super) fn scopes(&self) -> ScopeSet {
        let Some(route) = self.route else {
            return self.operation.scopes.clone();
        };
        if self.is_importable() || self.operation.basis.is_documented() {
            return route.scopes.union(&self.operation.scopes);
        }
        route.scopes.clone()
    }

    /// False if nothing but a route with its path opens it, or says all that is asked for.
    pub(super) fn is_importable(&self) -> bool {
        let asked = |route: &Route| route.scopes.is_covered_by(&self.operation.scopes);
        !self.operation.is_dangerous() && self.route.is_none_or(asked)
    }
}

impl<'a> Used<'a> {
    /// A route that is wider than every operation that it was used for gives way to the catalogue's.
    pub(super) fn of(needs: &[Need<'a>], snapshot: &Snapshot, entries: &Entries<'_>) -> Self {
        let stays = |need: &Need<'_>| match need.what {
            What::Route(route, Some(operation)) if !gives_way(route, operation, snapshot) => {
                entries.of_route(route)
            }
            _ => None,
        };
        let staying: BTreeSet<usize> = needs.iter().filter_map(stays).collect();
        let mut used = Self::default();
        for need in needs {
            let (route, operation) = match need.what {
                What::Route(route, operation) => (route, operation),
                What::Operation(operation) => {
                    used.import(need.caller, operation, None, entries);
                    continue;
                }
            };
            match (entries.of_route(route), operation) {
                (Some(place), Some(operation)) if !staying.contains(&place) => {
                    used.import(need.caller, operation, Some(route), entries);
                }
                (Some(place), _) => used.keep(need, place, route),
                (None, _) => {
                    if let Some(operation) = catalogue::builtin().operation(route.name.as_ref()) {
                        used.import(need.caller, operation, Some(route), entries);
                    }
                }
            }
        }
        used
    }

    fn keep(&mut self, need: &Need<'a>, place: usize, route: &'a Route) {
        self.needs(need.caller, &route.scopes);
        let kept = self.entries.entry(place).or_insert(Kept::new(route, None));
        kept.callers.insert(need.caller);
        kept.methods.insert(need.method);
    }

    fn import(
        &mut self,
        caller: &'a str,
        operation: &'static Operation,
        route: Option<&'a Route>,
        entries: &Entries<'_>,
    ) {
        let import = (self.imports.entry(operation.operation_id))
            .or_insert_with(|| Import::new(operation, route, entries));
        import.callers.insert(caller);
        let scopes = import.scopes();
        self.needs(caller, &scopes);
    }

    fn needs(&mut self, caller: &'a str, scopes: &ScopeSet) {
        let ceiling = self.ceilings.entry(caller).or_default();
        *ceiling = ceiling.union(scopes);
    }

    /// Every route that comes of this.
    pub(super) fn standing(&self) -> Vec<Standing<'_, 'a>> {
        let entries = self.entries.iter().map(|(place, kept)| Standing {
            place: Place::Entry(*place),
            name: kept.route.name.as_ref(),
            template: kept.route.template.clone(),
            methods: kept.methods.clone(),
            callers: &kept.callers,
            source: Some(kept.route),
        });
        let imports = self.imports.iter().filter_map(|(name, import)| {
            Some(Standing {
                place: Place::Import(name),
                name,
                template: Template::parse(import.operation.path).ok()?,
                methods: BTreeSet::from([import.operation.method.as_str()]),
                callers: &import.callers,
                source: import.route,
            })
        });
        entries.chain(imports).collect()
    }

    /// True if the calls of this route with this method still go by it, or are refused by it.
    pub(super) fn has(&self, route: &Route, method: &str) -> bool {
        let is_kept = (self.entries.values())
            .any(|kept| std::ptr::eq(kept.route, route) && kept.methods.contains(method));
        is_kept
            || route.origin == RouteOrigin::Catalogue
                && (self.imports.get(route.name.as_ref()))
                    .and_then(|import| import.route)
                    .is_some_and(|source| std::ptr::eq(source, route))
    }

    /// Takes the caller off.
    pub(super) fn withdraw(&mut self, place: Place, caller: &str) {
        match place {
            Place::Entry(place) => {
                if let Some(kept) = self.entries.get_mut(&place) {
                    kept.callers.remove(caller);
                }
            }
            Place::Import(name) => {
                if let Some(import) = self.imports.get_mut(name) {
                    import.callers.remove(caller);
                }
            }
        }
        self.entries.retain(|_, kept| !kept.callers.is_empty());
        (self.imports).retain(|_, import| !import.callers.is_empty());
    }
}

impl<'a> Kept<'a> {
    pub(super) fn new(route: &'a Route, guards_from: Option<&'a str>) -> Self {
        Self {
            route,
            callers: BTreeSet::new(),
            methods: BTreeSet::new(),
            guards_from,
        }
    }
}

impl<'a> Import<'a> {
    pub(super) fn new(
        operation: &'static Operation,
        route: Option<&'a Route>,
        entries: &Entries<'_>,
    ) -> Self {
        Self {
            operation,
            callers: BTreeSet::new(),
            route,
            entry: (route.and_then(|route| entries.of_route(route)))
                .or_else(|| entries.of_operation(operation)),
            guards_from: None,
        }
    }
}

impl Standing<'_, '_> {
    /// True if today the calls that it and this route mean are that one's.
    pub(super) fn yields_to(&self, route: &Route) -> bool {
        match self.source {
            Some(source) => wins(route, source),
            None => order(&route.template, &self.template).is_lt(),
        }
    }
}
