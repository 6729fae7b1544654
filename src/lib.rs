//! pleo-gateway: a reverse proxy that lets systems which know nothing of OAuth call Pleo's API.
//!
//! The floors of the house, from the top. A file imports only from lower floors; rooms on one floor are strangers
//! (`tests/it/house_rules.rs` enforces it, `docs/architecture.md` says why).

// 9
pub mod cli;
// 8
pub mod app;
// 7
pub mod admin;
pub mod config;
pub mod edge;
pub mod sandbox;
// 6
pub mod connect;
pub mod proxy;
// 5
pub mod tokens;
// 4
pub mod access;
pub mod pleo;
pub mod refresh;
pub mod store;
// 3
pub mod net;
// 2
pub mod telemetry;
// 1
pub mod model;
// 0
pub mod clock;
pub mod drain;
pub mod secret;
