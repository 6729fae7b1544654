//! Floor 7: a strict stand-in for Pleo, as a small server of its own: authorise page, token endpoint, introspection, API,
//! and faults on demand (contract.md section 8). It shares nothing but words with the rest of the house, so that a mistake
//! of the gateway is not made twice. The command that runs it is in `cli`.

mod answer;
mod api;
mod authorize;
mod client;
mod codes;
mod control;
mod counters;
mod entities;
mod faults;
mod grants;
mod json;
mod keys;
mod kinds;
mod openapi;
mod options;
mod pages;
mod pagination;
mod router;
mod routes;
mod seed;
mod server;
mod shapes;
mod socket;
mod state;
mod token;

#[cfg(test)]
mod tests;

pub use grants::Minted;
pub use keys::{INTEGRATED_KEY, STANDALONE_KEY};
pub use options::{CLIENT_ID, CLIENT_SECRET, Options};
pub use server::{Running, StartError, start};
