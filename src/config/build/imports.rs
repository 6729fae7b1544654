//! `[[routes]]` that name the catalogue: which operations an entry imports, or denies. What was imported before is not here
//! (`imported`).

use super::super::check::nearest;
use super::super::file::{Node, Value};
use super::super::reader::Reader;
use super::super::report::Finding;
use super::routes::Treatment;
use crate::model::catalogue::{self, Operation, Selection};
use crate::model::ids::RouteName;
use crate::model::route::{Route, RouteOrigin, Template};

/// The routes of one entry; none if it is wrong.
pub(super) fn read(reader: &Reader<'_>, shared: &Treatment) -> Vec<Route> {
    for key in ["name", "methods", "scopes"]
        .into_iter()
        .filter(|key| reader.has(key))
    {
        let remedy = "leave it out, or write path instead of catalogue";
        reader.report(key, Finding::invalid("the catalogue says this", remedy));
    }
    let Some(pattern) = reader.text("catalogue") else {
        return Vec::new();
    };
    let Selection {
        mut operations,
        mut left_out,
    } = match catalogue::builtin().named(&pattern) {
        Ok(selection) => selection,
        Err(error) => {
            let remedy = unknown_catalogue(&pattern, &error.known);
            reader.report("catalogue", Finding::invalid(error.to_string(), remedy));
            return Vec::new();
        }
    };
    if shared.deny {
        operations.append(&mut left_out);
    }
    if operations.is_empty() {
        reader.report("catalogue", imports_nothing(&pattern, &left_out));
    } else if let Some(nodes) = reader.nodes("operations") {
        operations = chosen(reader, nodes, &operations, &left_out);
    }
    (operations.into_iter())
        .filter_map(|operation| imported(operation, shared))
        .collect()
}

/// What to write for a name whose operations are all left out.
fn imports_nothing(pattern: &str, left_out: &[&Operation]) -> Finding {
    let mut exact: Vec<String> = (left_out.iter())
        .filter(|operation| !operation.is_dangerous())
        .map(|Operation { api, version, .. }| format!("catalogue = \"{api}/{version}\""))
        .collect();
    exact.dedup();
    if exact.is_empty() {
        let message = format!("every operation of {pattern:?} needs an explicit route");
        let remedy = "write routes with path, methods and scopes for those that you need";
        return Finding::invalid(message, remedy);
    }
    let message = format!("no scope is known of what {pattern:?} names, so no wildcard imports it");
    Finding::invalid(message, format!("write {}", exact.join(" or ")))
}

/// Those of the operations that `operations` names.
fn chosen(
    reader: &Reader<'_>,
    nodes: &[Node],
    operations: &[&'static Operation],
    left_out: &[&'static Operation],
) -> Vec<&'static Operation> {
    if nodes.is_empty() {
        let remedy = "name the operations, or leave the key out for all of them";
        reader.report(
            "operations",
            Finding::invalid("this route is for no operation", remedy),
        );
    }
    let names = || operations.iter().map(|operation| operation.operation_id);
    let mut chosen: Vec<&Operation> = Vec::new();
    for node in nodes {
        let Value::Text(text) = &node.value else {
            continue;
        };
        match (operations.iter()).find(|operation| operation.operation_id == text) {
            Some(operation) => chosen.push(operation),
            None => reader.report_node(node, not_imported(text, left_out, nearest(text, names()))),
        }
    }
    chosen
}

fn not_imported(name: &str, left_out: &[&Operation], near: Option<&str>) -> Finding {
    let remedy = match left_out.iter().find(|other| other.operation_id == name) {
        Some(dangerous) if dangerous.is_dangerous() => {
            "write a route with its path, methods and scopes: no catalogue name imports it"
                .to_owned()
        }
        Some(Operation { api, version, .. }) => {
            format!("write catalogue = \"{api}/{version}\": no wildcard imports it")
        }
        None => match near {
            Some(near) => format!("did you mean {near:?}?"),
            None => {
                "name operations of this catalogue, as config/pleo/operations.csv does".to_owned()
            }
        },
    };
    Finding::invalid(format!("the catalogue imports no {name:?} here"), remedy)
}

fn unknown_catalogue(pattern: &str, known: &[String]) -> String {
    match nearest(pattern, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => {
            "write family/version as in the catalogue, such as \"export/v3\", \"tags/*\" or \"*\""
                .to_owned()
        }
    }
}

fn imported(operation: &Operation, shared: &Treatment) -> Option<Route> {
    let template = Template::parse(operation.path).ok()?;
    let name = RouteName::new(operation.operation_id);
    Some(Route {
        scopes: operation.scopes.clone(),
        scopes_documented: operation.basis.is_documented(),
        origin: RouteOrigin::Catalogue,
        ..shared.route(name, vec![operation.method.clone()], template)
    })
}
