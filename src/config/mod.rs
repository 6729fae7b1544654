//! Floor 7: TOML and environment to typed values, reporting every problem at once. What the values do is not here.

mod build;
mod check;
mod excerpt;
mod file;
// One key a line, as a table is read.
#[rustfmt::skip]
mod keys;
mod reader;
mod reference;
mod report;
mod schema;
mod secrets;
mod settings;
mod sources;
mod units;

#[cfg(test)]
mod tests;

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use file::Table;
use reader::{Desk, Reader};
use report::{Finding, Findings, Place};
use secrets::Secrets;

pub use reference::reference;
pub use report::{Broken, ExitKind, Problem, ProblemKind, Problems};
pub use schema::schema;
pub use secrets::{SecretFileError, read_secret_file};
pub use settings::{
    Address, AdminSettings, ClientAuth, ConnectSettings, CustomEndpoints, Database, ListenSettings,
    LogFormat, LogSettings, PleoEnvironment, PleoSettings, ProxySettings, RefreshSettings,
    RootsFile, SecretSource, Settings, StoreSettings, TelemetrySettings, TlsFiles, Uncertain,
};
pub use sources::{Environment, locate};
pub use units::duration;

/// Reads the configuration: the file, with what the environment overrides, and the secrets that it names. Every problem
/// is reported, not only the first. Blocks on the disk.
pub fn load(path: &Path, environment: &Environment) -> Result<Settings, Broken> {
    match fs::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => parse(path, &text, environment),
        Ok(Err(error)) => Err(file::refuse(path, &error)),
        Err(error) => {
            let findings = Findings::new(path, "");
            let (kind, remedy) = match error.kind() {
                ErrorKind::PermissionDenied => {
                    (ProblemKind::Permission, "let the gateway's user read it")
                }
                ErrorKind::NotFound => (
                    ProblemKind::Missing,
                    "name the file with -c; config/reference.toml shows every key",
                ),
                ErrorKind::IsADirectory => (ProblemKind::Invalid, "name the file that is in it"),
                _ => (ProblemKind::Invalid, "name a file that can be read"),
            };
            let message = format!("cannot read the configuration: {error}");
            findings.report(&Place::File, "", Finding::new(kind, message, remedy));
            Err(findings.finish())
        }
    }
}

/// Reads a configuration whose text is known; `path` is where it would be. See [`load`].
pub fn parse(path: &Path, text: &str, environment: &Environment) -> Result<Settings, Broken> {
    let findings = Findings::new(path, text);
    let settings = file::parse(text, &findings).and_then(|mut root| {
        sources::override_keys(&mut root, environment, &findings);
        check::table(&root, keys::FILE, (&Place::File, ""), &findings);
        settings(path, &root, environment, &findings)
    });
    let found = findings.finish();
    match settings {
        Some(settings) if found.problems.is_empty() => Ok(Settings {
            warnings: found.warnings,
            ..settings
        }),
        _ => Err(found),
    }
}

fn settings(
    path: &Path,
    root: &Table,
    environment: &Environment,
    findings: &Findings,
) -> Option<Settings> {
    let base = path.parent().unwrap_or(Path::new(""));
    let desk = Desk {
        findings,
        secrets: Secrets { base, environment },
    };
    build::settings(&Reader::new(&desk, keys::FILE, root), path)
}
