//! hyper's executor on a thread's own `LocalSet`: what a link spawns stays on its thread.

use std::future::Future;

use hyper::rt::Executor;

/// Spawns on the current `LocalSet`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Local;

impl<F: Future<Output = ()> + 'static> Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
