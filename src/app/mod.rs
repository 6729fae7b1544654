//! Floor 8: builds every room once, in floor order, and takes them down again.

mod callers;
pub mod collector;
mod descriptors;
mod desk;
mod doors;
mod file_watch;
mod fixed;
pub mod plan;
mod reload;
pub mod rooms;
pub mod signals;
pub mod suggest;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use self::callers::Callers;
use self::desk::Desk;
use self::file_watch::FileWatch;
use self::fixed::Fixed;
use self::reload::{Doors, Reload};
use self::rooms::{Rooms, StartError};
use crate::admin::token::{self, TokenError};
use crate::admin::{Admin, ReloadWish, Stage};
use crate::config::{AdminSettings, Environment, LogFormat, SecretSource, Settings};
use crate::connect::{self, Connect};
use crate::drain::Tasks;
use crate::model::snapshot::Snapshot;
use crate::net::links::Links;
use crate::net::listener::DoorAddress;
use crate::net::threads::Cores;
use crate::secret::Secret;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Exporter;
use crate::telemetry::{access_log, logs};
use crate::tokens::Tokens;

/// What the access log still has to write when the process ends.
const LAST_LINES_WITHIN: Duration = Duration::from_secs(2);
/// What the collector of traces is still sent then.
const LAST_SPANS_WITHIN: Duration = Duration::from_secs(3);
/// Between a keeper that panicked and the next.
const KEEPER_RESTS: Duration = Duration::from_secs(1);
const LINKS_SHOWN_EVERY: Duration = Duration::from_secs(5);
/// Wishes for a reload that may wait.
const RELOADS_WAITING: usize = 4;

/// A gateway that runs.
#[derive(Debug)]
pub struct Running {
    /// Where callers arrive, in the order of the configuration; with the ports that were found.
    pub callers: Vec<DoorAddress>,
    /// Where browsers arrive.
    pub connect: DoorAddress,
    /// Where operators arrive.
    pub admin: DoorAddress,
    rooms: Rooms,
    stage: Arc<Stage>,
    reload: mpsc::Sender<ReloadWish>,
    stop_callers: CancellationToken,
    stop_desk: CancellationToken,
    cores: Cores,
    desk: Cores,
    lines: access_log::Writer,
    spans: Option<Exporter>,
    drain_delay: Duration,
}

/// Starts everything that the settings describe. Returns once every door is open.
pub async fn start(
    settings: Settings,
    environment: Environment,
    tasks: Tasks,
) -> Result<Running, StartError> {
    let (fixed, doors) = (Fixed::of(&settings), Doors::of(&settings));
    // Whatever changes from here on is noticed, however long the rooms take to open.
    let watch = FileWatch::begin(doors.watched(&settings.file));
    let threads = doors::threads(&settings);
    let most = descriptors::links_of_callers(&settings, threads)?;
    let opened = doors::open(&settings, &environment, threads).await?;
    let certificates = opened.certificates();
    let (callers, connect, admin) = opened.addresses();

    let rooms = Rooms::open(&settings, "gateway", tasks.clone()).await?;
    rooms.tokens.recover().await;
    let stage = Arc::new(Stage::default());
    let (reload, wishes) = mpsc::channel(RELOADS_WAITING);
    let (stop_callers, stop_desk) = (CancellationToken::new(), CancellationToken::new());
    let drain_delay = settings.snapshot.limits.drain_delay;
    let public_url = settings.connect.public_url;
    let snapshot = Arc::new(ArcSwap::from_pointee(Snapshot {
        generation: 1,
        ..settings.snapshot
    }));
    let shared = (snapshot.clone(), public_url.clone());
    let admin_room = Arc::new(operators(
        &settings.admin,
        &rooms,
        stage.clone(),
        shared,
        reload.clone(),
    )?);
    let desk = Desk {
        admin: admin_room.clone(),
        connect: browsers(public_url, &rooms, snapshot.clone())?,
        limits: snapshot.load().limits.clone(),
    };

    let (log, lines) = access_log::start(io::stdout()).map_err(StartError::Thread)?;
    let limits = doors::server_limits(&snapshot.load().limits, most);
    let served = Callers::new(snapshot.clone(), &rooms, log, limits, stop_callers.clone())?;
    let (served, spans) = served.traced(&settings.telemetry)?;
    let upstream = served.links();
    let cores = served
        .open(opened.callers, threads)
        .map_err(StartError::Thread)?;
    let desk = desk
        .open(opened.connect, opened.admin, stop_desk.clone())
        .map_err(StartError::Thread)?;
    tasks.spawn(keep(rooms.tokens.clone(), tasks.clone()));
    tasks.spawn(watch_links(
        upstream,
        rooms.metrics.clone(),
        tasks.stop_token(),
    ));
    let reloads = Reload {
        file: settings.file,
        environment,
        fixed,
        doors,
        certificates,
        snapshot,
        admin_token: admin_room.token.clone(),
        metrics: rooms.metrics.clone(),
        clock: rooms.clock.clone(),
        store: rooms.store.clone(),
    };
    tasks.spawn(reloads.run(watch, wishes, tasks.stop_token()));
    rooms.metrics.reloaded(true, rooms.clock.wall());
    stage.start();
    Ok(Running {
        callers,
        connect,
        admin,
        rooms,
        stage,
        reload,
        stop_callers,
        stop_desk,
        cores,
        desk,
        lines,
        spans,
        drain_delay,
    })
}

