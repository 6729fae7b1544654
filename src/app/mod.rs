//! Floor 8: builds every room once, in floor order, and takes them down again.

mod callers;
mod desk;
mod doors;
mod reload;
pub mod rooms;
pub mod signals;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::admin::{Admin, ReloadWish, Stage, token};
use crate::config::{Environment, LogFormat, SecretSource, Settings};
use crate::connect::{self, Connect};
use crate::drain::Tasks;
use crate::model::snapshot::Snapshot;
use crate::net::listener::{DoorAddress, Inherited};
use crate::net::threads::Cores;
use crate::telemetry::{access_log, logs};
use callers::Callers;
use desk::Desk;
use reload::Reload;
use rooms::{Rooms, StartError};

/// What the access log still has to write when the process ends.
const LAST_LINES_WITHIN: Duration = Duration::from_secs(2);
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
    drain_delay: Duration,
}

/// Starts everything that the settings describe. Returns once every door is open.
pub async fn start(settings: Settings, environment: Environment, tasks: Tasks) -> Result<Running, StartError> {
    let mut inherited = environment.var("LISTEN_FDNAMES").map_or_else(Inherited::none, Inherited::named);
    let threads = doors::threads(&settings);
    let callers_doors = doors::bind_callers(&settings, threads, &mut inherited).await?;
    let connect_door = doors::bind_one(&settings.connect.listen, settings.connect.tls.as_ref(), &mut inherited).await?;
    let admin_door = doors::bind_one(&settings.admin.listen, settings.admin.tls.as_ref(), &mut inherited).await?;
    let callers: Vec<_> = callers_doors.iter().map(|door| door.address().clone()).collect();
    let (connect, admin) = (connect_door.address().clone(), admin_door.address().clone());

    let rooms = Rooms::open(&settings, "gateway", tasks.clone()).await?;
    let (log, lines) = access_log::start(io::stdout()).map_err(StartError::Thread)?;
    let stage = Arc::new(Stage::default());
    let (reload, wishes) = mpsc::channel(RELOADS_WAITING);
    let (stop_callers, stop_desk) = (CancellationToken::new(), CancellationToken::new());
    let drain_delay = settings.snapshot.limits.drain_delay;
    let desk = desk_parts(&settings, &rooms, stage.clone(), reload.clone())?;
    let snapshot = Arc::new(ArcSwap::from_pointee(Snapshot { generation: 1, ..settings.snapshot }));
    let desk = desk.with_connect(&settings.connect.public_url, &rooms, snapshot.clone())?;

    let served = Callers::new(snapshot.clone(), &rooms, log, stop_callers.clone())?;
    let cores = served.open(callers_doors, threads).map_err(StartError::Thread)?;
    let desk = desk.open(connect_door, admin_door, stop_desk.clone()).map_err(StartError::Thread)?;
    let keeper = rooms.tokens.clone();
    tasks.spawn(async move { keeper.keep().await });
    let reloads = Reload {
        file: settings.file,
        environment,
        snapshot,
        metrics: rooms.metrics.clone(),
        clock: rooms.clock.clone(),
    };
    tasks.spawn(reloads.run(wishes, tasks.stop_token()));
    rooms.metrics.reloaded(true, rooms.clock.wall());
    stage.start();
    Ok(Running { callers, connect, admin, rooms, stage, reload, stop_callers, stop_desk, cores, desk, lines, drain_delay })
}
