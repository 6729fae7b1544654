//! The command line (contract.md section 1). What the commands do is in one file each.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand};

use crate::connect::link;

/// Lets systems which know nothing of OAuth call the API of Pleo.
#[derive(Debug, Parser)]
#[command(
    name = "pleo-gateway",
    version,
    max_term_width = 100,
    propagate_version = true
)]
#[command(
    after_help = "Without a command it serves. The README tells how to begin: pleo-gateway demo"
)]
pub(super) struct Arguments {
    /// The configuration; default: config/gateway.toml, then gateway.toml in /etc/pleo-gateway
    #[arg(short = 'c', long = "config", value_name = "FILE", global = true)]
    pub(super) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the gateway (the default)
    Serve,
    /// Report every problem of the configuration
    Check {
        /// Also open the store, the keys and a TLS connection to Pleo
        #[arg(long)]
        online: bool,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Say what would happen to a request and why; sends nothing
    Explain(ExplainOptions),
    /// Say what a reload would change, from the configuration in use to that of -c
    Plan(PlanOptions),
    /// What callers need, from what was observed
    #[command(subcommand)]
    Scopes(Scopes),
    /// The tenants' Pleo connections
    #[command(subcommand)]
    Connections(Connections),
    /// Callers' keys
    #[command(subcommand)]
    Callers(Callers),
    /// Sealing keys
    #[command(subcommand)]
    Keys(Keys),
    /// Run a strict stand-in for Pleo on this machine
    Sandbox(SandboxOptions),
    /// Sandbox, gateway and one connected tenant, to try
    Demo {
        /// Send one request through; exit 0 only if the answer came back right
        #[arg(long)]
        once: bool,
    },
    /// JSON Schema of the configuration, for editors
    Schema {
        /// Every key with its default instead, as TOML
        #[arg(long)]
        reference: bool,
    },
    /// Completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// The man page
    Man,
    /// Exit 0 if the running gateway is ready
    Health {
        /// The admin listener's base
        #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090")]
        url: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Connections {
    /// Every connection
    List {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// One connection
    Show(One),
    /// Make a connect link for a person who may consent
    Link {
        #[command(flatten)]
        one: One,
        /// How long the link is good
        #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = link_life)]
        expires: Duration,
        /// Let another tenant be connected to the same company
        #[arg(long)]
        allow_shared_company: bool,
    },
    /// Take tokens from standard input, or many from a file
    Import(ImportOptions),
    /// Take an API key from standard input; Pleo is asked before it is stored
    SetKey {
        #[command(flatten)]
        one: One,
        /// Who made the key: Pleo with the integration, or a person of the company
        #[arg(long, value_enum, default_value_t = Kind::Integrated)]
        kind: Kind,
        /// Replace an active connection
        #[arg(long)]
        replace: bool,
        /// Let another tenant be connected to the same company
        #[arg(long)]
        allow_shared_company: bool,
    },
    /// Ask Pleo who we are and compare
    Verify(One),
    /// Force one refresh
    Refresh(One),
    /// Erase the tokens and leave a tombstone
    Disconnect {
        #[command(flatten)]
        one: One,
        /// First tell Pleo to remove the installation
        #[arg(long)]
        uninstall: bool,
    },
    /// Decide for an uncertain connection
    #[command(group(ArgGroup::new("decision").required(true)))]
    Resolve {
        #[command(flatten)]
        one: One,
        /// Present the refresh token again
        #[arg(long, group = "decision")]
        retry: bool,
        /// The answer is lost: a person consents again
        #[arg(long, group = "decision")]
        give_up: bool,
    },
    /// The ledger of one connection, oldest first
    History(One),
}

/// The kinds of API key.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum Kind {
    Integrated,
    Standalone,
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// The tenant's name
    pub(super) tenant: String,
    /// For programs
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true)))]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(super) struct ImportOptions {
    /// The tenant's name; the tokens come as JSON on standard input
    #[arg(group = "what")]
    pub(super) tenant: Option<String>,
    /// JSON Lines with a `tenant` each; `-` is standard input
    #[arg(long, value_name = "FILE", group = "what")]
    pub(super) file: Option<PathBuf>,
    /// Replace an active connection
    #[arg(long)]
    pub(super) replace: bool,
    /// Ask Pleo before storing
    #[arg(long)]
    pub(super) verify: bool,
    /// Let another tenant be connected to the same company
    #[arg(long)]
    pub(super) allow_shared_company: bool,
    /// For programs
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Callers {
    /// Make a caller key: printed once, with the lines to paste
    New {
        /// The caller's name
        name: String,
        /// For programs
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Make the first sealing key file that is missing
    New {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Seal every stored secret anew under the first sealing key; can be run again at any time
    Rotate {
        /// For programs
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct ExplainOptions {
    /// The caller's name; not needed where there is only one
    #[arg(long, value_name = "NAME")]
    pub(super) caller: Option<String>,
    /// The tenant, as `Pleo-Gateway-Tenant` would name it
    #[arg(long, value_name = "T")]
    pub(super) tenant: Option<String>,
    /// The door that it comes through, as its `address` is written; default: the first that serves the caller and the tenant
    #[arg(long, value_name = "ADDRESS")]
    pub(super) door: Option<String>,
    /// The request's method
    pub(super) method: String,
    /// The request's path and query; or the whole URL, whose host may name the tenant
    pub(super) path: String,
    /// For programs
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct PlanOptions {
    /// The configuration in use; default: as -c has it
    #[arg(long, value_name = "OLD")]
    pub(super) against: Option<PathBuf>,
    /// For programs
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Scopes {
    /// Print the smallest scopes and routes that each caller needs, as TOML to paste
    Suggest {
        /// The access log; `-` is standard input
        #[arg(long, value_name = "FILE", default_value = "-")]
        log: PathBuf,
        /// Take in what was refused for want of a route or a scope, too
        #[arg(long)]
        refused: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct SandboxOptions {
    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9400")]
    pub(super) listen: SocketAddr,
    /// Life of an access token
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = duration)]
    pub(super) access_ttl: Duration,
    /// Seed of the data it answers with
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,
    /// API calls a minute of each credential; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 600)]
    pub(super) requests_per_minute: u32,
}

fn duration(text: &str) -> Result<Duration, String> {
    crate::config::duration(text).map_err(str::to_owned)
}

fn link_life(text: &str) -> Result<Duration, String> {
    link::life(duration(text)?).map_err(str::to_owned)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn import_takes_a_tenant_or_a_file() {
        assert!(Arguments::try_parse_from(["x", "connections", "import"]).is_err());
        assert!(
            Arguments::try_parse_from(["x", "connections", "import", "acme", "--file", "f"])
                .is_err()
        );
        assert!(
            Arguments::try_parse_from(["x", "connections", "import", "--file", "-", "-c", "g"])
                .is_ok()
        );
    }
}
