//! Checks the tree against the table of keys: unknown keys, missing keys, wrong types. What values mean is not here
//! (`build`).

use super::file::{Node, Table, Value};
use super::keys::{FILE, Key, Shape};
use super::report::{Finding, Findings, Place, ProblemKind};

/// How a secret is written.
pub(super) const SECRET: &str = "write { file = \"…\" }, { env = \"VARIABLE\" } or { credential = \"…\" }, never the secret itself";

/// Checks a table against its keys. `at` is where what is missing should have been.
pub(super) fn table(table: &Table, keys: &[Key], at: (&Place, &str), findings: &Findings) {
    for (name, (place, node)) in &table.0 {
        match keys.iter().find(|key| key.name == name) {
            Some(key) => value(node, key.shape, findings),
            None => unknown(name, (place, node), keys, findings),
        }
    }
    for key in keys {
        if key.required && !table.0.contains_key(key.name) {
            let (place, path) = at;
            let remedy = format!("write `{} = …`: {}", key.name, key.about);
            let message = format!("`{}` is missing", key.name);
            let finding = Finding::new(ProblemKind::Missing, message, remedy);
            findings.report(place, path, finding);
        }
    }
}

fn unknown(name: &str, (place, node): (&Place, &Node), keys: &[Key], findings: &Findings) {
    mask(node, findings);
    let known = keys.iter().map(|key| key.name);
    let of_file = FILE.iter().find(|key| key.name == name);
    let remedy = match (of_file.map(|key| key.shape), nearest(name, known.clone())) {
        (Some(Shape::Table(_)), _) => format!("write it under [{name}], a section of its own"),
        (Some(Shape::Tables(_)), _) => format!("write it under [[{name}]], a section of its own"),
        (Some(_), _) => "write it at the top of the file, before the first [section]".to_owned(),
        (None, Some(near)) => format!("did you mean `{near}`?"),
        (None, None) => format!("known here: {}", known.collect::<Vec<_>>().join(", ")),
    };
    let finding = Finding::new(ProblemKind::Unknown, "unknown key", remedy);
    findings.report(place, &node.key, finding);
}

/// What nobody knows may hold a secret. The names in it, and a section's heading, are shown.
fn mask(node: &Node, findings: &Findings) {
    match &node.value {
        Value::Table(Table(entries)) => {
            for (_, node) in entries.values() {
                mask(node, findings);
            }
        }
        Value::List(nodes) => {
            for node in nodes {
                mask(node, findings);
            }
        }
        _ => findings.mask(&node.place),
    }
}

/// Checks one value's type and bounds.
pub(super) fn value(node: &Node, shape: Shape, findings: &Findings) {
    match (shape, &node.value) {
        (Shape::Word(words), Value::Text(text)) => choice(node, text, words, findings),
        (Shape::Integer { min, max }, Value::Integer(number)) => {
            if !(min..=max).contains(number) {
                let remedy = format!("write a number from {min} to {max}");
                let finding = Finding::invalid(format!("{number} is out of bounds"), remedy);
                findings.report(&node.place, &node.key, finding);
            }
        }
        (Shape::List(shape), Value::List(nodes)) => {
            for node in nodes {
                value(node, *shape, findings);
            }
        }
        (Shape::Table(keys), Value::Table(entries)) => {
            table(entries, keys, (&node.place, &node.key), findings);
        }
        (Shape::Tables(keys), Value::List(nodes)) => {
            for node in nodes {
                value(node, Shape::Table(keys), findings);
            }
        }
        (Shape::Secret, _) => secret(node, findings),
        (
            Shape::Text | Shape::Duration { .. } | Shape::Size { .. } | Shape::Rate,
            Value::Text(_),
        )
        | (Shape::Size { .. }, Value::Integer(_))
        | (Shape::Boolean, Value::Boolean(_)) => {}
        (shape, found) => {
            let message = format!("expected {}, found {}", noun(shape), found.noun());
            let finding = Finding::invalid(message, format!("write {}", example(shape)));
            findings.report(&node.place, &node.key, finding);
        }
    }
}

fn choice(node: &Node, text: &str, words: &[&'static str], findings: &Findings) {
    if words.contains(&text) {
        return;
    }
    let listed = format!("write one of {}", quoted(words));
    let remedy = match nearest(text, words.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"? {listed}"),
        None => listed,
    };
    let finding = Finding::invalid(format!("{text:?} is not known"), remedy);
    findings.report(&node.place, &node.key, finding);
}

