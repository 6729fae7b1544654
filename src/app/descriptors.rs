//! How many files the process may have open, and who gets them. Callers get what the others leave, so that operators,
//! browsers, the store and the links to Pleo never run out. Not here: how accepting behaves when there are none.

use rustix::process::{Resource, getrlimit, setrlimit};

use super::desk;
use super::rooms::StartError;
use crate::config::Settings;

/// The store, its salvage, logs, signals, and files that are read now and then.
const HOUSE: usize = 64;
/// A thread's runtime.
const THREAD: usize = 4;
/// With less there is no point in serving.
const LEAST_FOR_CALLERS: usize = 16;

/// How many links callers may have at once: `max_connections`, or as many as there are descriptors for. Raises this
/// process's soft limit as far as allowed.
pub(super) fn links_of_callers(settings: &Settings, threads: usize) -> Result<usize, StartError> {
    let wanted = settings.snapshot.limits.max_connections;
    let others = others(settings, threads);
    let allowed = raised();
    let left = allowed.saturating_sub(others);
    if left < LEAST_FOR_CALLERS {
        let needed = others + LEAST_FOR_CALLERS;
        return Err(StartError::Descriptors { allowed, needed });
    }
    if left < wanted {
        tracing::warn!(
            allowed,
            links = left,
            "this process may not open as many files as [limits] max_connections needs; raise its limit (LimitNOFILE, ulimit -n)"
        );
    }
    Ok(left.min(wanted))
}

/// What is kept for everybody but callers.
fn others(settings: &Settings, threads: usize) -> usize {
    // Listening, and a link that was accepted and waits for its turn.
    let doors = 2 * settings.listens.len() * threads;
    let refreshes = 2 * settings.refresh.concurrency.get();
    let upstream = settings.snapshot.limits.upstream_links;
    HOUSE + THREAD * threads + doors + refreshes + upstream + 2 * desk::LINKS
}

/// The most files that this process may have open.
fn raised() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // What may not be raised stays as it is.
    let _ = setrlimit(Resource::Nofile, limit);
    let current = getrlimit(Resource::Nofile).current;
    current.map_or(usize::MAX, |most| {
        usize::try_from(most).unwrap_or(usize::MAX)
    })
}
