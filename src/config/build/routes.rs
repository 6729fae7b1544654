//! `[[routes]]`: the calls that may be made, written by hand. Those that the catalogue names are in `imports`.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use http::Method;

use super::super::check::nearest;
use super::super::file::{Node, Value};
use super::super::reader::Reader;
use super::super::report::{Finding, ProblemKind};
use super::super::units::{self, Remedy};
use super::imported::Imported;
use super::imports;
use crate::model::caller::{Caller, Rate};
use crate::model::ids::{CallerName, RouteName};
use crate::model::route::{Route, RouteOrigin, Segment, Template};
use crate::model::route_table::RouteTable;
use crate::model::scope::ScopeSet;

type Callers<'a> = [(Reader<'a>, Caller)];

/// What says how calls are treated, where none is let through.
const NOT_OF_DENY: [&str; 9] = [
    "scopes",
    "company",
    "observe",
    "timeout",
    "max_request_body",
    "replay_buffer",
    "allow_set_cookie",
    "rate",
    "max_in_flight",
];

pub(super) fn read(root: &Reader<'_>, callers: &Callers<'_>) -> RouteTable {
    let proxy = root.table("proxy");
    let observe = proxy.flag("observe");
    if observe {
        let remedy = "write observe = false once you know what your callers need";
        proxy.warn(
            "observe",
            "no route enforces scopes: what lacks them passes",
            remedy,
        );
    }
    let mut routes = Vec::new();
    let mut places: HashMap<RouteName, Reader<'_>> = HashMap::new();
    let mut imported = Imported::default();
    for reader in root.tables("routes") {
        let read = route(&reader, callers);
        for route in read
            .iter()
            .filter(|route| route.origin == RouteOrigin::Explicit)
        {
            if places.insert(route.name.clone(), reader.clone()).is_some() {
                let remedy =
                    "give every route a name of its own: it tells them apart in logs and metrics";
                reader.report(
                    "name",
                    Finding::invalid("another route has this name", remedy),
                );
            }
        }
        imported.add(&reader, &read);
        routes.extend(read.into_iter().map(|route| Route {
            observe: route.observe || observe,
            ..route
        }));
    }
    RouteTable::build(routes).unwrap_or_else(|conflicts| {
        for conflict in conflicts {
            let Some(reader) = places.get(&conflict.second) else {
                continue;
            };
            let first = conflict.first.as_ref();
            let message = format!("means the same calls as the route {first:?}");
            let remedy = "remove one of the two, or give them different methods";
            reader.report("path", Finding::invalid(message, remedy));
        }
        RouteTable::default()
    })
}

/// The routes of one entry; none if it is wrong.
fn route(reader: &Reader<'_>, callers: &Callers<'_>) -> Vec<Route> {
    let shared = Treatment::read(reader, callers);
    if reader.has("operations") && !reader.has("catalogue") {
        let remedy = "write catalogue = \"export/v3\" beside it, or leave it out";
        reader.report(
            "operations",
            Finding::invalid("operations are of a catalogue, and none is named", remedy),
        );
    }
    if shared.deny {
        for key in NOT_OF_DENY.into_iter().filter(|key| reader.has(key)) {
            let remedy = "leave it out, or leave deny out";
            reader.warn(
                key,
                "a deny route refuses what it matches: this has no effect",
                remedy,
            );
        }
    }
    match (reader.has("catalogue"), reader.has("path")) {
        (true, false) => imports::read(reader, &shared),
        (false, true) => explicit(reader, &shared).into_iter().collect(),
        (true, true) => {
            let remedy = "keep one of them: the catalogue has paths of its own";
            reader.report(
                "path",
                Finding::invalid("catalogue and path together mean nothing", remedy),
            );
            Vec::new()
        }
        (false, false) => {
            let remedy =
                "write catalogue = \"export/v3\", or path = \"/v2/employees/{employeeId}\"";
            let message = "neither catalogue nor path is there";
            reader.report("path", Finding::new(ProblemKind::Missing, message, remedy));
            Vec::new()
        }
    }
}

fn explicit(reader: &Reader<'_>, shared: &Treatment) -> Option<Route> {
    let methods = methods(reader);
    let name = reader.parsed("name", super::name);
    let scopes = super::scopes(reader);
    let template = template(reader)?;
    warn_of_other_spellings(reader, &template);
    if scopes.is_none() && !shared.deny && !reader.has("scopes") {
        let remedy = "write the scopes that the call needs, or scopes = [] if it needs none";
        reader.warn("scopes", "this route asks for no scope", remedy);
    }
    let name = name.map_or_else(
        || {
            let methods: Vec<&str> = methods.iter().map(Method::as_str).collect();
            RouteName::of_calls(&methods, template.as_str())
        },
        RouteName::new,
    );
    Some(Route {
        scopes: scopes.unwrap_or_default(),
        ..shared.route(name, methods, template)
    })
}

