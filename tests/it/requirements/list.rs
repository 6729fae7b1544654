//! The list of requirements is complete: each number is named in the description of a test.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::repository;

const LAST: u32 = 118;

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// The descriptions of the tests in a source file: their doc comments, as one line each.
fn descriptions(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut words = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(more) = line.strip_prefix("///") {
            words.push(more.trim());
        } else if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            found.push(words.join(" "));
        } else if !line.starts_with("#[") {
            words.clear();
        }
    }
    found
}

/// The numbers after `Requirement` and `Requirements`: `4`, `1, 6`, `34 to 36`, `57 and 58`.
fn numbers(description: &str) -> BTreeSet<u32> {
    let lower = description.to_ascii_lowercase();
    let mut found = BTreeSet::new();
    for after in lower.split("requirement").skip(1) {
        let mut last = None;
        let mut is_range = false;
        for word in after.trim_start_matches('s').split_whitespace() {
            let bare = word.trim_end_matches([',', ':', '.', ';', ')']);
            match (bare, bare.parse::<u32>()) {
                (_, Ok(number)) => {
                    let first = last.filter(|_| is_range).unwrap_or(number);
                    found.extend(first..=number);
                    (last, is_range) = (Some(number), false);
                }
                ("to", _) => is_range = true,
                ("and", _) => {}
                _ => break,
            }
            if word.ends_with([':', '.', ';', ')']) {
                break;
            }
        }
    }
    found
}

#[test]
fn numbers_are_read_as_they_are_written() {
    for (text, expected) in [
        ("Requirement 4: a coding is 1 word", &[4][..]),
        ("Requirements 1, 6: one. Requirement 12: two", &[1, 6, 12]),
        (
            "holds (requirements 34 to 36, 66 and 67) for all",
            &[34, 35, 36, 66, 67],
        ),
        ("a requirement of 7", &[]),
    ] {
        assert_eq!(numbers(text), expected.iter().copied().collect(), "{text}");
    }
}

#[test]
fn every_requirement_has_a_test_that_names_it() {
    let mut sources = Vec::new();
    for folder in ["src", "tests"] {
        files(&repository(folder), &mut sources);
    }
    let named: BTreeSet<u32> = (sources.iter())
        .flat_map(|file| descriptions(&fs::read_to_string(file).unwrap()))
        .flat_map(|description| numbers(&description))
        .collect();
    let missing: Vec<u32> = (1..=LAST)
        .filter(|number| !named.contains(number))
        .collect();
    assert_eq!(missing, [0; 0], "no test names these requirements");
}
