//! Tasks that shutdown waits for, and the way they are told to stop. The only place that spawns.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A group of supervised tasks on one runtime. Clones are the same group.
#[derive(Clone, Debug)]
pub struct Tasks {
    runtime: Handle,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// A group whose tasks run on `runtime`, wherever they are spawned from.
    pub fn on(runtime: Handle) -> Self {
        Self {
            runtime,
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Runs `work` to its end, whatever becomes of whoever asked for it. A panic ends that task alone.
    pub fn spawn<F>(&self, work: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tracker.spawn_on(work, &self.runtime)
    }

    /// Resolves once [`Tasks::stop`] was called.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// True once [`Tasks::stop`] was called: start nothing new.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// The call to stop as a token, for loops that select on it.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Tells every task to stop starting new work.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until all tasks have ended, at most `limit`. False if some were still running.
    pub async fn finished(&self, limit: Duration) -> bool {
        self.tracker.close();
        tokio::time::timeout(limit, self.tracker.wait())
            .await
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stopping_waits_for_tasks_in_the_air() {
        let tasks = Tasks::on(Handle::current());
        let (done, end) = tokio::sync::oneshot::channel::<()>();
        let task = tasks.spawn(async move { end.await.is_ok() });
        tasks.stop();
        assert!(
            !tasks.finished(Duration::from_millis(5)).await,
            "one is still in the air"
        );
        done.send(()).unwrap();
        assert!(tasks.finished(Duration::from_secs(5)).await);
        assert!(task.await.unwrap());
    }
}
