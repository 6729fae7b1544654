//! What is in memory stays there: no core dump, and no access by other processes of the same user.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// For as long as the process lives. A kernel that refuses leaves us no worse off than we were.
pub(super) fn keep_to_ourselves() {
    let nothing = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _ = setrlimit(Resource::Core, nothing);
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}
