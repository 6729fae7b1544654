//! The shipped files load. That the reference is made from the table of keys is tested in `reference`.

use std::path::{Path, PathBuf};

use super::super::{Environment, load, parse};

pub(super) fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("config")
        .join(name)
}

#[test]
fn every_shipped_file_loads_without_a_warning() {
    for name in ["gateway.toml", "reference.toml", "sidecar.toml"] {
        let settings = load(&shipped(name), &Environment::default());
        let settings =
            settings.unwrap_or_else(|broken| panic!("{}", broken.problems.render(false)));
        assert!(
            settings.warnings.is_empty(),
            "{name}:\n{}",
            settings.warnings.render(false)
        );
        assert!(settings.snapshot.routes.iter().count() > 0, "{name}");
    }
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
    assert!(settings.is_ok(), "{}", settings.unwrap_err().problems);
}
