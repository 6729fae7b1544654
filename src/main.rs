//! Arguments → command → exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    pleo_gateway::cli::run(std::env::args_os()).into()
}
