//! Reading the configuration again: all or nothing. A bad file is reported and the old configuration stays; requests under
//! way keep the snapshot they began with.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::admin::ReloadWish;
use crate::clock::SharedClock;
use crate::config::{self, Environment};
use crate::model::snapshot::Snapshot;
use crate::telemetry::metrics::Metrics;

/// What a reload needs, and what it changes.
#[derive(Debug)]
pub(super) struct Reload {
    pub(super) file: PathBuf,
    pub(super) environment: Environment,
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(super) metrics: Metrics,
    pub(super) clock: SharedClock,
}

impl Reload {
    /// Carries out wishes until the process stops.
    pub(super) async fn run(self, mut wishes: mpsc::Receiver<ReloadWish>, stop: CancellationToken) {
        loop {
            let wish = tokio::select! {
                () = stop.cancelled() => return,
                wish = wishes.recv() => wish,
            };
            let Some(wish) = wish else { return };
            let done = self.once().await;
            // Whoever asked may have gone away.
            let _ = wish.send(done);
        }
    }

    async fn once(&self) -> Result<(), String> {
        let (file, environment) = (self.file.clone(), self.environment.clone());
        let read = tokio::task::spawn_blocking(move || config::load(&file, &environment)).await;
        let done = match read {
            Ok(Ok(settings)) => {
                let mut snapshot = settings.snapshot;
                snapshot.generation = self.snapshot.load().generation + 1;
                tracing::info!(
                    generation = snapshot.generation,
                    "the configuration was read again"
                );
                self.snapshot.store(Arc::new(snapshot));
                Ok(())
            }
            Ok(Err(problems)) => Err(problems.to_string()),
            Err(_) => Err("the configuration could not be read\n".to_owned()),
        };
        if let Err(problems) = &done {
            tracing::error!(%problems, "the configuration was not read again: the old one stays");
        }
        self.metrics.reloaded(done.is_ok(), self.clock.wall());
        done
    }
}
