//! Reading the configuration again: all or nothing. A bad file is reported and the old configuration stays; requests under
//! way keep the snapshot they began with. What needs a restart is said by name.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::file_watch::FileWatch;
use crate::admin::ReloadWish;
use crate::clock::SharedClock;
use crate::config::{
    self, AdminSettings, ConnectSettings, Environment, ListenSettings, LogSettings, PleoSettings,
    ProxySettings, RefreshSettings, Settings, StoreSettings,
};
use crate::model::ledger::{AuditEntry, AuditKind};
use crate::model::limits::Limits;
use crate::model::snapshot::Snapshot;
use crate::net::tls::ServerTls;
use crate::store::ConnectionStore;
use crate::telemetry::audit;
use crate::telemetry::chain::chain;
use crate::telemetry::metrics::Metrics;

/// What a reload needs, and what it changes.
#[derive(Debug)]
pub(super) struct Reload {
    pub(super) file: PathBuf,
    pub(super) environment: Environment,
    pub(super) fixed: Fixed,
    pub(super) certificates: Vec<Arc<ServerTls>>,
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(super) metrics: Metrics,
    pub(super) clock: SharedClock,
    pub(super) store: Arc<dyn ConnectionStore>,
}

/// What was built once and stays as it is until the next start.
#[derive(Debug, PartialEq)]
pub(super) struct Fixed {
    listens: Vec<ListenSettings>,
    pleo: PleoSettings,
    store: StoreSettings,
    proxy: ProxySettings,
    connect: ConnectSettings,
    admin: AdminSettings,
    refresh: RefreshSettings,
    log: LogSettings,
    limits: Limits,
}

impl Fixed {
    pub(super) fn of(settings: &Settings) -> Self {
        Self {
            listens: settings.listens.clone(),
            pleo: settings.pleo.clone(),
            store: settings.store.clone(),
            proxy: settings.proxy.clone(),
            connect: settings.connect.clone(),
            admin: settings.admin.clone(),
            refresh: settings.refresh.clone(),
            log: settings.log.clone(),
            limits: of_links(&settings.snapshot.limits),
        }
    }

    /// The sections that differ, by name. Doors are told apart: a snapshot of other doors must not be published.
    fn changed(&self, new: &Self) -> Vec<&'static str> {
        let sections = [
            ("[pleo]", self.pleo != new.pleo),
            ("[store]", self.store != new.store),
            ("[proxy]", self.proxy != new.proxy),
            ("[connect]", self.connect != new.connect),
            ("[admin]", self.admin != new.admin),
            ("[refresh]", self.refresh != new.refresh),
            ("[log]", self.log != new.log),
            ("[limits] of links", self.limits != new.limits),
        ];
        sections
            .into_iter()
            .filter(|(_, differs)| *differs)
            .map(|(name, _)| name)
            .collect()
    }
}

/// The limits that links are made with; those that requests read anew are left out.
fn of_links(limits: &Limits) -> Limits {
    let Limits {
        max_uri_bytes,
        request_timeout,
        max_request_body,
        replay_buffer,
        max_in_flight,
        ..
    } = Limits::default();
    Limits {
        max_uri_bytes,
        request_timeout,
        max_request_body,
        replay_buffer,
        max_in_flight,
        ..limits.clone()
    }
}

impl Reload {
    /// Carries out wishes, and reads the file again when it has changed, until the process stops.
    pub(super) async fn run(self, mut wishes: mpsc::Receiver<ReloadWish>, stop: CancellationToken) {
        let mut file = FileWatch::begin(self.file.clone());
        loop {
            let wish = tokio::select! {
                () = stop.cancelled() => return,
                Some(wish) = wishes.recv() => Some(wish),
                () = file.changed() => None,
            };
            let done = self.once().await;
            self.say(&done);
            if let Ok(restart) = &done {
                self.note(restart).await;
            }
            if let Some(wish) = wish {
                // Whoever asked may have gone away.
                let _ = wish.send(done);
            }
        }
    }

    fn say(&self, done: &Result<Vec<&'static str>, String>) {
        match done {
            Err(problems) => {
                tracing::error!(%problems, "the configuration was not read again: the old one stays");
            }
            Ok(restart) if restart.is_empty() => {
                tracing::info!("the configuration was read again");
            }
            Ok(restart) => tracing::warn!(
                needs_a_restart = restart.join(", "),
                "the configuration was read again"
            ),
        }
        self.metrics.reloaded(done.is_ok(), self.clock.wall());
    }

    /// A store that is away stops no reload.
    async fn note(&self, restart: &[&'static str]) {
        let entry = AuditEntry {
            at: self.clock.wall(),
            tenant: None,
            who: "gateway".to_owned(),
            what: AuditKind::ConfigurationReloaded,
            detail: match restart {
                [] => String::new(),
                names => format!("needs a restart: {}", names.join(", ")),
            },
        };
        match self.store.note(entry.clone()).await {
            Ok(()) => audit::say(&entry),
            Err(error) => tracing::warn!(
                error = chain(&error),
                "the reload could not be written to the audit"
            ),
        }
    }

    /// The names of what needs a restart, or every problem.
    async fn once(&self) -> Result<Vec<&'static str>, String> {
        let (file, environment) = (self.file.clone(), self.environment.clone());
        let read = tokio::task::spawn_blocking(move || config::load(&file, &environment)).await;
        let settings = match read {
            Ok(Ok(settings)) => settings,
            Ok(Err(problems)) => return Err(problems.to_string()),
            Err(_) => return Err("the configuration could not be read\n".to_owned()),
        };
        let new = Fixed::of(&settings);
        if self.fixed.listens != new.listens {
            return Err("[[listen]] needs a restart: its addresses, their order and their files are those of the start\n".to_owned());
        }
        self.reload_certificates()?;
        let generation = self.snapshot.load().generation + 1;
        self.snapshot.store(Arc::new(Snapshot {
            generation,
            ..settings.snapshot
        }));
        Ok(self.fixed.changed(&new))
    }

    fn reload_certificates(&self) -> Result<(), String> {
        self.certificates
            .iter()
            .try_for_each(|tls| tls.reload())
            .map_err(|error| format!("{}\n", chain(&error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_requests_read_anew_need_no_restart() {
        let mut limits = Limits {
            max_request_body: 1,
            max_in_flight: 1,
            ..Limits::default()
        };
        assert_eq!(of_links(&limits), of_links(&Limits::default()));
        limits.upstream_links = 1;
        assert_ne!(of_links(&limits), of_links(&Limits::default()));
    }
}
