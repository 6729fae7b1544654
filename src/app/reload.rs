//! Reading the configuration again: all or nothing. A bad file is reported and the old configuration stays; requests under
//! way keep the snapshot they began with. What needs a restart is reported by name (`fixed`), and everything else takes
//! effect.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::doors::{Certificates, tls_files};
use super::file_watch::FileWatch;
use super::fixed::{Fixed, places};
use super::token_of;
use crate::admin::ReloadWish;
use crate::clock::SharedClock;
use crate::config::{self, Environment, ListenSettings, SecretSource, Settings, TlsFiles};
use crate::model::ledger::{AuditEntry, AuditKind};
use crate::model::snapshot::{Door, Snapshot};
use crate::net::tls::{DoorSettings, ServerTls, TlsError, door_settings};
use crate::secret::Secret;
use crate::store::ConnectionStore;
use crate::telemetry::audit;
use crate::telemetry::chain::chain;
use crate::telemetry::metrics::Metrics;

/// Who reloads the configuration when its file has changed, or at a signal, for the audit.
pub(super) const WHO: &str = "gateway";

/// What a reload needs, and what it changes.
#[derive(Debug)]
pub(super) struct Reload {
    pub(super) file: PathBuf,
    pub(super) environment: Environment,
    pub(super) fixed: Fixed,
    pub(super) doors: Doors,
    pub(super) certificates: Certificates,
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(super) admin_token: Arc<ArcSwap<Secret>>,
    pub(super) metrics: Metrics,
    pub(super) clock: SharedClock,
    pub(super) store: Arc<dyn ConnectionStore>,
}

/// The doors as they were opened, and the files that their certificates come from now.
#[derive(Clone, Debug)]
pub(super) struct Doors {
    listens: Vec<ListenSettings>,
    connect: Option<TlsFiles>,
    admin: Option<TlsFiles>,
}

impl Doors {
    pub(super) fn of(settings: &Settings) -> Self {
        Self {
            listens: settings.listens.clone(),
            connect: settings.connect.tls.clone(),
            admin: settings.admin.tls.clone(),
        }
    }

    /// What each open door adds to a request from now on: as the new configuration says of its address, or as before.
    fn policies(&self, new: &Settings, before: &[Door]) -> Vec<Door> {
        let places = places(&self.listens, &new.listens).into_iter();
        (places.zip(before))
            .map(|(place, before)| match place {
                Some(place) => new.snapshot.doors[place].clone(),
                None => before.clone(),
            })
            .collect()
    }

    /// The same doors with the certificates' files of a new configuration.
    fn following(&self, new: &Settings) -> Self {
        let mut doors = self.clone();
        let places = places(&self.listens, &new.listens);
        for (listen, place) in doors.listens.iter_mut().zip(places) {
            let tls = place.and_then(|place| new.listens[place].tls.as_ref());
            take_over(&mut listen.tls, tls);
        }
        take_over(&mut doors.connect, new.connect.tls.as_ref());
        take_over(&mut doors.admin, new.admin.tls.as_ref());
        doors
    }

    /// The configuration's file, and those of the certificates.
    pub(super) fn watched(&self, configuration: &Path) -> Vec<PathBuf> {
        let of_doors = self.files().flatten().flat_map(|files| {
            [&files.cert_file, &files.key_file]
                .into_iter()
                .chain(&files.client_ca_file)
                .chain(&files.client_crl_file)
        });
        let configuration = [configuration.to_owned()].into_iter();
        configuration.chain(of_doors.cloned()).collect()
    }

    /// In the order of [`Certificates::all`].
    fn files(&self) -> impl Iterator<Item = &Option<TlsFiles>> {
        let of_callers = self.listens.iter().map(|listen| &listen.tls);
        of_callers.chain([&self.connect, &self.admin])
    }
}

/// A door that was opened without TLS stays so, and one with TLS keeps it, whatever files there are.
fn take_over(files: &mut Option<TlsFiles>, new: Option<&TlsFiles>) {
    if let (Some(files), Some(new)) = (files, new) {
        files.clone_from(new);
    }
}

/// Reads every certificate; puts none into use.
fn prepared<'a>(
    certificates: &'a Certificates,
    doors: &Doors,
) -> Result<Vec<(&'a ServerTls, Arc<DoorSettings>)>, TlsError> {
    (certificates.all().zip(doors.files()))
        .filter_map(|(tls, files)| tls.zip(files.as_ref()))
        .map(|(tls, files)| Ok((tls, door_settings(&tls_files(files))?)))
        .collect()
}

impl Reload {
    /// Carries out wishes, and reads the files again when they have changed, until the process stops.
    pub(super) async fn run(
        mut self,
        mut watch: FileWatch,
        mut wishes: mpsc::Receiver<ReloadWish>,
        stop: CancellationToken,
    ) {
        loop {
            let wish = tokio::select! {
                () = stop.cancelled() => return,
                Some(wish) = wishes.recv() => Some(wish),
                () = watch.changed() => None,
            };
            if wish.is_some() {
                watch.know().await;
            }
            let done = self.once().await;
            self.say(&done);
            watch.follow(self.doors.watched(&self.file));
            if let Ok(restart) = &done {
                let who = wish.as_ref().map_or(WHO, |wish| wish.who);
                self.note(who, restart).await;
            }
            if let Some(wish) = wish {
                // Whoever asked may have gone away.
                let _ = wish.tell.send(done);
            }
        }
    }

    /// The gauge before the line: whoever waits for the line finds the gauge true.
    fn say(&self, done: &Result<Vec<String>, String>) {
        self.metrics.reloaded(done.is_ok(), self.clock.wall());
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
    }

    /// A store that is away stops no reload.
    async fn note(&self, who: &str, restart: &[String]) {
        let entry = AuditEntry {
            at: self.clock.wall(),
            tenant: None,
            who: who.to_owned(),
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
    async fn once(&mut self) -> Result<Vec<String>, String> {
        let (file, environment) = (self.file.clone(), self.environment.clone());
        let read = move || {
            let settings =
                config::load(&file, &environment).map_err(|broken| broken.problems.to_string())?;
            let token = match &settings.admin.token {
                // The next start makes one; until then the old one stays.
                SecretSource::File(path) if !path.exists() => None,
                _ => {
                    let read = token_of(&settings.admin);
                    Some(read.map_err(|error| format!("{}\n", chain(&error)))?)
                }
            };
            Ok((settings, token))
        };
        let read = tokio::task::spawn_blocking(read).await;
        let unread = |_| Err("the configuration could not be read\n".to_owned());
        let (settings, token) = read.unwrap_or_else(unread)?;
        self.take(settings, token)
    }

    /// Everything is prepared before anything is put into use.
    fn take(&mut self, settings: Settings, token: Option<Secret>) -> Result<Vec<String>, String> {
        let restart = self.fixed.changed(&Fixed::of(&settings));
        let following = self.doors.following(&settings);
        let prepared = prepared(&self.certificates, &following)
            .map_err(|error| format!("{}\n", chain(&error)))?;
        for (tls, config) in prepared {
            tls.put(config);
        }
        if let Some(token) = token {
            self.admin_token.store(Arc::new(token));
        }
        let before = self.snapshot.load();
        let doors = self.doors.policies(&settings, &before.doors);
        self.snapshot.store(Arc::new(Snapshot {
            generation: before.generation + 1,
            doors,
            ..settings.snapshot
        }));
        self.doors = following;
        Ok(restart)
    }
}
