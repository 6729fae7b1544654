//! `serve`: the gateway, until it is asked to stop.

use std::path::PathBuf;

use super::exit::{Exit, Failure};
use super::{print, session};
use crate::app::{
    self,
    signals::{Asked, Signals},
};
use crate::config::{Environment, Settings};
use crate::drain::Tasks;
use crate::net::listener::DoorAddress;

pub(super) fn run(config: Option<PathBuf>) -> Result<(), Failure> {
    let settings = session::load(config)?;
    app::start_logs(&settings).map_err(|error| Failure::of(Exit::Configuration, &error))?;
    let runtime = session::runtime()?;
    runtime.block_on(serve(settings, Tasks::on(runtime.handle().clone())))
}

async fn serve(settings: Settings, tasks: Tasks) -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(|error| Failure::of(Exit::Internal, &error))?;
    let schemes: Vec<_> = settings
        .listens
        .iter()
        .map(|listen| scheme(listen.tls.is_some()))
        .collect();
    let (connect, admin) = (
        scheme(settings.connect.tls.is_some()),
        scheme(settings.admin.tls.is_some()),
    );
    let running = app::start(settings, Environment::of_process(), tasks)
        .await
        .map_err(|error| Failure::from(&error))?;
    let callers: Vec<_> = schemes
        .iter()
        .zip(&running.callers)
        .map(|(scheme, address)| shown(scheme, address))
        .collect();
    tracing::info!(
        callers = callers.join(" "),
        connect = shown(connect, &running.connect),
        admin = shown(admin, &running.admin),
        version = env!("CARGO_PKG_VERSION"),
        "serving"
    );
    until_stopped(&running, &mut signals).await;
    tracing::info!("draining");
    tokio::select! {
        () = running.stop() => tracing::info!("stopped"),
        () = asked_to_stop(&mut signals) => {
            print::remark("stopped at once: requests and refreshes in flight were cut");
            std::process::exit(Exit::Fine as i32);
        }
    }
    Ok(())
}

async fn until_stopped(running: &app::Running, signals: &mut Signals) {
    loop {
        match signals.next().await {
            Asked::Stop => return,
            Asked::Reload => running.reload().await,
        }
    }
}

async fn asked_to_stop(signals: &mut Signals) {
    while signals.next().await != Asked::Stop {}
}

fn scheme(tls: bool) -> &'static str {
    if tls { "https" } else { "http" }
}

fn shown(scheme: &str, address: &DoorAddress) -> String {
    match address {
        DoorAddress::Tcp(address) => format!("{scheme}://{address}"),
        DoorAddress::Unix(..) | DoorAddress::Inherited(_) => address.to_string(),
    }
}
