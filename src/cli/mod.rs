//! Floor 9: one file per command, thin: they print what lower rooms compute.

mod arguments;
mod ask;
mod callers;
mod check;
mod connections;
mod demo;
mod describe;
mod exit;
mod explain;
mod health;
mod import;
mod input;
mod keys;
mod man;
mod memory;
mod plan;
mod print;
mod sandbox;
mod scopes;
mod serve;
mod session;

use std::ffi::OsString;

use clap::Parser;

use arguments::{Arguments, Command};
pub use exit::Exit;
use exit::Failure;

/// Carries out the command line and says how the process should end.
pub fn run(words: impl IntoIterator<Item = OsString>) -> Exit {
    let arguments = match Arguments::try_parse_from(words) {
        Ok(arguments) => arguments,
        Err(error) => {
            let exit = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Fine
            };
            // If even standard error is closed, there is nobody to tell.
            let _ = error.print();
            return exit;
        }
    };
    match carry_out(arguments) {
        Ok(()) => Exit::Fine,
        Err(failure) => failure.tell(),
    }
}

fn carry_out(arguments: Arguments) -> Result<(), Failure> {
    memory::keep_to_ourselves();
    let config = arguments.config;
    match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => serve::run(config),
        Command::Check { online, json } => check::run(config, online, json),
        Command::Connections(command) => connections::run(config, command),
        Command::Callers(command) => callers::run(&command),
        Command::Keys(command) => keys::run(config, &command),
        Command::Sandbox(options) => sandbox::run(&options),
        Command::Demo { once } => demo::run(once),
        Command::Explain(options) => explain::run(config, &options),
        Command::Plan(options) => plan::run(config, options),
        Command::Scopes(command) => scopes::run(config, &command),
        Command::Schema { reference } => describe::schema(reference),
        Command::Completions { shell } => describe::completions(shell),
        Command::Man => man::run(),
        Command::Health { url } => health::run(&url),
    }
}
