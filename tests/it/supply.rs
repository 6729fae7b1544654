//! What is built, and from what: the lock file, unsafe code, keys in the tree; and that the same sources make the same
//! binary. Licences, sources and bans are left to `cargo deny` (`.ci/run`).

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::harness::repository;
use crate::stand::is_long;

/// Every file of the tree; what is built or fetched is none.
fn each_file(folder: &Path, look: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !["target", ".git", "data", "fuzzed"].contains(&name) {
            each_file(&path, look);
        } else if path.is_file() {
            look(&path);
        }
    }
}

/// Requirement 118: what is built is what `Cargo.lock` says, everywhere; and crates come in through `cargo deny` only.
#[test]
fn builds_are_locked() {
    assert!(repository("Cargo.lock").is_file());
    for script in [".ci/run", "tests/run", "tests/fuzz", "tests/reproduce"] {
        let text = fs::read_to_string(repository(script)).unwrap();
        let builds = ["cargo build", "cargo test", "cargo clippy", "cargo run"];
        for line in text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
        {
            let builds = builds.iter().any(|build| line.contains(build));
            assert!(!builds || line.contains("--locked"), "{script}: {line}");
        }
    }
    let ci = fs::read_to_string(repository(".ci/run")).unwrap();
    assert!(ci.contains("cargo-deny"), "{ci}");
}

/// Requirement 118: `unsafe` is forbidden in all that we write, without exception.
#[test]
fn unsafe_code_is_forbidden() {
    let manifest = fs::read_to_string(repository("Cargo.toml")).unwrap();
    assert!(manifest.contains("unsafe_code = \"forbid\""));
    for folder in ["src", "benches", "tests"] {
        each_file(&repository(folder), &mut |path| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let block = ["unsafe", " {"].concat();
            assert!(!text.contains(&block), "{}", path.display());
        });
    }
}

/// Requirement 118: no key is kept with the sources; tests make theirs.
#[test]
fn no_private_key_is_in_the_tree() {
    let key = ["PRIVATE ", "KEY-----"].concat();
    each_file(&repository(""), &mut |path| {
        let bytes = fs::read(path).unwrap_or_default();
        let is_there = bytes.windows(key.len()).any(|part| part == key.as_bytes());
        assert!(!is_there, "{}", path.display());
    });
}

/// Requirement 118: the same sources make the same binary, byte by byte, wherever the build's own folder is.
#[test]
fn long_the_binary_can_be_made_again() {
    if !is_long() {
        return;
    }
    let begun = Instant::now();
    let script = repository("tests/reproduce");
    let output = Command::new(script).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}two builds: {:?}", begun.elapsed());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{error}");
}
