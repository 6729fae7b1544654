//! Files that are made from the code and kept beside it, for people to read: `PLEO_RENEW=1 cargo test --lib config::`
//! rewrites them, and the difference shows what changed.

use std::fs;
use std::path::Path;

use super::super::Environment;

/// Fails if the file is not what the code makes of it now.
#[track_caller]
pub(super) fn assert_current(path: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if Environment::of_process().var("PLEO_RENEW").is_some() {
        return fs::write(&path, made).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let (path, differs) = (
        path.display(),
        kept.lines()
            .zip(made.lines())
            .find(|(kept, made)| kept != made),
    );
    assert!(
        kept == made,
        "{path} is not current: PLEO_RENEW=1 cargo test --lib config::\nfirst difference: {differs:#?}"
    );
}
