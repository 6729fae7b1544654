//! The file's own tables, cut down to what was used. Keys that say how calls are treated stay as they are.

use std::collections::BTreeMap;
use std::fmt;

use toml::{Table, Value};

use super::{Import, KeptEntry, Suggestion, Used};
use crate::model::catalogue::{self, Operation, Selection};
use crate::model::ids::RouteName;
use crate::model::scope::{Scope, ScopeSet};

/// What says which calls an entry means and for whom, in the order in which people write it; how they are treated follows.
const FIRST: [&str; 7] = [
    "name",
    "catalogue",
    "operations",
    "methods",
    "path",
    "scopes",
    "callers",
];

/// The file's `[[routes]]`.
pub(super) struct Entries<'f>(Vec<Entry<'f>>);

struct Entry<'f> {
    table: &'f Table,
    /// What it imports of the catalogue.
    operations: Vec<&'static str>,
    /// The name of its route, if it has a path.
    name: Option<RouteName>,
    denies: bool,
}

impl<'f> Entries<'f> {
    pub(super) fn of(file: &'f Table) -> Self {
        Self(tables(file, "routes").map(Entry::of).collect())
    }

    pub(super) fn of_route(&self, name: &RouteName) -> Option<usize> {
        (self.0.iter()).position(|entry| entry.name.as_ref() == Some(name))
    }

    /// The first that imports the operation, as the gateway takes it.
    pub(super) fn of_operation(&self, operation: &Operation) -> Option<usize> {
        (self.0.iter())
            .position(|entry| !entry.denies && entry.operations.contains(&operation.operation_id))
    }

    /// The tables that were used, each for those who used it.
    pub(super) fn needed(&self, used: &Used<'_>) -> Vec<Table> {
        let mut tables = Vec::new();
        for (place, entry) in self.0.iter().enumerate() {
            if entry.denies {
                tables.push(entry.table.clone());
            }
            if let Some(kept) = used.entries.get(&place) {
                tables.push(entry.kept(kept));
            }
            tables.extend(imports(used, Some(place), &entry.treatment()));
        }
        tables.extend(imports(used, None, &Table::new()));
        tables
    }

    pub(super) fn unused(&self, used: &Used<'_>) -> Vec<String> {
        let imported = |place| {
            used.imports
                .values()
                .any(|import| import.entry == Some(place))
        };
        let unused = (self.0.iter().enumerate()).filter(|(place, entry)| {
            !entry.denies && !used.entries.contains_key(place) && !imported(*place)
        });
        unused
            .map(|(_, entry)| format!("left out, as nobody used it: {}", entry.title()))
            .collect()
    }
}

impl<'f> Entry<'f> {
    fn of(table: &'f Table) -> Self {
        let catalogue = table.get("catalogue").and_then(Value::as_str);
        let operations = catalogue.and_then(|pattern| catalogue::builtin().named(pattern).ok());
        let chosen = table.get("operations").map(|_| texts(table, "operations"));
        Self {
            table,
            operations: operations
                .map(|Selection { operations, .. }| operations)
                .unwrap_or_default()
                .into_iter()
                .map(|operation| operation.operation_id)
                .filter(|name| (chosen.as_ref()).is_none_or(|chosen| chosen.contains(name)))
                .collect(),
            name: table.get("path").and_then(Value::as_str).map(|path| {
                match table.get("name").and_then(Value::as_str) {
                    Some(name) => RouteName::new(name),
                    None => RouteName::of_calls(&texts(table, "methods"), path),
                }
            }),
            denies: table.get("deny").and_then(Value::as_bool) == Some(true),
        }
    }

    fn title(&self) -> &str {
        let catalogue = self.table.get("catalogue").and_then(Value::as_str);
        catalogue
            .or(self.name.as_ref().map(AsRef::as_ref))
            .unwrap_or_default()
    }

    fn treatment(&self) -> Table {
        let mut table = self.table.clone();
        table.remove("observe");
        table.retain(|key, _| !FIRST.contains(&key));
        table
    }

    fn kept(&self, kept: &KeptEntry<'_>) -> Table {
        let mut table = self.table.clone();
        table.remove("observe");
        table.insert("callers".to_owned(), list(kept.callers.iter().copied()));
        if !kept.is_beyond_catalogue {
            table.insert("methods".to_owned(), list(kept.methods.iter().copied()));
            let name = Value::from(self.title());
            table.entry("name").or_insert(name);
        }
        table
    }
}

/// The file's `[[callers]]`, with the ceilings of those that were seen.
pub(super) fn callers(file: &Table, used: &Used<'_>) -> Vec<Table> {
    let limited = |table: &Table| {
        let name = table.get("name").and_then(Value::as_str);
        let mut table = table.clone();
        if let Some(ceiling) = name.and_then(|name| used.ceilings.get(name)) {
            table.insert("scopes".to_owned(), scopes(ceiling));
        }
        table
    };
    tables(file, "callers").map(limited).collect()
}

/// One table for the operations of a family that the same callers use.
fn imports(used: &Used<'_>, entry: Option<usize>, treatment: &Table) -> Vec<Table> {
    let mut groups: BTreeMap<_, Vec<&Import<'_>>> = BTreeMap::new();
    for import in (used.imports.values()).filter(|import| import.entry == entry) {
        let operation = import.operation;
        let alone = (operation.is_dangerous()).then_some(operation.operation_id);
        let group = (operation.api, operation.version, alone, &import.callers);
        groups.entry(group).or_default().push(import);
    }
    let tables = groups.into_values();
    tables
        .filter_map(|group| together(&group, treatment))
        .collect()
}

fn together(group: &[&Import<'_>], treatment: &Table) -> Option<Table> {
    let Import {
        operation, callers, ..
    } = group.first()?;
    let mut table = treatment.clone();
    let mut set = |key: &str, value| table.insert(key.to_owned(), value);
    if operation.is_dangerous() {
        // Nothing but a route with its path opens such a one.
        set("name", operation.operation_id.into());
        set("methods", list([operation.method.as_str()].into_iter()));
        set("path", operation.path.into());
        set("scopes", scopes(&operation.scopes));
    } else {
        let family = format!("{}/{}", operation.api, operation.version);
        let names = group.iter().map(|import| import.operation.operation_id);
        set("catalogue", family.into());
        set("operations", list(names));
    }
    set("callers", list(callers.iter().copied()));
    Some(table)
}

fn tables<'f>(file: &'f Table, key: &str) -> impl Iterator<Item = &'f Table> {
    let list = file.get(key).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_table)
}

fn texts<'t>(table: &'t Table, key: &str) -> Vec<&'t str> {
    let list = table.get(key).and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn list<'a>(words: impl Iterator<Item = &'a str>) -> Value {
    Value::Array(words.map(Value::from).collect())
}

fn scopes(set: &ScopeSet) -> Value {
    list(set.iter().map(Scope::as_str))
}

/// As TOML, to paste.
impl fmt::Display for Suggestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let callers = self.callers.iter().map(|table| ("callers", table));
        let routes = self.routes.iter().map(|table| ("routes", table));
        for (name, table) in callers.chain(routes) {
            writeln!(f, "\n[[{name}]]")?;
            let first = FIRST.iter().filter_map(|key| table.get_key_value(*key));
            let others = table
                .iter()
                .filter(|(key, _)| !FIRST.contains(&key.as_str()));
            for (key, value) in first.chain(others) {
                writeln!(f, "{key} = {value}")?;
            }
        }
        Ok(())
    }
}
