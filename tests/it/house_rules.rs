//! The rules of the house (docs/architecture.md), enforced by a test: floors, sizes, and how a file opens.

use std::fs;
use std::path::{Path, PathBuf};

/// The floors, from the ground. A file imports only from lower floors; rooms on one floor are strangers.
const FLOORS: [&[&str]; 10] = [
    &["secret", "clock", "drain"],
    &["model"],
    &["telemetry"],
    &["net"],
    &["access", "store", "pleo", "refresh"],
    &["tokens"],
    &["proxy", "connect"],
    &["edge", "admin", "config", "sandbox"],
    &["app"],
    &["cli"],
];
const LONGEST_FILE: usize = 400;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn floor_of(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// The room a source file belongs to; `None` for `main.rs` and `lib.rs`, which may see everything.
fn room_of(file: &Path) -> Option<String> {
    let inside = file.strip_prefix(root().join("src")).unwrap();
    let first = inside
        .components()
        .next()
        .unwrap()
        .as_os_str()
        .to_str()
        .unwrap();
    let room = first.strip_suffix(".rs").unwrap_or(first);
    (room != "main" && room != "lib").then(|| room.to_owned())
}

/// The rooms that a text names as `crate::room`.
fn rooms_named(text: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for line in text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
    {
        for after in line.split("crate::").skip(1) {
            let name: String = after
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if !name.is_empty() {
                rooms.push(name);
            }
            if let Some(list) = after.strip_prefix('{') {
                rooms.extend(list.split(['}', ',']).map(|word| {
                    word.trim()
                        .chars()
                        .take_while(|c| c.is_alphanumeric() || *c == '_')
                        .collect()
                }));
            }
        }
    }
    rooms.retain(|room: &String| !room.is_empty());
    rooms
}

#[test]
fn a_file_imports_only_from_lower_floors() {
    let mut broken = Vec::new();
    for file in sources(&root().join("src")) {
        let Some(room) = room_of(&file) else { continue };
        let floor =
            floor_of(&room).unwrap_or_else(|| panic!("{room} is on no floor: add it to FLOORS"));
        let text = fs::read_to_string(&file).unwrap();
        for named in rooms_named(&text) {
            let lower = floor_of(&named).is_some_and(|other| other < floor);
            if named != room && !lower {
                broken.push(format!("{} names crate::{named}", file.display()));
            }
        }
    }
    assert!(
        broken.is_empty(),
        "imports from the same or a higher floor:\n{}",
        broken.join("\n")
    );
}

#[test]
fn every_file_says_what_lives_in_it_and_is_short() {
    let mut broken = Vec::new();
    let files = ["src", "tests", "benches", "fuzz"].map(|folder| root().join(folder));
    for file in files
        .iter()
        .filter(|folder| folder.exists())
        .flat_map(|folder| sources(folder))
    {
        let text = fs::read_to_string(&file).unwrap();
        if !text.starts_with("//!") {
            broken.push(format!("{} does not open with //!", file.display()));
        }
        let lines = text.lines().count();
        if lines > LONGEST_FILE {
            broken.push(format!("{} has {lines} lines", file.display()));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn no_test_is_ignored_and_nothing_is_left_to_do() {
    let words = [
        concat!("#[ig", "nore"),
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
    ];
    let mut broken = Vec::new();
    for file in ["src", "tests"]
        .iter()
        .flat_map(|folder| sources(&root().join(folder)))
    {
        let text = fs::read_to_string(&file).unwrap();
        for word in words.iter().filter(|word| text.contains(**word)) {
            broken.push(format!("{} says {word}", file.display()));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Whatever a test does, it does where secrets are looked for (`canary`), and its secrets are such as are found.
#[test]
fn every_test_works_where_secrets_are_looked_for() {
    let tests = root().join("tests/it");
    let rooms = ["canary", "harness", "stand", "house_rules.rs"].map(|room| tests.join(room));
    let mut files = sources(&tests);
    files.retain(|file| !rooms.iter().any(|room| file.starts_with(room)));
    let mut broken = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let found = passed_by(&text).into_iter().chain(unknown_secrets(&text));
        broken.extend(found.map(|found| format!("{}: {found}", file.display())));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert_eq!(
        unknown_secrets("pleo-gateway-key: x\", \"Bearer a-canary\"").len(),
        1
    );
}

/// What would not be searched.
fn passed_by(text: &str) -> Vec<String> {
    let folder = "a folder of a test is a canary::Home";
    let said = "what is said goes to a file of a Home, or through harness::program";
    let words = [
        ("tempfile", folder),
        ("tempdir", folder),
        ("temp_dir", folder),
        ("CARGO_BIN_EXE", said),
        ("stdout(Stdio::null", said),
        ("stderr(Stdio::null", said),
    ];
    let words = words.iter().filter(|(word, _)| text.contains(word));
    let mut found: Vec<_> = words.map(|(word, why)| format!("{word}: {why}")).collect();
    for started in [".spawn()", ".output()"] {
        for (place, _) in text.match_indices(started) {
            let command = text[..place].rsplit("Command::new(").next().unwrap();
            if command.starts_with("BINARY") || command.starts_with("crate::harness::BINARY") {
                found.push(format!("BINARY{started}: {said}"));
            }
        }
    }
    found
}

/// Keys and tokens, written as they are sent or imported, of which the search would not know.
fn unknown_secrets(text: &str) -> Vec<String> {
    let plain = text.replace("\\r\\n", " ").replace('\\', "");
    let plain = plain.replace(": ", ":");
    let mut found = Vec::new();
    let marks = [
        "_token\":\"",
        "gateway-key:",
        "api-key:",
        "ization:Bearer ",
        "\"Bearer ",
    ];
    for mark in marks {
        for rest in plain.split(mark).skip(1) {
            let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            let word = &rest[..rest.find(|c| !is_letter(c)).unwrap_or(rest.len())];
            let is_known = word.contains("-canary") || word.starts_with("sandbox_");
            if !word.is_empty() && !is_known {
                found.push(format!(
                    "{mark}{word} has no stem that is looked for, such as -canary"
                ));
            }
        }
    }
    found
}
