//! One binary of tests: a harness, and one file per behaviour. They run the real binary over real sockets.

mod house_rules;
mod kill;
mod refresh_load;
mod refresh_once;
mod rejected;
mod secrets;
mod stand;
mod token_endpoint;
mod watching;
