//! Floor 8: builds every room once, in floor order, and takes them down again.

mod desk;
mod doors;
mod reload;
pub mod rooms;
pub mod signals;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::admin::Stage;
use crate::clock::Clock;
use crate::config::settings::{LogFormat, Settings};
use crate::config::sources::Environment;
use crate::drain::Tasks;
use crate::model::snapshot::Snapshot;
use crate::net::inherited::Inherited;
use crate::net::listener::DoorAddress;
use crate::net::threads::Cores;
use crate::telemetry::{access_log, logs};
use rooms::{Rooms, StartError};

/// What the access log still has to write when the process ends.
const LAST_LINES_WITHIN: Duration = Duration::from_secs(2);

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
    stop_callers: CancellationToken,
    stop_desk: CancellationToken,
    cores: Cores,
    desk: Cores,
    lines: access_log::Writer,
    drain_delay: Duration,
}

/// Starts everything that the settings describe. Returns once every door is open; on failure nothing keeps running.
pub async fn start(settings: Settings, environment: Environment, tasks: Tasks) -> Result<Running, StartError> {
    let mut inherited = environment.listen_names().map_or_else(Inherited::none, Inherited::named);
    let threads = doors::threads(&settings);
    let callers = doors::bind_callers(&settings, threads, &mut inherited).await?;
    let connect = doors::bind_one(&settings.connect.listen, settings.connect.tls.as_ref(), &mut inherited).await?;
    let admin = doors::bind_one(&settings.admin.listen, settings.admin.tls.as_ref(), &mut inherited).await?;
    let rooms = Rooms::open(&settings, "gateway", tasks.clone()).await?;
    let (log, lines) = access_log::start(io::stdout()).map_err(StartError::Thread)?;
    let stage = Arc::new(Stage::default());
    let (wish, wishes) = mpsc::channel(4);
    let addresses = (
        callers.iter().map(|bound| bound.address().clone()).collect(),
        connect.address().clone(),
        admin.address().clone(),
    );
    let stop_callers = CancellationToken::new();
    let stop_desk = CancellationToken::new();
    let desk = desk::Desk::new(&settings, &rooms, stage.clone(), wish)?;
    let drain_delay = settings.snapshot.limits.drain_delay;
    let snapshot = Arc::new(ArcSwap::from_pointee(first(settings.snapshot)));
    let edge = doors::Callers::new(&settings.listens, snapshot.clone(), &rooms, log, settings.pleo, stop_callers.clone());
    let cores = edge.open(callers, threads).map_err(StartError::Thread)?;
    let desk = desk.open(connect, admin, stop_desk.clone()).map_err(StartError::Thread)?;
    let keeper = rooms.tokens.clone();
    tasks.spawn(async move { keeper.keep().await });
    tasks.spawn(reload::run(settings.file, environment, snapshot, rooms.metrics.clone(), wishes, tasks.clone()));
    rooms.metrics.reloaded(true, rooms.clock.wall());
    stage.start();
    let (callers, connect, admin) = addresses;
    Ok(Running { callers, connect, admin, rooms, stage, stop_callers, stop_desk, cores, desk, lines, drain_delay })
}

/// The first generation of the configuration is 1.
fn first(mut snapshot: Snapshot) -> Snapshot {
    snapshot.generation = 1;
    snapshot
}

impl Running {
    /// The rooms, for whoever runs a gateway inside another program (`demo`, tests).
    pub fn rooms(&self) -> &Rooms {
        &self.rooms
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
    }
}

/// Logs as the configuration says, `RUST_LOG` first. `quiet` is the level where neither says one.
pub fn start_logs(settings: &Settings, environment: &Environment, quiet: &str) -> Result<(), logs::InvalidFilter> {
    let format = match settings.log.format {
        LogFormat::Json => logs::Format::Json,
        LogFormat::Text => logs::Format::Text,
    };
    let level = environment.rust_log().or(settings.log.level.as_deref()).unwrap_or(quiet);
    logs::start(format, level)
}

/// The file that a reload reads.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) file: PathBuf,
    pub(crate) environment: Environment,
}
