//! The file's own tables, cut down to what was used. Keys that say how calls are treated stay as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use toml::{Table, Value};

use super::guard::{Denied, Guards};
use super::used::{Import, Kept, Used};
use super::{SuggestedRoute, Suggestion};
use crate::model::catalogue::{self, Operation, Selection};
use crate::model::ids::RouteName;
use crate::model::route::{Route, RouteOrigin};
use crate::model::scope::{Scope, ScopeSet};

/// Of a route, in bytes.
const LONGEST_NAME: usize = 128;
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

    /// The entry that is written for this route.
    pub(super) fn of_route(&self, route: &Route) -> Option<usize> {
        let is_written = route.origin == RouteOrigin::Explicit;
        let mut entries = self.0.iter();
        entries.position(|entry| is_written && entry.name.as_ref() == Some(&route.name))
    }

    /// The first that imports the operation, as the gateway takes it.
    pub(super) fn of_operation(&self, operation: &Operation) -> Option<usize> {
        (self.0.iter())
            .position(|entry| !entry.denies && entry.operations.contains(&operation.operation_id))
    }

    /// The tables that were used, each for those who used it, and those that keep them from more.
    pub(super) fn needed(&self, used: &Used<'_>, guards: &Guards<'_>) -> Vec<SuggestedRoute> {
        let mut routes = Vec::new();
        for (place, entry) in self.0.iter().enumerate() {
            if entry.denies {
                let table = entry.table.clone();
                routes.push(SuggestedRoute { table, why: None });
            }
            if let Some(kept) = used.entries.get(&place) {
                routes.push(entry.kept(kept));
            }
            let is_here = |denied: &&Denied<'_>| self.of_route(denied.route) == Some(place);
            let mut name = entry.table.get("name");
            if used.entries.contains_key(&place) {
                name = None;
            }
            for denied in guards.denied.iter().filter(is_here) {
                routes.push(denied_entry(denied, name.take()));
            }
            routes.extend(imports(used, Some(place), &entry.treatment()));
        }
        routes.extend(imports(used, None, &Table::new()));
        let is_nowhere = |denied: &&Denied<'_>| self.of_route(denied.route).is_none();
        routes.extend(denied_operations(guards.denied.iter().filter(is_nowhere)));
        routes
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

    fn kept(&self, kept: &Kept<'_>) -> SuggestedRoute {
        let mut table = self.table.clone();
        table.remove("observe");
        table.insert("callers".to_owned(), list(kept.callers.iter().copied()));
        table.insert("methods".to_owned(), list(kept.methods.iter().copied()));
        if self.title().len() <= LONGEST_NAME {
            let name = Value::from(self.title());
            table.entry("name").or_insert(name);
        }
        let why = kept.guards_from.map(in_place_of);
        SuggestedRoute { table, why }
    }
}

/// In the place of what nobody of these used.
fn denied_entry(denied: &Denied<'_>, name: Option<&Value>) -> SuggestedRoute {
    let mut table = Table::new();
    let mut set = |key: &str, value| table.insert(key.to_owned(), value);
    if let Some(name) = name {
        set("name", name.clone());
    }
    set("methods", list(denied.methods.iter().copied()));
    set("path", denied.route.template.as_str().into());
    set("callers", list(denied.callers.iter().copied()));
    set("deny", true.into());
    let why = Some(not_used(&denied.wider));
    SuggestedRoute { table, why }
}

/// One table for the operations that are denied to the same callers.
fn denied_operations<'d>(
    denied: impl Iterator<Item = &'d Denied<'d>>,
) -> impl Iterator<Item = SuggestedRoute> {
    let mut groups: BTreeMap<_, Vec<&Denied<'_>>> = BTreeMap::new();
    for denied in denied {
        groups.entry(&denied.callers).or_default().push(denied);
    }
    groups.into_iter().map(|(callers, group)| {
        let mut table = Table::new();
        let mut set = |key: &str, value| table.insert(key.to_owned(), value);
        set("catalogue", "*".into());
        let names = group.iter().map(|denied| denied.route.name.as_ref());
        set("operations", list(names));
        set("callers", list(callers.iter().copied()));
        set("deny", true.into());
        let wider = group.iter().flat_map(|denied| &denied.wider);
        let why = Some(not_used(&wider.copied().collect()));
        SuggestedRoute { table, why }
    })
}

fn not_used(wider: &BTreeSet<&str>) -> String {
    let wider: Vec<&str> = wider.iter().copied().collect();
    format!(
        "Not used by these callers, and open to them by {} if it was not denied",
        wider.join(", ")
    )
}

fn in_place_of(wider: &str) -> String {
    format!("Not used; without it, {wider} would allow more than it does")
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
fn imports(
    used: &Used<'_>,
    entry: Option<usize>,
    treatment: &Table,
) -> impl Iterator<Item = SuggestedRoute> {
    let mut groups: BTreeMap<_, Vec<&Import<'_>>> = BTreeMap::new();
    for import in (used.imports.values()).filter(|import| import.entry == entry) {
        let operation = import.operation;
        let alone = (!import.is_importable()).then_some(operation.operation_id);
        let family = (operation.api, operation.version, alone);
        let group = (family, &import.callers, import.guards_from);
        groups.entry(group).or_default().push(import);
    }
    (groups.into_values()).filter_map(|group| together(&group, treatment.clone()))
}

fn together(group: &[&Import<'_>], mut table: Table) -> Option<SuggestedRoute> {
    let import = group.first()?;
    let operation = import.operation;
    let mut set = |key: &str, value| table.insert(key.to_owned(), value);
    if import.is_importable() {
        let family = format!("{}/{}", operation.api, operation.version);
        let names = group.iter().map(|import| import.operation.operation_id);
        set("catalogue", family.into());
        set("operations", list(names));
    } else {
        set("name", operation.operation_id.into());
        set("methods", list([operation.method.as_str()].into_iter()));
        set("path", operation.path.into());
        set("scopes", scopes(&import.scopes()));
    }
    set("callers", list(import.callers.iter().copied()));
    let why = import.guards_from.map(in_place_of);
    Some(SuggestedRoute { table, why })
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
        let callers = self.callers.iter().map(|table| ("callers", table, None));
        let routes = (self.routes.iter()).map(|route| ("routes", &route.table, route.why.as_ref()));
        for (name, table, why) in callers.chain(routes) {
            writeln!(f)?;
            if let Some(why) = why {
                writeln!(f, "# {}", why.replace(char::is_control, " "))?;
            }
            writeln!(f, "[[{name}]]")?;
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
