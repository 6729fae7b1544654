//! Typed reading of one table: values in their notation, defaults from the table of keys, problems reported where they are.
//! Unknown keys and wrong types are left to `check`; a value it refused reads here as if it were absent.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file::{Node, Table, Value};
use super::keys::{Key, Shape};
use super::report::{Finding, Findings, Place, ProblemKind};
use super::secrets::{self, Secrets};
use super::settings::SecretSource;
use super::units::{self, Remedy};
use crate::secret::Secret;

/// What all readers of one configuration share.
pub(super) struct Desk<'a> {
    pub(super) findings: &'a Findings,
    pub(super) secrets: Secrets<'a>,
}

/// One table of the file, or one that is not there: then every key has its default.
#[derive(Clone)]
pub(super) struct Reader<'a> {
    desk: &'a Desk<'a>,
    keys: &'static [Key],
    table: Option<&'a Table>,
    place: Place,
    key: String,
}

impl<'a> Reader<'a> {
    pub(super) fn new(desk: &'a Desk<'a>, keys: &'static [Key], table: &'a Table) -> Self {
        Self {
            desk,
            keys,
            table: Some(table),
            place: Place::File,
            key: String::new(),
        }
    }

    /// What this key says, if it was written.
    pub(super) fn node(&self, name: &str) -> Option<&'a Node> {
        debug_assert!(self.knows(name), "{name}");
        self.table?.get(name)
    }

    /// True if this key was written, right or wrong.
    pub(super) fn has(&self, name: &str) -> bool {
        self.node(name).is_some()
    }

    /// True if this key can be written here.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.keys.iter().any(|key| key.name == name)
    }

    /// The folder that relative paths begin at.
    pub(super) fn base(&self) -> &'a Path {
        self.desk.secrets.base
    }

    /// A variable that is not an override, such as `RUST_LOG`.
    pub(super) fn variable(&self, name: &str) -> Option<&'a str> {
        self.desk.secrets.environment.var(name)
    }

    /// Reports on a key, or on the table if the key is not there.
    pub(super) fn report(&self, name: &str, finding: Finding) {
        match self.node(name) {
            Some(node) => self.report_node(node, finding),
            None => (self.desk.findings).report(&self.place, &self.path_of(name), finding),
        }
    }

    /// Reports on one value of a list.
    pub(super) fn report_node(&self, node: &Node, finding: Finding) {
        self.desk.findings.report(&node.place, &node.key, finding);
    }

    /// Reports that a key should be there, unless it is.
    pub(super) fn require(&self, name: &str, message: &str, remedy: &str) {
        if !self.has(name) {
            self.report(name, Finding::new(ProblemKind::Missing, message, remedy));
        }
    }

    /// Allowed, but perhaps not meant.
    pub(super) fn warn(&self, name: &str, message: impl Into<String>, remedy: &str) {
        self.report(name, Finding::new(ProblemKind::Warning, message, remedy));
    }

    /// The same for a variable that is not an override.
    pub(super) fn warn_of_variable(&self, name: &str, message: &str, remedy: &str) {
        let finding = Finding::new(ProblemKind::Warning, message, remedy);
        let place = Place::Variable(name.to_owned());
        self.desk.findings.report(&place, "", finding);
    }

    /// A text in some notation.
    pub(super) fn parsed<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, Remedy>,
    ) -> Option<T> {
        self.parse_node(self.node(name)?, parse)
    }

    /// A text in some notation that has a default.
    #[expect(clippy::expect_used, reason = "a test reads every default")]
    pub(super) fn defaulted<T>(&self, name: &str, parse: impl Fn(&str) -> Result<T, Remedy>) -> T {
        self.parsed(name, &parse)
            .unwrap_or_else(|| parse(self.default(name)).expect("the default is in its notation"))
    }

    /// A list of texts in some notation, without those that are wrong.
    pub(super) fn list<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, Remedy>,
    ) -> Option<Vec<T>> {
        let nodes = self.nodes(name)?;
        let parsed = nodes
            .iter()
            .filter_map(|node| self.parse_node(node, &parse));
        Some(parsed.collect())
    }

    /// A list's values.
    pub(super) fn nodes(&self, name: &str) -> Option<&'a [Node]> {
        match &self.node(name)?.value {
            Value::List(nodes) => Some(nodes),
            _ => None,
        }
    }

    /// True for a list with nothing in it.
    pub(super) fn is_empty(&self, name: &str) -> bool {
        self.nodes(name).is_some_and(<[Node]>::is_empty)
    }

    /// One text in some notation. What may be a password (`@` of a URL) is not shown.
    fn parse_node<T>(&self, node: &Node, parse: impl Fn(&str) -> Result<T, Remedy>) -> Option<T> {
        let Value::Text(text) = &node.value else {
            return None;
        };
        let remedy = match parse(text) {
            Ok(value) => return Some(value),
            Err(remedy) => remedy,
        };
        let message = if text.contains('@') {
            self.desk.findings.mask(&node.place);
            "cannot be this".to_owned()
        } else {
            format!("cannot be {text:?}")
        };
        self.report_node(node, Finding::invalid(message, remedy));
        None
    }

    /// Reports a wrong value without showing it: it may be a secret in the wrong place.
    pub(super) fn refuse_unseen(&self, node: &Node, message: &str, remedy: &str) {
        self.desk.findings.mask(&node.place);
        self.report_node(node, Finding::invalid(message, remedy));
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.parsed(name, |text| match text {
            "" => Err("write something, or leave the key out"),
            text => Ok(text.to_owned()),
        })
    }

    /// One of the words of the key; `check` reported any other.
    pub(super) fn word(&self, name: &str) -> &'a str {
        let Shape::Word(words) = self.shape(name) else {
            return "";
        };
        match self.node(name).map(|node| &node.value) {
            Some(Value::Text(text)) if words.contains(&text.as_str()) => text,
            _ => self.default(name),
        }
    }

    pub(super) fn duration(&self, name: &str) -> Duration {
        self.defaulted(name, |text| self.bounded_duration(name, text))
    }

    pub(super) fn duration_if_given(&self, name: &str) -> Option<Duration> {
        self.parsed(name, |text| self.bounded_duration(name, text))
    }

    fn bounded_duration(&self, name: &str, text: &str) -> Result<Duration, Remedy> {
        let zero_is_off = matches!(self.shape(name), Shape::Duration { zero: true });
        match units::duration(text)? {
            Duration::ZERO if !zero_is_off => Err("write a time above zero: this is never off"),
            duration => Ok(duration),
        }
    }

    /// In bytes. The bounds fit every integer that a size becomes.
    pub(super) fn size(&self, name: &str) -> u64 {
        self.size_if_given(name)
            .unwrap_or_else(|| units::size(self.default(name)).unwrap_or_default())
    }

    pub(super) fn size_if_given(&self, name: &str) -> Option<u64> {
        let Shape::Size { min, max } = self.shape(name) else {
            return None;
        };
        let node = self.node(name)?;
        let bytes = match &node.value {
            Value::Integer(bytes) => u64::try_from(*bytes).ok(),
            _ => Some(self.parsed(name, units::size)?),
        };
        let fits = bytes.filter(|bytes| (min..=max).contains(bytes));
        if fits.is_none() {
            let remedy = format!("write a size from {min} to {max} bytes");
            self.report(name, Finding::invalid("the size is out of bounds", remedy));
        }
        fits
    }

    /// `check` reported a number out of bounds; within them it fits its type.
    pub(super) fn number<T: TryFrom<i64> + Default>(&self, name: &str) -> T {
        let default = || self.default(name).parse::<i64>().ok()?.try_into().ok();
        (self.number_if_given(name).or_else(default)).unwrap_or_default()
    }

    pub(super) fn number_if_given<T: TryFrom<i64>>(&self, name: &str) -> Option<T> {
        let Shape::Integer { min, max } = self.shape(name) else {
            return None;
        };
        match self.node(name)?.value {
            Value::Integer(number) if (min..=max).contains(&number) => number.try_into().ok(),
            _ => None,
        }
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.flag_if_given(name)
            .unwrap_or_else(|| self.default(name) == "true")
    }

    pub(super) fn flag_if_given(&self, name: &str) -> Option<bool> {
        match self.node(name)?.value {
            Value::Boolean(flag) => Some(flag),
            _ => None,
        }
    }

    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(|text| self.base().join(text))
    }

    /// The secret, whose file has to be there.
    pub(super) fn secret(&self, name: &str) -> Option<Secret> {
        let node = self.node(name)?;
        self.found(node, self.desk.secrets.read(node)?)
    }

    /// Where the secret is, if it need not be there yet.
    pub(super) fn secret_source(&self, node: &Node) -> Option<SecretSource> {
        self.found(node, self.desk.secrets.source(node)?)
    }

    /// The file where a secret is by default, which need not be there yet either, or not for this user to see.
    pub(super) fn default_secret(&self, name: &str, path: PathBuf) -> Option<SecretSource> {
        if !path.exists() {
            return Some(SecretSource::File(path));
        }
        secrets::file(path)
            .map_err(|finding| self.report(name, finding))
            .ok()
    }

    /// A file that is there.
    pub(super) fn existing_file(&self, name: &str) -> Option<PathBuf> {
        let path = self.path(name)?;
        if !path.is_file() {
            let message = format!("there is no file {}", path.display());
            let remedy = "put the file there, or name another";
            self.report(name, Finding::new(ProblemKind::Missing, message, remedy));
        }
        Some(path)
    }

    fn found<T>(&self, node: &Node, result: Result<T, Finding>) -> Option<T> {
        result
            .map_err(|finding| self.report_node(node, finding))
            .ok()
    }

    /// The table below this key, there or not.
    pub(super) fn table(&self, name: &str) -> Self {
        self.table_if_given(name).unwrap_or_else(|| Self {
            desk: self.desk,
            keys: self.below(name),
            table: None,
            place: Place::File,
            key: self.path_of(name),
        })
    }

    pub(super) fn table_if_given(&self, name: &str) -> Option<Self> {
        self.reader_of(self.node(name)?, name)
    }

    /// Each of the tables below this key.
    pub(super) fn tables(&self, name: &str) -> Vec<Self> {
        let nodes = self.nodes(name).unwrap_or_default();
        (nodes.iter())
            .filter_map(|node| self.reader_of(node, name))
            .collect()
    }

    fn reader_of(&self, node: &'a Node, name: &str) -> Option<Self> {
        let Value::Table(table) = &node.value else {
            return None;
        };
        Some(Self {
            desk: self.desk,
            keys: self.below(name),
            table: Some(table),
            place: node.place.clone(),
            key: node.key.clone(),
        })
    }

    fn below(&self, name: &str) -> &'static [Key] {
        match self.shape(name) {
            Shape::Table(keys) | Shape::Tables(keys) => keys,
            _ => &[],
        }
    }

    fn path_of(&self, name: &str) -> String {
        if self.key.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.key)
        }
    }

    #[expect(
        clippy::expect_used,
        reason = "the names are constants, and a test reads every section"
    )]
    fn known(&self, name: &str) -> &'static Key {
        (self.keys.iter().find(|key| key.name == name)).expect("a key of the table")
    }

    fn shape(&self, name: &str) -> Shape {
        self.known(name).shape
    }

    fn default(&self, name: &str) -> &'static str {
        self.known(name).default.unwrap_or_default()
    }
}
