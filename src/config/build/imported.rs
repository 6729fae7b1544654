//! What has been imported from the catalogue so far. Of several entries that import an operation the first counts, which may
//! not be intended if it is for fewer callers.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::super::reader::Reader;
use crate::model::ids::{CallerName, RouteName};
use crate::model::route::{Route, RouteOrigin};

/// Each operation with the callers that its first entry names; none is every caller.
#[derive(Default)]
pub(super) struct Imported(HashMap<RouteName, Vec<CallerName>>);

impl Imported {
    /// Adds what an entry imports, and warns of what of it has no effect.
    pub(super) fn add(&mut self, reader: &Reader<'_>, routes: &[Route]) {
        let is_import = |route: &&Route| route.origin == RouteOrigin::Catalogue && !route.deny;
        let mut hidden = Vec::new();
        for route in routes.iter().filter(is_import) {
            match self.0.entry(route.name.clone()) {
                Entry::Vacant(first) => {
                    first.insert(route.callers.clone());
                }
                Entry::Occupied(first) => {
                    let callers = first.get();
                    if !callers.is_empty() && *callers != route.callers {
                        hidden.push(route.name.as_ref());
                    }
                }
            }
        }
        let [name, others @ ..] = &hidden[..] else {
            return;
        };
        let others = match others.len() {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        let message = format!(
            "an entry before this one imports {name:?}{others} for its own callers only, and counts"
        );
        let remedy = "name in the first entry every caller that may make these calls";
        reader.warn("catalogue", message, remedy);
    }
}
