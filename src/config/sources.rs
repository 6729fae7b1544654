//! The only reader of the environment: overrides of keys, places of secrets, the file's path. What the values mean is not
//! here (`build`).

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;

use super::check;
use super::file::{Node, Table, Value, parse_variable};
use super::keys::{FILE, Key, Shape};
use super::report::{Finding, Findings, Place, ProblemKind};

const PREFIX: &str = "PLEO_GATEWAY_";
const SEARCHED: [&str; 2] = ["config/gateway.toml", "/etc/pleo-gateway/gateway.toml"];

/// The environment as a value. Secrets are in it: it prints names only.
#[derive(Clone, Default)]
pub struct Environment {
    vars: BTreeMap<String, String>,
    /// The names of those whose values are no text.
    unreadable: Vec<String>,
}

impl Environment {
    /// The process's own, as it is now. Of variables that are not Unicode only the names are kept.
    pub fn of_process() -> Self {
        let mut environment = Self::default();
        for (name, value) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            match value.into_string() {
                Ok(value) => drop(environment.vars.insert(name, value)),
                Err(_) => environment.unreadable.push(name),
            }
        }
        environment
    }

    /// True if a variable is there whose value is no text.
    pub(super) fn is_unreadable(&self, name: &str) -> bool {
        self.unreadable.iter().any(|variable| variable == name)
    }

    /// A variable's value.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str)
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(vars: I) -> Self {
        Self {
            vars: vars.into_iter().collect(),
            unreadable: Vec::new(),
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.vars.keys()).finish()
    }
}

/// The configuration's file: the one given, otherwise the first of `config/gateway.toml` and
/// `/etc/pleo-gateway/gateway.toml` that exists.
pub fn locate(given: Option<PathBuf>) -> PathBuf {
    let there = || {
        SEARCHED
            .iter()
            .map(PathBuf::from)
            .find(|path| path.exists())
    };
    given
        .or_else(there)
        .unwrap_or_else(|| PathBuf::from(SEARCHED[0]))
}

/// Overrides what the file says by `PLEO_GATEWAY_<SECTION>__<KEY>`.
pub(super) fn override_keys(root: &mut Table, environment: &Environment, findings: &Findings) {
    let unreadable = environment.unreadable.iter();
    for variable in unreadable.filter(|variable| key_named_by(variable).is_some()) {
        let remedy = "write it in UTF-8, or remove the variable";
        let finding = Finding::invalid("the variable's value is no text", remedy);
        findings.report(&Place::Variable(variable.clone()), "", finding);
    }
    let mut set = HashMap::new();
    for (variable, text) in &environment.vars {
        let Some((section, key)) = key_named_by(variable) else {
            continue;
        };
        if let Some(first) = set.insert((section.clone(), key.clone()), variable) {
            let finding = Finding::invalid(
                format!("{first} already sets this"),
                "remove one of the two",
            );
            let place = Place::Variable(variable.clone());
            findings.report(&place, &format!("{section}.{key}"), finding);
        }
        match find_key(&section, &key) {
            Some(known) => override_key(root, (&section, known), (variable, text), findings),
            None => unknown(variable, &section, &key, findings),
        }
    }
}

/// Section and key that a variable means to set; `None` if it is not for us.
fn key_named_by(variable: &str) -> Option<(String, String)> {
    let (section, key) = variable.strip_prefix(PREFIX)?.split_once("__")?;
    Some((section.to_ascii_lowercase(), key.to_ascii_lowercase()))
}

fn sections() -> impl Iterator<Item = (&'static str, &'static [Key])> {
    FILE.iter().filter_map(|section| match section.shape {
        Shape::Table(keys) => Some((section.name, keys)),
        _ => None,
    })
}

fn find_key(section: &str, key: &str) -> Option<&'static Key> {
    let (_, keys) = sections().find(|(name, _)| *name == section)?;
    keys.iter().find(|known| known.name == key)
}

fn override_key(
    root: &mut Table,
    (section, key): (&str, &Key),
    (variable, text): (&str, &str),
    findings: &Findings,
) {
    let path = format!("{section}.{}", key.name);
    let place = Place::Variable(variable.to_owned());
    let node = if key.shape.is_plain() {
        Some(Node {
            value: Value::Text(text.to_owned()),
            place: place.clone(),
            key: path.clone(),
        })
    } else {
        parse_variable(text, variable, &path)
    };
    let Some(node) = node else {
        let remedy = match key.shape {
            Shape::Secret => check::SECRET,
            _ => "write the value as the file would, in TOML",
        };
        let finding = Finding::invalid("the variable's value cannot be read", remedy);
        return findings.report(&place, &path, finding);
    };
    let absent = || Node {
        value: Value::Table(Table::default()),
        place: Place::File,
        key: section.to_owned(),
    };
    let (_, parent) = (root.0.entry(section.to_owned())).or_insert_with(|| (Place::File, absent()));
    if let Value::Table(table) = &mut parent.value {
        table.set(key.name, node);
    }
}

fn unknown(variable: &str, section: &str, key: &str, findings: &Findings) {
    let wanted = format!("{section}__{key}");
    let remedy = meant(&wanted).unwrap_or_else(|| {
        let known = sections().find(|(name, _)| *name == section);
        if let Some((_, keys)) = known {
            let keys: Vec<String> = keys
                .iter()
                .map(|key| key.name.to_ascii_uppercase())
                .collect();
            let section = section.to_ascii_uppercase();
            format!("known after {PREFIX}{section}__: {}", keys.join(", "))
        } else if FILE.iter().any(|known| known.name == section) {
            "only the keys of a [section] can be set by a variable; write this one in the file"
                .into()
        } else {
            format!("variables are named {PREFIX}<SECTION>__<KEY>; remove it, or rename it")
        }
    });
    let finding = Finding::new(ProblemKind::Unknown, "the variable names no key", remedy);
    let place = Place::Variable(variable.to_owned());
    findings.report(&place, "", finding);
}

/// The known name that is nearest, or else the longest that this one begins with: it may mean a part of that value.
fn meant(wanted: &str) -> Option<String> {
    let names: Vec<(String, &Key)> = sections()
        .flat_map(|(section, keys)| keys.iter().map(move |key| (section, key)))
        .map(|(section, key)| (format!("{section}__{}", key.name), key))
        .collect();
    if let Some(near) = check::nearest(wanted, names.iter().map(|(name, _)| name.as_str())) {
        return Some(format!(
            "did you mean {PREFIX}{}?",
            near.to_ascii_uppercase()
        ));
    }
    let begun = names
        .iter()
        .filter(|(name, _)| wanted.starts_with(name.as_str()));
    let (name, key) = begun.max_by_key(|(name, _)| name.len())?;
    let name = name.to_ascii_uppercase();
    Some(match key.shape {
        Shape::Table(_) | Shape::Secret => {
            format!(
                "set {PREFIX}{name} to the whole of it, such as {}",
                key.example
            )
        }
        _ => format!("did you mean {PREFIX}{name}?"),
    })
}
