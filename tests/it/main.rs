//! One binary of tests: a harness, and one file per behaviour. They run the real binary over real sockets.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends there; clippy knows only functions marked #[test]"
)]
#![expect(clippy::print_stdout, reason = "long runs print their figures")]

mod admin;
mod api_keys;
mod bodies;
mod canary;
mod clients;
mod commands;
mod connect_flow;
mod doors;
mod drain;
mod errors;
mod explain;
mod faults;
mod forwarding;
mod handed_over;
mod harness;
mod herd;
mod house_rules;
mod imports;
mod interrupting;
mod kill;
mod limits;
mod links;
mod network;
mod operators;
mod plan;
mod postgres;
mod proxy;
mod recognised;
mod refresh_load;
mod refresh_once;
mod rejected;
mod reload;
mod requirements;
mod restored;
mod rolling;
mod rotation;
mod salvage;
mod scopes;
mod secrets;
mod stand;
mod supply;
mod token_endpoint;
mod tokens;
mod told;
mod traces;
mod upstream_errors;
mod watching;
mod way_out;