fn operators(
    settings: &AdminSettings,
    rooms: &Rooms,
    stage: Arc<Stage>,
    (snapshot, public_url): (Arc<ArcSwap<Snapshot>>, String),
    reload: mpsc::Sender<ReloadWish>,
) -> Result<Admin, StartError> {
    let token = token_of(settings).map_err(StartError::AdminToken)?;
    Ok(Admin {
        tokens: rooms.tokens.clone(),
        store: rooms.store.clone(),
        policy: rooms.policy.clone(),
        metrics: rooms.metrics.clone(),
        token: Arc::new(ArcSwap::from_pointee(token)),
        serves_everything: settings.serves_everything(),
        stage,
        snapshot,
        public_url,
        reload,
        tasks: rooms.tasks.clone(),
    })
}

/// What operators have to present. A file that is missing is made.
fn token_of(settings: &AdminSettings) -> Result<Secret, TokenError> {
    match &settings.token {
        SecretSource::File(path) => token::read_or_make(path),
        SecretSource::Given(token) => Ok(token.clone()),
    }
}

fn browsers(
    public_url: String,
    rooms: &Rooms,
    snapshot: Arc<ArcSwap<Snapshot>>,
) -> Result<Connect, StartError> {
    let parts = connect::Parts {
        store: rooms.store.clone(),
        pleo: rooms.pleo.clone(),
        tokens: rooms.tokens.clone(),
        snapshot,
        tasks: rooms.tasks.clone(),
        public_url,
        issuer: None,
    };
    Connect::new(parts).ok_or(StartError::AuthorizeUrl)
}

/// The keeper, and another one should it end in a panic: without it nobody notices what other processes do.
async fn keep(tokens: Tokens, tasks: Tasks) {
    loop {
        let keeper = tokens.clone();
        match tasks.spawn(async move { keeper.keep().await }).await {
            Ok(()) => return,
            Err(_) if tasks.is_stopping() => return,
            Err(_) => tracing::error!("the keeper of tokens ended in a panic and begins anew"),
        }
        tokio::time::sleep(KEEPER_RESTS).await;
    }
}

/// Reports how many links to Pleo are open, a few times a minute: nobody needs it more often.
async fn watch_links(links: Arc<Links>, metrics: Metrics, stop: CancellationToken) {
    let mut tick = tokio::time::interval(LINKS_SHOWN_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {
                let (open, idle) = (links.open(), links.idle());
                metrics.set_upstream_links(open.saturating_sub(idle), idle);
            }
        }
    }
}

impl Running {
    /// The rooms, for whoever runs a gateway inside another program (`demo`).
    pub fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    /// Reads the configuration again: all or nothing. How it went is logged.
    pub async fn reload(&self) {
        let (tell, told) = oneshot::channel();
        let who = reload::WHO;
        if self.reload.send(ReloadWish { who, tell }).await.is_ok() {
            // There is no answer only when the process ends.
            let _ = told.await;
        }
    }

    /// Not ready → `drain_delay` → no new links → requests in flight and flights end → everything closed.
    pub async fn stop(self) {
        self.stage.drain();
        tokio::time::sleep(self.drain_delay).await;
        self.stop_callers.cancel();
        self.cores.ended().await;
        self.stop_desk.cancel();
        self.desk.ended().await;
        self.rooms.close().await;
        self.lines.finish(LAST_LINES_WITHIN);
        if let Some(spans) = self.spans {
            let finish = move || spans.finish(LAST_SPANS_WITHIN);
            if !tokio::task::spawn_blocking(finish).await.unwrap_or(false) {
                tracing::warn!("the last traces were not sent");
            }
        }
    }
}

/// Logs as the configuration and `RUST_LOG` say.
pub fn start_logs(settings: &Settings) -> Result<(), logs::InvalidFilter> {
    logs::start(format(settings), &settings.log.level)
}

/// The same for a command: what goes wrong, and the audit.
pub fn start_command_logs(settings: &Settings) -> Result<(), logs::InvalidFilter> {
    logs::start_command(format(settings), &settings.log.level)
}

fn format(settings: &Settings) -> logs::Format {
    match settings.log.format {
        LogFormat::Json => logs::Format::Json,
        LogFormat::Text => logs::Format::Text,
    }
}
