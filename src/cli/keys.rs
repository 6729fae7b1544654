//! `keys new`: a sealing key file where one is missing. `keys rotate`: everything sealed anew under the first key.

use std::io::IsTerminal;
use std::path::PathBuf;

use super::arguments::Keys;
use super::exit::{Exit, Failure};
use super::print;
use super::session::{self, Session};
use crate::config::SecretSource;
use crate::store::rotation::RotationError;
use crate::store::sealing_keys::{KeyError, make_key_file};

/// Between two progress messages on a terminal.
const TOLD_EVERY: usize = 100;

pub(super) fn run(config: Option<PathBuf>, command: &Keys) -> Result<(), Failure> {
    match command {
        Keys::New { json } => new(config, *json),
        Keys::Rotate { json } => session::run(config, async |session| rotate(session, *json).await),
    }
}

async fn rotate(session: &Session, json: bool) -> Result<(), Failure> {
    let rotation = session.rotation();
    let shows_progress = std::io::stderr().is_terminal();
    let progress = |done: usize, of: usize| {
        if shows_progress && (done == of || done.is_multiple_of(TOLD_EVERY)) {
            print::remark(&format!("{done} of {of}"));
        }
    };
    let done = rotation.run("cli", progress).await?;
    for (name, why) in &done.failed {
        print::error(&format!("{name}: {why}"));
    }
    if json {
        let failed: Vec<_> = (done.failed.iter())
            .map(|(name, why)| serde_json::json!({ "name": name, "why": why }))
            .collect();
        let sealing_otherwise: Vec<_> = (done.sealing_otherwise.iter())
            .map(|one| serde_json::json!({ "process": one.to_string(), "key_id": one.key() }))
            .collect();
        print::json(&serde_json::json!({
            "key_id": rotation.key.to_string(),
            "resealed": done.resealed,
            "already": done.already,
            "failed": failed,
            "sealing_otherwise": sealing_otherwise,
        }))?;
    } else {
        print::remark(&format!(
            "{} sealed anew under key {}, {} already, {} failed.",
            done.resealed,
            rotation.key,
            done.already,
            done.failed.len()
        ));
    }
    if !done.failed.is_empty() {
        print::error("what failed needs the key that sealed it: keep the old keys");
        return Err(Failure::told(Exit::Data));
    }
    if !done.sealing_otherwise.is_empty() {
        for one in &done.sealing_otherwise {
            print::error(&format!("{one} still seals with key {}", one.key()));
        }
        print::error(
            "keep the old keys: put the new one first in [store] sealing_keys for these processes too, restart them, then \
             run this again",
        );
        return Err(Failure::told(Exit::TryAgain));
    }
    if !json {
        print::remark(
            "No other key is needed here any more. Other machines have salvage of their own: run this there too, then \
             remove the old keys from [store] sealing_keys.",
        );
    }
    Ok(())
}

impl From<RotationError> for Failure {
    fn from(error: RotationError) -> Self {
        match &error {
            RotationError::NotHeld { .. } => Self::new(
                Exit::Configuration,
                format!(
                    "{error}: they could not open what is sealed anew; restart them with all keys in [store] \
                     sealing_keys, then run this again"
                ),
            ),
            RotationError::Store(cause) => Self::of(cause.into(), &error),
        }
    }
}

fn new(config: Option<PathBuf>, json: bool) -> Result<(), Failure> {
    let settings = session::load(config)?;
    let missing = settings
        .store
        .sealing_keys
        .iter()
        .find_map(|source| match source {
            SecretSource::File(path) if !path.exists() => Some(path),
            SecretSource::File(_) | SecretSource::Given(_) => None,
        });
    let Some(path) = missing else {
        return Err(Failure::new(
            Exit::Configuration,
            "every file in [store] sealing_keys exists: to rotate, put a new file name behind the others and run this \
             again; once every gateway has been restarted with it, it may go to the front",
        ));
    };
    let id = make_key_file(path).map_err(|error| {
        let exit = match &error {
            KeyError::File(error) if error.is_permission() => Exit::Permission,
            KeyError::File(_) => Exit::Io,
            _ => Exit::Configuration,
        };
        Failure::of(exit, &error)
    })?;
    if json {
        return print::json(&serde_json::json!({ "file": path, "key_id": id.to_string() }));
    }
    print::remark(
        "A new sealing key. Keep a copy of the file where the database's backups are not:",
    );
    print::line(&format!("{}  {id}", path.display()))
}
