//! `keys new`: a sealing key file where one is missing.

use std::path::PathBuf;

use super::arguments::Keys;
use super::exit::{Exit, Failure};
use super::{print, session};
use crate::config::SecretSource;
use crate::store::sealing_keys::{KeyError, make_key_file};

pub(super) fn run(config: Option<PathBuf>, command: &Keys) -> Result<(), Failure> {
    let Keys::New { json } = command;
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
            "every file in [store] sealing_keys exists: to rotate, put a new file name first in the list and run this again",
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
    if *json {
        return print::json(&serde_json::json!({ "file": path, "key_id": id.to_string() }));
    }
    print::remark(
        "A new sealing key. Keep a copy of the file where the database's backups are not:",
    );
    print::line(&format!("{}  {id}", path.display()))
}
