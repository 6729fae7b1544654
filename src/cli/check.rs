//! `check`: every problem of the configuration; with `--online` also whether its store, keys and Pleo can be reached.

use std::path::PathBuf;
use std::time::Duration;

use super::exit::{Exit, Failure};
use super::print;
use super::session::{self, exit_of, shown, warn};
use crate::app::rooms::Rooms;
use crate::config::{self, Broken, Environment, Settings};
use crate::drain::Tasks;
use crate::net::origin::Origin;
use crate::net::tls::Alpn;
use crate::telemetry::chain::chain;

pub(super) fn run(file: Option<PathBuf>, online: bool, json: bool) -> Result<(), Failure> {
    let environment = Environment::of_process();
    let settings = match config::load(&config::locate(file), &environment) {
        Ok(settings) => settings,
        Err(Broken { problems, warnings }) if json => {
            print::json(&serde_json::json!({ "problems": problems, "warnings": warnings }))?;
            return Err(Failure::told(exit_of(&problems)));
        }
        Err(broken) => return Err(shown(&broken)),
    };
    if online {
        try_out(&settings)?;
    }
    if json {
        return print::json(&serde_json::json!({ "problems": [], "warnings": settings.warnings }));
    }
    warn(&settings.warnings);
    print::line(&format!(
        "{}: fine, {} routes",
        settings.file.display(),
        settings.snapshot.routes.iter().count()
    ))
}

/// Opens the store with its keys, and a link to each of Pleo's hosts.
fn try_out(settings: &Settings) -> Result<(), Failure> {
    let runtime = session::runtime()?;
    runtime.block_on(async {
        let tasks = Tasks::on(runtime.handle().clone());
        let rooms = Rooms::open(settings, "cli", tasks)
            .await
            .map_err(|error| Failure::from(&error))?;
        let endpoints = rooms.pleo.options().endpoints.clone();
        let mut outcome = Ok(());
        for url in [&endpoints.token, &endpoints.api] {
            outcome = outcome.and(reach(&rooms, url).await);
        }
        rooms.close().await;
        outcome
    })
}

async fn reach(rooms: &Rooms, url: &url::Url) -> Result<(), Failure> {
    let origin = Origin::from_url(url).map_err(|error| Failure::of(Exit::Configuration, &error))?;
    let dialled = tokio::time::timeout(
        Duration::from_secs(30),
        rooms.dialer.dial(&origin, Alpn::Http1),
    )
    .await;
    match dialled {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Failure::new(
            Exit::Unavailable,
            format!("{origin}: {}", chain(&error)),
        )),
        Err(_) => Err(Failure::new(
            Exit::Unavailable,
            format!("{origin} does not answer"),
        )),
    }
}
