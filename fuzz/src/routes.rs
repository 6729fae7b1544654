//! Target: the route table. Input: lines `flags template`, an empty line, lines `flags path`. The plain reading: every route
//! is compared with every path, word by word, and the most specific of those that fit is chosen by its shape.

use http::Method;
use http::uri::PathAndQuery;
use pleo_gateway::model::ids::{CallerName, RouteName};
use pleo_gateway::model::path::CanonicalPath;
use pleo_gateway::model::route::{Route, RouteOrigin, Template};
use pleo_gateway::model::route_table::{Found, RouteTable};

/// More would be slow, and say nothing new.
const MOST: usize = 24;

pub(crate) fn target(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let (routes, calls) = text.split_once("\n\n").unwrap_or((text, ""));
    let lines = routes.lines().take(MOST).enumerate();
    let routes: Vec<Route> = lines
        .filter_map(|(place, line)| route(place, line))
        .collect();
    let built = RouteTable::build(routes.clone());
    assert_eq!(built.is_err(), conflict(&routes), "{routes:#?}");
    let Ok(table) = built else { return };
    for line in calls.lines().take(MOST) {
        let (flags, path) = halves(line);
        let Some(path) = canonical(path) else {
            continue;
        };
        let method = if flags.contains('p') {
            Method::POST
        } else {
            Method::GET
        };
        let caller = CallerName::new(if flags.contains('e') { "erp" } else { "crm" });
        let found = match table.find(&method, path.path(), &caller) {
            Found::Route(route) => (false, Some(route.name.clone())),
            Found::Denied(route) => (true, Some(route.name.clone())),
            Found::Nothing => (false, None),
        };
        let expected = plain(&routes, &method, path.path(), &caller);
        assert_eq!(found, expected, "{method} {} {routes:#?}", path.path());
    }
}

/// What stands before the first `/`, and the rest.
fn halves(line: &str) -> (&str, &str) {
    line.split_at(line.find('/').unwrap_or(line.len()))
}

fn canonical(path: &str) -> Option<CanonicalPath> {
    let target = PathAndQuery::try_from(path).ok()?;
    CanonicalPath::parse(&target).ok()
}

/// `d`: deny. `k`: of the catalogue. `g`, `p`: only GET, only POST. `e`: only for the caller `erp`.
fn route(place: usize, line: &str) -> Option<Route> {
    let (flags, template) = halves(line);
    let origin = if flags.contains('k') {
        RouteOrigin::Catalogue
    } else {
        RouteOrigin::Explicit
    };
    let template = Template::parse(template).ok()?;
    let mut route = Route::new(RouteName::new(place.to_string()), template, origin);
    route.deny = flags.contains('d');
    let methods = [('g', Method::GET), ('p', Method::POST)];
    let meant = methods
        .into_iter()
        .filter(|(flag, _)| flags.contains(*flag));
    route.methods = meant.map(|(_, method)| method).collect();
    if flags.contains('e') {
        route.callers.push(CallerName::new("erp"));
    }
    Some(route)
}

/// True if two explicit routes mean the same calls.
fn conflict(routes: &[Route]) -> bool {
    let explicit: Vec<&Route> = routes
        .iter()
        .filter(|route| route.origin == RouteOrigin::Explicit)
        .collect();
    let both = |one: &Route, other: &Route| {
        let methods = [Method::GET, Method::POST];
        form(one) == form(other) && methods.iter().any(|m| one.means(m) && other.means(m))
    };
    let pairs = explicit.iter().enumerate();
    pairs
        .into_iter()
        .any(|(place, one)| explicit[..place].iter().any(|other| both(one, other)))
}

/// The template without the names of its parameters.
fn form(route: &Route) -> Vec<String> {
    let word = |word: &str| match word.split_once('}') {
        None => word.to_owned(),
        Some(_) if word.starts_with("{*") => "{*}".to_owned(),
        Some((_, suffix)) => format!("{{}}{suffix}"),
    };
    route.template.as_str().split('/').map(word).collect()
}

/// Denied or not, and by which route.
fn plain(
    routes: &[Route],
    method: &Method,
    path: &str,
    caller: &CallerName,
) -> (bool, Option<RouteName>) {
    let fitting = || {
        let means = move |route: &&Route| route.means(method);
        routes
            .iter()
            .filter(means)
            .filter(|route| fits(route.template.as_str(), path))
    };
    // What several entries of the catalogue deny is denied in the place and the name of the first.
    let place = |route: &Route| {
        let of_both = |route: &Route| (route.deny, route.origin, route.methods.clone());
        let same = |other: &Route| of_both(other) == of_both(route) && form(other) == form(route);
        routes.iter().position(same)
    };
    let best = |deny: bool| {
        let of_kind = fitting().filter(move |route| route.deny == deny);
        let of_kind = of_kind.filter(|route| !deny || route.is_for(caller));
        let best = of_kind.min_by_key(|route| {
            let from_catalogue = route.origin == RouteOrigin::Catalogue;
            (shape(route), from_catalogue, place(route))
        });
        best.and_then(place).map(|place| routes[place].name.clone())
    };
    match (best(true), best(false)) {
        (Some(denied), _) => (true, Some(denied)),
        (None, allowed) => (false, allowed),
    }
}

fn fits(template: &str, path: &str) -> bool {
    let words: Vec<&str> = template.split('/').collect();
    let segments: Vec<&str> = path.split('/').collect();
    let rest = words.last().is_some_and(|word| word.starts_with("{*"));
    let fixed = if rest { words.len() - 1 } else { words.len() };
    let long_enough = if rest {
        segments.len() > fixed
    } else {
        segments.len() == fixed
    };
    let is_fit = |(word, segment): (&&str, &&str)| match word.split_once('}') {
        None => word == segment,
        Some((_, suffix)) => {
            let value = segment.strip_suffix(suffix);
            value.is_some_and(|value| !value.is_empty() && !value.contains(':'))
        }
    };
    long_enough && words[..fixed].iter().zip(&segments).all(is_fit)
}

/// The most specific is the least: literal, parameter with the longer suffix, parameter, rest; from the left.
fn shape(route: &Route) -> Vec<(u8, usize)> {
    let of_word = |word: &str| match word.split_once('}') {
        None => (0, 0),
        Some(_) if word.starts_with("{*") => (2, 0),
        Some((_, suffix)) => (1, usize::MAX - suffix.len()),
    };
    route.template.as_str().split('/').map(of_word).collect()
}