/// A secret is a table with one of three keys. Anything else may be the secret itself, and is not shown.
fn secret(node: &Node, findings: &Findings) {
    let wrong = |message: &str| {
        findings.mask(&node.place);
        findings.report(&node.place, &node.key, Finding::invalid(message, SECRET));
    };
    let Value::Table(Table(entries)) = &node.value else {
        return wrong("a secret is never written in the configuration");
    };
    let mut places = entries.keys().map(String::as_str);
    match (places.next(), places.next()) {
        (Some("file" | "env" | "credential"), None) => {
            let named = entries.values().next().map(|(_, node)| &node.value);
            if !matches!(named, Some(Value::Text(text)) if !text.is_empty()) {
                wrong("a secret's place is a text, and not empty");
            }
        }
        _ => wrong("a secret has exactly one place: file, env or credential"),
    }
}

fn noun(shape: Shape) -> &'static str {
    match shape {
        Shape::Text | Shape::Word(_) => "a text",
        Shape::Duration { .. } => "a duration",
        Shape::Size { .. } => "a size",
        Shape::Rate => "a rate",
        Shape::Integer { .. } => "a whole number",
        Shape::Boolean => "true or false",
        Shape::Secret => "a secret's place",
        Shape::List(_) => "a list",
        Shape::Table(_) => "a table",
        Shape::Tables(_) => "a list of tables",
    }
}

fn example(shape: Shape) -> String {
    match shape {
        Shape::Text => "a text in double quotes".to_owned(),
        Shape::Word(words) => format!("one of {}", quoted(words)),
        Shape::Duration { .. } => "a text such as \"90s\" or \"3m\"".to_owned(),
        Shape::Size { .. } => "a size such as \"64KiB\"".to_owned(),
        Shape::Rate => "a text such as \"300/min\"".to_owned(),
        Shape::Integer { min, max } => format!("a number from {min} to {max}"),
        Shape::Boolean => "true or false, without quotes".to_owned(),
        Shape::Secret => SECRET.to_owned(),
        Shape::List(shape) => format!("a list in brackets, each {}", noun(*shape)),
        Shape::Table(_) => "a table: [section] or { key = … }".to_owned(),
        Shape::Tables(_) => "a table with two brackets: [[section]]".to_owned(),
    }
}

fn quoted(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    quoted.join(", ")
}

/// The known name that `name` most likely meant, in whatever case: the only one that begins so, or one that is near enough.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let known: Vec<&str> = known.collect();
    let name = name.to_lowercase();
    let mut begun = (known.iter()).filter(|word| name.len() >= 3 && word.starts_with(&name));
    if let (Some(only), None) = (begun.next(), begun.next()) {
        return Some(only);
    }
    let allowed = (name.chars().count() / 3).clamp(1, 3);
    (known.into_iter())
        .map(|word| (distance(&name, &word.to_lowercase()), word))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Letters to insert, delete, replace, or swap with their neighbour (optimal string alignment).
fn distance(one: &str, other: &str) -> usize {
    let one: Vec<char> = one.chars().collect();
    let other: Vec<char> = other.chars().collect();
    let mut rows = vec![(0..=other.len()).collect::<Vec<usize>>()];
    for i in 1..=one.len() {
        let mut row = vec![i];
        for j in 1..=other.len() {
            let same = one[i - 1] == other[j - 1];
            let replaced = rows[i - 1][j - 1] + usize::from(!same);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_near() {
        let known = || ["client_id", "client_secret", "client_auth"].into_iter();
        assert_eq!(nearest("client_secert", known()), Some("client_secret"));
        assert_eq!(nearest("clientid", known()), Some("client_id"));
        assert_eq!(nearest("client_sec", known()), Some("client_secret"));
        assert_eq!(nearest("clientAuth", known()), Some("client_auth"));
        assert_eq!(nearest("CLIENT_ID", known()), Some("client_id"));
        assert_eq!(nearest("client", known()), None);
        assert_eq!(nearest("password", known()), None);
        assert_eq!(nearest("", known()), None);
    }

    #[test]
    fn the_distance_counts_edits() {
        for (one, other, edits) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "acb", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(one, other), edits, "{one} {other}");
        }
    }
}
