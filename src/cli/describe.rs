//! `schema`, `completions`: what editors and shells want to know of the program. For readers there is `man`.

use clap::CommandFactory;
use clap_complete::Shell;

use super::arguments::Arguments;
use super::exit::Failure;
use super::print;
use crate::config;

/// JSON Schema of the configuration, or its reference.
pub(super) fn schema(reference: bool) -> Result<(), Failure> {
    if reference {
        return print::line(config::reference().trim_end());
    }
    print::json(&config::schema())
}

/// Completions for a shell.
pub(super) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "pleo-gateway", &mut text);
    print::line(String::from_utf8_lossy(&text).trim_end())
}
