//! The whole reading, from text to settings or problems.

mod broken;
mod hidden;
mod reference;
mod rendered;
mod renewal;
mod schemas;
mod shipped;
mod values;

use std::path::Path;

use super::{Environment, Problems, Settings, parse};

/// The environment with these variables.
fn environment(vars: &[(&str, &str)]) -> Environment {
    vars.iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn read(text: &str) -> Result<Settings, Problems> {
    read_with(text, &[])
}

fn read_with(text: &str, vars: &[(&str, &str)]) -> Result<Settings, Problems> {
    parse(
        Path::new("/etc/gateway/gateway.toml"),
        text,
        &environment(vars),
    )
    .map_err(|broken| broken.problems)
}

/// A door and a caller, so that only what a test adds can be wrong.
const SOUND: &str = r#"version = 1
[[listen]]
address = "127.0.0.1:8080"
[[callers]]
name = "local"
anonymous = true
tenants = ["demo"]
"#;