fn template(reader: &Reader<'_>) -> Option<Template> {
    let node = reader.node("path")?;
    let Value::Text(text) = &node.value else {
        return None;
    };
    Template::parse(text)
        .map_err(|error| {
            let remedy =
                "write a path such as \"/v2/employees/{employeeId}\" or \"/files/{*rest}\"";
            reader.report("path", Finding::invalid(error.to_string(), remedy));
        })
        .ok()
}

/// What other proxies write for any segment is a text like others here: nobody calls it, and denying it denies nothing.
fn warn_of_other_spellings(reader: &Reader<'_>, template: &Template) {
    for segment in template.segments() {
        let text = match segment {
            Segment::Literal(text) if text.contains('*') || text.starts_with(':') => text,
            Segment::Parameter { suffix, .. } if suffix.contains('*') => suffix,
            _ => continue,
        };
        let message = format!("{text:?} is matched as it is written");
        let remedy = "write {id} for any one segment, {*rest} for all that remains";
        reader.warn("path", message, remedy);
    }
}

fn methods(reader: &Reader<'_>) -> Vec<Method> {
    let methods = reader.list("methods", method);
    if reader.is_empty("methods") {
        let remedy = "name the methods, or leave the key out for every method";
        reader.report(
            "methods",
            Finding::invalid("this route is for no method", remedy),
        );
    }
    methods.unwrap_or_default()
}

fn method(text: &str) -> Result<Method, Remedy> {
    let remedy = "write a method's name, such as \"GET\"";
    match Method::from_bytes(text.as_bytes()).map_err(|_| remedy)? {
        Method::CONNECT | Method::TRACE => {
            Err("leave it out: CONNECT and TRACE are never passed on")
        }
        _ if text.bytes().any(|b| b.is_ascii_lowercase()) => {
            Err("methods are upper-case: write \"GET\", not \"get\"")
        }
        method => Ok(method),
    }
}

/// What an entry says of the calls, whichever they are.
pub(super) struct Treatment {
    pub(super) deny: bool,
    callers: Vec<CallerName>,
    company_query: Option<String>,
    observe: bool,
    timeout: Option<Duration>,
    max_request_body: Option<u64>,
    replay_buffer: Option<usize>,
    allow_set_cookie: bool,
    rate: Option<Rate>,
    max_in_flight: Option<NonZeroU32>,
}

impl Treatment {
    fn read(reader: &Reader<'_>, known: &Callers<'_>) -> Self {
        let in_flight = reader.number_if_given::<u32>("max_in_flight");
        let buffer = reader.size_if_given("replay_buffer");
        Self {
            deny: reader.flag("deny"),
            callers: callers(reader, known),
            company_query: reader.parsed("company", company),
            observe: reader.flag("observe"),
            timeout: reader.duration_if_given("timeout"),
            max_request_body: reader.size_if_given("max_request_body"),
            replay_buffer: buffer.and_then(|bytes| bytes.try_into().ok()),
            allow_set_cookie: reader.flag("allow_set_cookie"),
            rate: reader.parsed("rate", units::rate),
            max_in_flight: in_flight.and_then(NonZeroU32::new),
        }
    }

    /// An explicit route without scopes.
    pub(super) fn route(&self, name: RouteName, methods: Vec<Method>, template: Template) -> Route {
        Route {
            name,
            methods,
            template,
            scopes: ScopeSet::default(),
            scopes_documented: true,
            origin: RouteOrigin::Explicit,
            deny: self.deny,
            callers: self.callers.clone(),
            company_query: self.company_query.clone(),
            observe: self.observe,
            timeout: self.timeout,
            max_request_body: self.max_request_body,
            replay_buffer: self.replay_buffer,
            allow_set_cookie: self.allow_set_cookie,
            rate: self.rate,
            max_in_flight: self.max_in_flight,
        }
    }
}

fn callers(reader: &Reader<'_>, known: &Callers<'_>) -> Vec<CallerName> {
    let nodes = reader.nodes("callers").unwrap_or_default();
    if reader.is_empty("callers") {
        let remedy = "name the callers, or leave the key out for every caller";
        reader.report(
            "callers",
            Finding::invalid("this route is for no caller", remedy),
        );
    }
    let mut names: Vec<CallerName> = (nodes.iter())
        .filter_map(|node| caller(reader, node, known))
        .collect();
    names.sort();
    names.dedup();
    names
}

fn caller(reader: &Reader<'_>, node: &Node, known: &Callers<'_>) -> Option<CallerName> {
    let Value::Text(text) = &node.value else {
        return None;
    };
    let mut names = known.iter().map(|(_, caller)| caller.name.as_ref());
    if names.clone().any(|name| name == text) {
        return Some(CallerName::new(text.as_str()));
    }
    let remedy = match nearest(text, names.by_ref()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => "name one of [[callers]]".to_owned(),
    };
    reader.report_node(
        node,
        Finding::invalid(format!("there is no caller {text:?}"), remedy),
    );
    None
}

fn company(text: &str) -> Result<String, Remedy> {
    let remedy = "write \"query:\" and the query key, such as \"query:company_id\"";
    let key = text.strip_prefix("query:").ok_or(remedy)?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    (!key.is_empty() && key.bytes().all(plain))
        .then(|| key.to_owned())
        .ok_or(remedy)
}
