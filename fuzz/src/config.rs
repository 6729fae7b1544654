//! Target: the configuration. Input: the file's text; a line `#$ NAME=value` is a variable. Whatever it says, problems are
//! reported and no secret is; and what loads, loads to the same when its TOML is rewritten.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::LazyLock;

use pleo_gateway::config::{Broken, Environment, Problems, Settings, parse};
use tempfile::TempDir;

/// In the environment and in a file, and told nowhere.
const CANARY: &str = "canary-of-ours";
/// The same where a line of the input writes it after `client_secret =`.
const HIDDEN: &str = "hidden";

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, CANARY).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    folder
});

pub(crate) fn target(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if text.contains(CANARY) || text.contains("/proc") || text.contains("/dev") {
        return;
    }
    let environment = environment(text);
    match read(text, &environment) {
        Ok(settings) => {
            quiet(text, &settings.warnings);
            let told = told(&settings);
            assert!(!told.contains(CANARY));
            let anew: toml::Table = text.parse().unwrap();
            let anew = toml::to_string(&anew).unwrap();
            let again = read(&anew, &environment)
                .unwrap_or_else(|broken| panic!("{anew}\n{}", broken.problems));
            assert_eq!(self::told(&again), told, "{anew}");
        }
        Err(broken) => {
            assert!(!broken.problems.is_empty());
            quiet(text, &broken.problems);
            quiet(text, &broken.warnings);
        }
    }
}

fn read(text: &str, environment: &Environment) -> Result<Settings, Broken> {
    parse(&FOLDER.path().join("gateway.toml"), text, environment)
}

fn environment(text: &str) -> Environment {
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("#$ ")?.split_once('='));
    let given = lines.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let url = format!("postgres://user:{CANARY}@127.0.0.1/db");
    let ours = [("SECRET", CANARY.to_owned()), ("DATABASE_URL", url)];
    given
        .chain(ours.map(|(name, value)| (name.to_owned(), value)))
        .collect()
}

/// However problems are shown, no secret is.
fn quiet(text: &str, problems: &Problems) {
    let json = serde_json::to_string(problems).unwrap();
    let shown = format!(
        "{problems}\n{problems:?}\n{}\n{}\n{json}",
        problems.render(false),
        problems.render(true)
    );
    assert!(!shown.contains(CANARY), "{shown}");
    let is_secret = |line: &&str| {
        line.split_once('=')
            .is_some_and(|(key, _)| key.trim() == "client_secret")
    };
    let written = text
        .lines()
        .filter(is_secret)
        .map(|line| line.matches(HIDDEN).count())
        .sum::<usize>();
    if written == text.matches(HIDDEN).count() {
        assert!(!shown.contains(HIDDEN), "{shown}");
    }
}

/// All that was understood, in one order.
fn told(settings: &Settings) -> String {
    let snapshot = &settings.snapshot;
    let mut tenants: Vec<String> = snapshot
        .tenants
        .values()
        .map(|tenant| format!("{tenant:?}"))
        .collect();
    tenants.sort();
    let routes: Vec<_> = snapshot.routes.iter().collect();
    let callers: Vec<_> = snapshot.callers.iter().collect();
    format!(
        "{:?}",
        (
            (
                &settings.pleo,
                &settings.store,
                &settings.listens,
                &settings.proxy
            ),
            (
                &settings.connect,
                &settings.admin,
                &settings.refresh,
                &settings.log
            ),
            (routes, callers, tenants, &snapshot.limits, &snapshot.doors),
            (
                &snapshot.public_url,
                &snapshot.tenant_host,
                snapshot.access_log
            ),
        )
    )
}
