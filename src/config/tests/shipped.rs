//! The shipped files load, and the reference shows every key.

use std::path::{Path, PathBuf};

use super::super::keys::{FILE, Key, Shape};
use super::super::{Environment, load, parse};

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("config")
        .join(name)
}

#[test]
fn every_shipped_file_loads_without_a_warning() {
    for name in ["gateway.toml", "reference.toml", "sidecar.toml"] {
        let settings = load(&shipped(name), &Environment::default());
        let settings = settings.unwrap_or_else(|problems| panic!("{}", problems.render(false)));
        assert!(
            settings.warnings.is_empty(),
            "{name}:\n{}",
            settings.warnings.render(false)
        );
        assert!(settings.snapshot.routes.iter().count() > 0, "{name}");
    }
}

#[test]
fn the_reference_shows_every_key_with_its_default() {
    let text = std::fs::read_to_string(shipped("reference.toml")).unwrap();
    let mut section = String::new();
    let mut lines: Vec<(String, &str)> = Vec::new();
    for line in text.lines() {
        if line.starts_with('[') {
            let end = line.find(']').unwrap();
            section = line[..end].trim_start_matches('[').to_owned();
        }
        lines.push((section.clone(), line.trim_start_matches("# ")));
    }
    for part in FILE {
        match part.shape {
            Shape::Table(keys) | Shape::Tables(keys) => {
                for key in keys {
                    assert_shown(&lines, part.name, key);
                }
            }
            _ => assert_shown(&lines, "", part),
        }
    }
}

fn assert_shown(lines: &[(String, &str)], section: &str, key: &Key) {
    let start = match (key.default, key.shape) {
        (Some(default), Shape::Integer { .. } | Shape::Boolean) => {
            format!("{} = {default}", key.name)
        }
        (Some(default), _) => format!("{} = {default:?}", key.name),
        (None, _) => format!("{} = ", key.name),
    };
    let shown = lines
        .iter()
        .any(|(at, line)| at == section && line.starts_with(&start));
    assert!(shown, "[{section}] {start}");
}

/// Comments must not rot: what is commented out in the reference is read too, less what needs files or excludes others.
#[test]
fn what_is_commented_out_in_the_reference_is_sound() {
    let text = std::fs::read_to_string(shipped("reference.toml")).unwrap();
    let left_out = [
        "tls = ",
        "ca_file",
        "postgres",
        "client_secret",
        "authorize_url",
        "token_url",
        "introspect_url",
        "api_url",
        "mode = ",
    ];
    let live: Vec<String> = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(key)
                if key.contains(" = ") && key.starts_with(|c: char| c.is_ascii_lowercase()) =>
            {
                if left_out.iter().any(|start| key.starts_with(start)) {
                    line.to_owned()
                } else {
                    key.to_owned()
                }
            }
            _ => line.to_owned(),
        })
        .collect();
    let settings = parse(
        &shipped("reference.toml"),
        &live.join("\n"),
        &Environment::default(),
    );
    assert!(settings.is_ok(), "{}", settings.unwrap_err().render(false));
}
