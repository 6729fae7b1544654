//! Finding the route of a call (contract.md section 2): a trie of segments, so that a lookup among a thousand routes takes
//! no longer than with one, and allocates nothing. Parsing paths is not here (`model::path`).

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;

use super::ids::{CallerName, RouteName};
use super::route::{Route, RouteOrigin, Segment, is_value};

/// The routes, ready to be found.
#[derive(Debug, Default)]
pub struct RouteTable {
    routes: Vec<Arc<Route>>,
    root: Node,
}

/// What a call means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Found<'t> {
    /// This route.
    Route(&'t Arc<Route>),
    /// What this `deny` route refuses.
    Denied(&'t Arc<Route>),
    /// No route.
    Nothing,
}

/// Two explicit routes that mean the same calls.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the routes '{first}' and '{second}' mean the same method and the same paths: {path}")]
pub struct Conflict {
    /// The route that comes first in the configuration.
    pub first: RouteName,
    /// The one after it.
    pub second: RouteName,
    /// The template of the second.
    pub path: String,
}

/// Where paths are after some segments, and how they may go on.
#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, Node>,
    /// By suffix, the longest first; the parameter without a suffix is last.
    parameters: Vec<(Box<str>, Node)>,
    rest: Vec<Arc<Route>>,
    ends: Vec<Arc<Route>>,
    /// True if a `deny` route is here or below.
    denies: bool,
}

impl RouteTable {
    /// Builds the table. An explicit route beats the catalogue at equal shape; of catalogue routes that mean the same
    /// the first stays, and what one of them denies is denied.
    pub fn build(routes: Vec<Route>) -> Result<Self, Vec<Conflict>> {
        let mut table = Self::default();
        let mut conflicts = Vec::new();
        for route in routes.into_iter().map(Arc::new) {
            let equals = table.root.place(&route);
            match equals.iter().find(|other| clash(other, &route)) {
                Some(other) if route.origin == RouteOrigin::Explicit => conflicts.push(Conflict {
                    first: other.name.clone(),
                    second: route.name.clone(),
                    path: route.template.as_str().to_owned(),
                }),
                Some(denying) if route.deny => {
                    let before = denying.clone();
                    let both = Arc::new(before.denying_also(&route));
                    for kept in equals.iter_mut().chain(&mut table.routes) {
                        if Arc::ptr_eq(kept, &before) {
                            *kept = both.clone();
                        }
                    }
                }
                Some(_) => {}
                None => {
                    let after = equals.partition_point(|other| rank(other) <= rank(&route));
                    equals.insert(after, route.clone());
                    table.routes.push(route);
                }
            }
        }
        if conflicts.is_empty() {
            Ok(table)
        } else {
            Err(conflicts)
        }
    }

    /// Every route, in the order given, without the catalogue's duplicates.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.iter()
    }

    /// What a call means. A `deny` route that matches and is for this caller wins over everything; then the most
    /// specific template whose methods match, segment by segment from the left: literal, parameter with suffix,
    /// parameter, rest. Methods are compared by exact bytes: HEAD is served where HEAD is listed. Whether the route is
    /// for this caller is left to see. `path` is a canonical one.
    pub fn find(&self, method: &Method, path: &str, caller: &CallerName) -> Found<'_> {
        let rest = path.strip_prefix('/');
        let denies = |route: &Route| route.deny && route.means(method) && route.is_for(caller);
        if let Some(route) = self.root.find(rest, &|node| node.denies, &denies) {
            return Found::Denied(route);
        }
        match self.most_specific(method, path) {
            Some(route) => Found::Route(route),
            None => Found::Nothing,
        }
    }

    /// The same, whatever is denied.
    pub(super) fn most_specific(&self, method: &Method, path: &str) -> Option<&Arc<Route>> {
        let allows = |route: &Route| !route.deny && route.means(method);
        self.root.find(path.strip_prefix('/'), &|_| true, &allows)
    }
}

impl Node {
    /// Makes the nodes of the route's template; gives the routes of equal shape.
    fn place(&mut self, route: &Route) -> &mut Vec<Arc<Route>> {
        let mut node = self;
        for segment in route.template.segments() {
            node.denies |= route.deny;
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.as_str().into()).or_default(),
                Segment::Parameter { suffix, .. } => node.parameter(suffix),
                Segment::Rest { .. } => return &mut node.rest,
            };
        }
        node.denies |= route.deny;
        &mut node.ends
    }

    fn parameter(&mut self, suffix: &str) -> &mut Self {
        let place = self
            .parameters
            .iter()
            .position(|(known, _)| **known == *suffix);
        let place = place.unwrap_or_else(|| {
            let longer = |(known, _): &(Box<str>, Self)| known.len() >= suffix.len();
            let place = self.parameters.partition_point(longer);
            self.parameters
                .insert(place, (suffix.into(), Self::default()));
            place
        });
        &mut self.parameters[place].1
    }

    /// The most specific route that fits. `rest` is what follows the last slash read, `None` at the end of the path.
    fn find(
        &self,
        rest: Option<&str>,
        enters: &dyn Fn(&Self) -> bool,
        fits: &dyn Fn(&Route) -> bool,
    ) -> Option<&Arc<Route>> {
        if !enters(self) {
            return None;
        }
        let Some(rest) = rest else {
            return self.ends.iter().find(|route| fits(route));
        };
        let (segment, after) = match rest.split_once('/') {
            Some((segment, after)) => (segment, Some(after)),
            None => (rest, None),
        };
        let literal = self.literals.get(segment);
        let parameters = self
            .parameters
            .iter()
            .filter(|(suffix, _)| is_value(segment, suffix));
        literal
            .into_iter()
            .chain(parameters.map(|(_, node)| node))
            .find_map(|node| node.find(after, enters, fits))
            .or_else(|| self.rest.iter().find(|route| fits(route)))
    }
}

/// True if two routes of one shape may not stand side by side: both explicit with a method in common, or the same
/// operation of the catalogue twice.
fn clash(one: &Route, other: &Route) -> bool {
    if one.origin != other.origin {
        return false;
    }
    match one.origin {
        RouteOrigin::Explicit => {
            one.methods.is_empty()
                || other.methods.is_empty()
                || one
                    .methods
                    .iter()
                    .any(|method| other.methods.contains(method))
        }
        RouteOrigin::Catalogue => one.methods == other.methods && one.deny == other.deny,
    }
}

fn rank(route: &Route) -> u8 {
    match route.origin {
        RouteOrigin::Explicit => 0,
        RouteOrigin::Catalogue => 1,
    }
}

#[cfg(test)]
mod tests;
