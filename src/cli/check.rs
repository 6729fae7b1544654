//! `check`: every problem of the configuration; with `--online` also whether its store, keys and Pleo can be reached.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

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
            print::json(&json!({ "problems": problems, "warnings": warnings }))?;
            return Err(Failure::told(exit_of(&problems)));
        }
        Err(broken) => return Err(shown(&broken)),
    };
    let troubles = if online {
        try_out(&settings)?
    } else {
        Vec::new()
    };
    if json {
        let problems: Vec<_> = troubles.iter().map(|it| it.to_json(&settings)).collect();
        print::json(&json!({ "problems": problems, "warnings": settings.warnings }))?;
    } else {
        warn(&settings.warnings);
        for Trouble { failure, remedy } in &troubles {
            print::error(&format!("{}: {remedy}", failure.words()));
        }
    }
    match troubles.first() {
        Some(first) => Err(Failure::told(first.failure.exit())),
        None if json => Ok(()),
        None => print::line(&format!(
            "{}: fine, {} routes",
            settings.file.display(),
            settings.snapshot.routes.iter().count()
        )),
    }
}

/// What `--online` found wrong.
struct Trouble {
    failure: Failure,
    remedy: &'static str,
}

impl Trouble {
    /// In the shape of the configuration's own problems: what is wrong has no place in the file.
    fn to_json(&self, settings: &Settings) -> serde_json::Value {
        json!({
            "file": settings.file, "line": null, "column": null, "variable": null, "key": "", "kind": "online",
            "message": self.failure.words(), "remedy": self.remedy,
        })
    }
}

/// Opens the store with its keys, and a link to each of Pleo's hosts.
fn try_out(settings: &Settings) -> Result<Vec<Trouble>, Failure> {
    let runtime = session::runtime()?;
    Ok(runtime.block_on(async {
        let tasks = Tasks::on(runtime.handle().clone());
        let rooms = match Rooms::open(settings, "cli", tasks).await {
            Ok(rooms) => rooms,
            Err(error) => {
                let failure = Failure::from(&error);
                let remedy = "mend what this names, or name another in the configuration";
                return vec![Trouble { failure, remedy }];
            }
        };
        let endpoints = rooms.pleo.options().endpoints.clone();
        let mut urls = vec![&endpoints.token, &endpoints.api];
        urls.dedup_by_key(|url| url.origin());
        let mut troubles = Vec::new();
        for url in urls {
            if let Err(failure) = reach(&rooms, url).await {
                let remedy = "mend the way there, or the address in [pleo]";
                troubles.push(Trouble { failure, remedy });
            }
        }
        rooms.close().await;
        troubles
    }))
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
