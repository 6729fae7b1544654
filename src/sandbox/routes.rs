//! Which operation of the catalogue a call is. Written independently of the gateway's route table, so that each checks the
//! other.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use http::Method;

use crate::model::catalogue::{Operation, builtin};

/// A part of a template, between slashes. The order is that of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// A parameter, and what follows it: `{id}:archive`.
    Parameter { suffix: &'static str },
    /// As it is.
    Literal(&'static str),
}

#[derive(Debug)]
struct Entry {
    operation: &'static Operation,
    parts: Vec<Part>,
}

/// Operations by method and number of parts, most specific first.
#[derive(Debug)]
pub(super) struct Routes(HashMap<(Method, usize), Vec<Entry>>);

impl Routes {
    /// Those of the built-in catalogue.
    pub(super) fn of_catalogue() -> Self {
        let mut table: HashMap<_, Vec<Entry>> = HashMap::new();
        for operation in &builtin().operations {
            let parts: Vec<Part> = operation.path.split('/').map(part).collect();
            let key = (operation.method.clone(), parts.len());
            table
                .entry(key)
                .or_default()
                .push(Entry { operation, parts });
        }
        for entries in table.values_mut() {
            entries.sort_by(|a, b| Reverse(&a.parts).cmp(&Reverse(&b.parts)));
        }
        Self(table)
    }

    /// The operation, and the path's parameters in order.
    pub(super) fn find<'p>(
        &self,
        method: &Method,
        path: &'p str,
    ) -> Option<(&'static Operation, Vec<&'p str>)> {
        let given: Vec<&str> = path.split('/').collect();
        let entries = self.0.get(&(method.clone(), given.len()))?;
        entries.iter().find_map(|entry| {
            let mut values = Vec::new();
            for (part, text) in entry.parts.iter().zip(&given) {
                match part {
                    Part::Literal(literal) if literal == text => {}
                    Part::Literal(_) => return None,
                    Part::Parameter { suffix } => values.push(value(text, suffix)?),
                }
            }
            Some((entry.operation, values))
        })
    }

    /// The methods with which the path is an operation.
    pub(super) fn methods(&self, path: &str) -> BTreeSet<&str> {
        let methods = self.0.keys().map(|(method, _)| method);
        methods
            .filter(|method| self.find(method, path).is_some())
            .map(Method::as_str)
            .collect()
    }
}

fn part(text: &'static str) -> Part {
    match text.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        Some((_, suffix)) => Part::Parameter { suffix },
        None => Part::Literal(text),
    }
}

/// A parameter is not empty and has no colon, which is how `{id}:archive` and `{id}` are told apart.
fn value<'p>(text: &'p str, suffix: &str) -> Option<&'p str> {
    text.strip_suffix(suffix)
        .filter(|value| !value.is_empty() && !value.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(method: &Method, path: &str) -> Option<(&'static str, Vec<String>)> {
        let routes = Routes::of_catalogue();
        let (operation, values) = routes.find(method, path)?;
        let values = values.into_iter().map(str::to_owned).collect();
        Some((operation.operation_id, values))
    }

    #[test]
    fn every_operation_is_found_by_its_own_path() {
        let routes = Routes::of_catalogue();
        for operation in &builtin().operations {
            let path = operation.path.replace('{', "x").replace('}', "");
            let (found, _) = routes.find(&operation.method, &path).unwrap();
            assert_eq!(found.operation_id, operation.operation_id, "{path}");
        }
    }

    #[test]
    fn colons_belong_to_the_template() {
        let archive = found(&Method::POST, "/v1/vendors/7:archive");
        assert_eq!(archive, Some(("archiveVendorById", vec!["7".to_owned()])));
        assert_eq!(found(&Method::POST, "/v1/vendors/7:nothing"), None);
        assert_eq!(found(&Method::POST, "/v1/vendors/:archive"), None);
        assert_eq!(found(&Method::GET, "/v1/vendors/a:b"), None);
        assert_eq!(
            found(&Method::POST, "/v1/vendors:search"),
            Some(("searchVendors", vec![]))
        );
    }

    #[test]
    fn a_literal_goes_before_a_parameter_and_a_slash_counts() {
        let search = found(&Method::POST, "/v1/accounting-entries/receipts:search");
        assert_eq!(search, Some(("searchReceiptsByPostV6", vec![])));
        assert_eq!(
            found(&Method::POST, "/v0/tags/archive"),
            Some(("bulkArchiveTags", vec![]))
        );
        assert_eq!(found(&Method::GET, "/v1/vendors/7/"), None);
        assert_eq!(found(&Method::PATCH, "/v1/vendors/7"), None);
        assert_eq!(found(&Method::GET, "/v9/vendors/7"), None);
    }
}
