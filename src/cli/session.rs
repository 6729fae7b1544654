//! What a command that works on the store runs in: the configuration, the rooms it needs, a small runtime, and an orderly
//! end.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};

use super::exit::{Exit, Failure};
use super::print;
use crate::app::rooms::{Rooms, StartError, StartKind};
use crate::app::signals::Signals;
use crate::app::start_command_logs;
use crate::config::{self, Broken, Environment, ExitKind, Problems, Settings};
use crate::drain::Tasks;
use crate::model::ids::{CompanyId, TenantName};
use crate::model::scope::ScopeSet;
use crate::model::snapshot::Snapshot;
use crate::refresh::policy::Policy;
use crate::store::ConnectionStore;
use crate::store::rotation::Rotation;
use crate::tokens::Tokens;

/// The rooms and what they were built from.
#[derive(Debug)]
pub(super) struct Session {
    rooms: Rooms,
    settings: Settings,
}

/// Reads the configuration, opens the rooms, runs the command, closes them.
pub(super) fn run(
    config: Option<PathBuf>,
    command: impl AsyncFnOnce(&Session) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let settings = load(config)?;
    start_command_logs(&settings).map_err(|error| Failure::of(Exit::Configuration, &error))?;
    let runtime = runtime()?;
    let tasks = Tasks::on(runtime.handle().clone());
    let outcome = runtime.block_on(until_ended(settings, tasks, command));
    // Whoever still waits for standard input is not waited for.
    runtime.shutdown_background();
    outcome
}

/// A signal ends the command, but not what it has begun at Pleo: a call whose answer would be lost is waited for.
async fn until_ended(
    settings: Settings,
    tasks: Tasks,
    command: impl AsyncFnOnce(&Session) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(|error| Failure::of(Exit::Internal, &error))?;
    let rooms = tokio::select! {
        rooms = Rooms::open(&settings, "cli", tasks) => rooms.map_err(|error| Failure::from(&error))?,
        end = signals.next_end() => return Err(Failure::told(end.into())),
    };
    let session = Session { rooms, settings };
    let outcome = tokio::select! {
        outcome = command(&session) => outcome,
        end = signals.next_end() => {
            print::remark("Ending: what is under way at Pleo is waited for. Once more ends at once, and may cost a consent.");
            Err(Failure::told(end.into()))
        }
    };
    tokio::select! {
        () = session.rooms.close() => outcome,
        // What is in the air is cut: whoever waits for it sees a death (R2).
        end = signals.next_end() => Err(Failure::told(end.into())),
    }
}

/// For everything but callers' traffic: refreshes, store, browsers, operators.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("house")
        .enable_all()
        .build()
        .map_err(|error| Failure::of(Exit::Internal, &error))
}

/// Reads the configuration that `-c` names or that is found, and shows every problem.
pub(super) fn load(config: Option<PathBuf>) -> Result<Settings, Failure> {
    let environment = Environment::of_process();
    let settings =
        config::load(&config::locate(config), &environment).map_err(|broken| shown(&broken))?;
    warn(&settings.warnings);
    Ok(settings)
}

/// The same, and the text: the file is read once, since it may be a pipe.
pub(super) fn load_with_text(config: Option<PathBuf>) -> Result<(Settings, String), Failure> {
    let path = config::locate(config);
    let Ok(text) = fs::read_to_string(&path) else {
        // Says why not.
        load(Some(path.clone()))?;
        let words = format!("{} could not be read at first: try again", path.display());
        return Err(Failure::new(Exit::TryAgain, words));
    };
    let settings =
        config::parse(&path, &text, &Environment::of_process()).map_err(|broken| shown(&broken))?;
    warn(&settings.warnings);
    Ok((settings, text))
}

/// Shows what is allowed but perhaps not meant, or what is wrong.
pub(super) fn warn(problems: &Problems) {
    if !problems.is_empty() {
        let colour = print::colour(&Environment::of_process());
        print::remark(problems.render(colour).trim_end());
    }
}

/// What is wrong comes last: there it is seen first.
pub(super) fn shown(broken: &Broken) -> Failure {
    warn(&broken.warnings);
    if !broken.warnings.is_empty() {
        print::remark("");
    }
    warn(&broken.problems);
    Failure::told(exit_of(&broken.problems))
}

pub(super) fn exit_of(problems: &Problems) -> Exit {
    match problems.exit_kind() {
        ExitKind::Configuration => Exit::Configuration,
        ExitKind::Permission => Exit::Permission,
    }
}

impl From<&StartError> for Failure {
    fn from(error: &StartError) -> Self {
        let exit = match error.kind() {
            StartKind::Corrupt => Exit::Data,
            StartKind::Unavailable => Exit::Unavailable,
            StartKind::Permission => Exit::Permission,
            StartKind::Configuration => Exit::Configuration,
            StartKind::Io => Exit::Io,
            StartKind::Internal => Exit::Internal,
        };
        Self::of(exit, error)
    }
}

impl Session {
    pub(super) fn tokens(&self) -> &Tokens {
        &self.rooms.tokens
    }

    pub(super) fn rotation(&self) -> &Rotation {
        &self.rooms.rotation
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.settings.snapshot
    }

    /// Pleo's API: where calls would go.
    pub(super) fn api_origin(&self) -> String {
        self.rooms
            .pleo
            .options()
            .endpoints
            .api
            .origin()
            .ascii_serialization()
    }

    pub(super) fn store(&self) -> &Arc<dyn ConnectionStore> {
        &self.rooms.store
    }

    pub(super) fn policy(&self) -> &Policy {
        &self.rooms.policy
    }

    pub(super) fn connect_url(&self) -> &str {
        &self.settings.connect.public_url
    }

    pub(super) fn pinned_company(&self, tenant: &TenantName) -> Option<CompanyId> {
        self.settings.snapshot.pinned_company(tenant).cloned()
    }

    /// What a consent asks for: the tenant's own list, or the union of what its callers' routes need.
    pub(super) fn scopes_for(&self, tenant: &TenantName) -> ScopeSet {
        self.settings.snapshot.scopes_to_ask(tenant)
    }
}
