//! The file's text as a tree of values, each with its place and its key. Which keys exist is not here (`keys`, `check`).

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::string::FromUtf8Error;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::report::{Broken, Finding, Findings, Place, ProblemKind};

/// Nobody reads more errors of the form: what follows a mistake is mostly its echo.
const MOST_ERRORS: usize = 100;
const ESCAPES: &str = "write \\\\ for a backslash in double quotes, or the text in single quotes";

/// A value, where it was written, and its key in full.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Place,
    /// Such as `callers[0].name`.
    pub(super) key: String,
}

#[derive(Clone)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<Node>),
    Table(Table),
    /// What no key takes: a float, a date, a number beyond 64 bits.
    Other(&'static str),
}

/// A table's values by name, with the place of each name.
#[derive(Clone, Default)]
pub(super) struct Table(pub(super) BTreeMap<String, (Place, Node)>);

impl Table {
    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        self.0.get(name).map(|(_, node)| node)
    }

    pub(super) fn set(&mut self, name: &str, node: Node) {
        self.0.insert(name.to_owned(), (node.place.clone(), node));
    }
}

impl Value {
    /// What a person calls a value of this type.
    pub(super) fn noun(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) => "a whole number",
            Self::Boolean(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(noun) => noun,
        }
    }
}

/// Parses the file; `None` if it is not TOML, which is then reported.
pub(super) fn parse(text: &str, findings: &Findings) -> Option<Table> {
    let (root, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        let place = |span: Range<usize>| Place::Span(span);
        return Some(table(root.get_ref(), "", &place));
    }
    let lines = lines(text);
    for (count, error) in errors.iter().take(MOST_ERRORS + 1).enumerate() {
        let span = visible(text, error.span().unwrap_or(0..0));
        mask_secret_lines(text, &lines, &span, findings);
        let finding = if count < MOST_ERRORS {
            Finding::new(
                ProblemKind::Syntax,
                error.message(),
                remedy(error.message()),
            )
        } else {
            let message = format!("more like these, from here on: {}", errors.len() - count);
            Finding::new(ProblemKind::Syntax, message, "mend those above first")
        };
        findings.report(&Place::Span(span), "", finding);
    }
    None
}

/// What to say of a file that is not text.
pub(super) fn refuse(path: &Path, error: &FromUtf8Error) -> Broken {
    let text = String::from_utf8_lossy(error.as_bytes());
    let findings = Findings::new(path, &text);
    // What stands for the first bad byte.
    let start = error.utf8_error().valid_up_to();
    let span = start..start + char::REPLACEMENT_CHARACTER.len_utf8();
    mask_secret_lines(&text, &lines(&text), &span, &findings);
    let message = "this byte is no UTF-8";
    let finding = Finding::new(ProblemKind::Syntax, message, "make it a text file in UTF-8");
    findings.report(&Place::Span(span), "", finding);
    findings.finish()
}

/// What to do about an error of the form, by what the parser calls it.
fn remedy(message: &str) -> &'static str {
    for (begin, remedy) in [
        (
            "duplicate key",
            "write each table and each key once; one more of a list is [[section]]",
        ),
        ("invalid boolean", "write true or false, in lower case"),
        (
            "unexpected leading zero",
            "write a number without zeros before it, a text in double quotes",
        ),
        ("too few unicode value digits", ESCAPES),
        ("missing escaped value", ESCAPES),
    ] {
        if message.starts_with(begin) {
            return remedy;
        }
    }
    "write TOML: key = value, texts in double quotes, [section] before its keys"
}

/// Parses a value that a variable holds.
pub(super) fn parse_variable(text: &str, variable: &str, key: &str) -> Option<Node> {
    let value = DeValue::parse(text).ok()?;
    let place = |_: Range<usize>| Place::Variable(variable.to_owned());
    Some(node(&value, key.to_owned(), &place))
}

type Placed<'a> = &'a dyn Fn(Range<usize>) -> Place;

fn table(entries: &DeTable<'_>, key: &str, place: Placed<'_>) -> Table {
    Table(
        entries
            .iter()
            .map(|(name, value)| {
                let text = name.get_ref().to_string();
                let full = if key.is_empty() {
                    text.clone()
                } else {
                    format!("{key}.{text}")
                };
                (text, (place(name.span()), node(value, full, place)))
            })
            .collect(),
    )
}

fn node(value: &Spanned<DeValue<'_>>, key: String, place: Placed<'_>) -> Node {
    Node {
        value: content(value.get_ref(), &key, place),
        place: place(value.span()),
        key,
    }
}

fn content(value: &DeValue<'_>, key: &str, place: Placed<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("a number that is too large"), Value::Integer),
        DeValue::Boolean(flag) => Value::Boolean(*flag),
        DeValue::Float(_) => Value::Other("a number with a point"),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Table(entries) => Value::Table(table(entries, key, place)),
        DeValue::Array(values) => Value::List(
            (values.iter().enumerate())
                .map(|(index, value)| node(value, format!("{key}[{index}]"), place))
                .collect(),
        ),
    }
}

/// A span that has at least one character to point at, if there is one on its line: the end of a line would show the next.
fn visible(text: &str, span: Range<usize>) -> Range<usize> {
    match text[span.end..].chars().next() {
        Some(c) if span.is_empty() && !matches!(c, '\r' | '\n') => {
            span.start..span.end + c.len_utf8()
        }
        _ => span,
    }
}

/// A line of the file.
struct Line<'a> {
    start: usize,
    text: &'a str,
    /// True if a multi-line string has begun before it and not ended.
    is_in_a_text: bool,
}

fn lines(text: &str) -> Vec<Line<'_>> {
    let (mut start, mut basic, mut literal) = (0, 0, 0);
    (text.split_inclusive('\n'))
        .map(|text| {
            let is_in_a_text = basic % 2 == 1 || literal % 2 == 1;
            let line = Line {
                start,
                text,
                is_in_a_text,
            };
            start += text.len();
            basic += text.matches("\"\"\"").count();
            literal += text.matches("'''").count();
            line
        })
        .collect()
}

/// A secret with a forgotten quote must not end up in a log: blanks out the values of lines that mention secrets, and lines
/// that may continue one. What is wrong at a line's beginning is shown at the end of the line before.
fn mask_secret_lines(text: &str, lines: &[Line<'_>], span: &Range<usize>, findings: &Findings) {
    let before = text[..span.start].trim_end_matches(['\r', '\n']).len();
    let first = lines.partition_point(|line| line.start <= before);
    let of_span = lines.iter().skip(first.saturating_sub(1));
    for line in of_span.take_while(|line| line.start <= span.end) {
        let value = match line.text.find('=') {
            _ if line.is_in_a_text => 0,
            Some(equals) if speaks_of_secrets(line.text) => equals + 1,
            None if !line.text.starts_with('[') => 0,
            _ => line.text.len(),
        };
        let end = line.start + line.text.len();
        findings.mask(&Place::Span(line.start + value..end));
    }
}

fn speaks_of_secrets(line: &str) -> bool {
    let telling = ["secret", "token", "postgres", "key", "pass", "@"];
    telling.iter().any(|word| line.contains(word))
}
