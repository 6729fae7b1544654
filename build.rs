//! Names the commit that a release is built of, for `build_info`. `PLEO_GATEWAY_COMMIT` says it where there is no checkout.
//! Other builds have no commit: they need not be made anew with each.
#![expect(
    clippy::disallowed_methods,
    reason = "cargo tells a build script everything by variables"
)]

use std::env;
use std::path::Path;
use std::process::Command;

const COMMIT: &str = "PLEO_GATEWAY_COMMIT";

fn main() {
    println!("cargo::rerun-if-env-changed={COMMIT}");
    let is_release = env::var("PROFILE").as_deref() == Ok("release");
    let is_checkout = Path::new(".git").exists();
    if env::var_os(COMMIT).is_some() || !is_release || !is_checkout {
        return;
    }
    // Every commit and checkout is written there.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    if let Some(commit) = git(&["rev-parse", "HEAD"]) {
        println!("cargo::rustc-env={COMMIT}={commit}");
    }
}

/// What git prints; nothing if it fails, or is not there.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let printed = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !printed.trim().is_empty()).then(|| printed.trim().to_owned())
}
