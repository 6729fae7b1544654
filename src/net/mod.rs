//! Floor 3: bytes. Listeners, TLS, dialling and pooled links; knows nothing of OAuth or routes.
//!
//! A *link* is one network connection (a *connection* is a tenant's tie to Pleo, and lives elsewhere). Callers' traffic runs
//! on one thread per core ([`threads`]), and what is made on a thread stays there, so that no request takes a lock here.

pub mod address;
mod answer;
pub mod body;
mod bounded;
mod breaking;
mod certificate;
pub mod client;
mod conversation;
pub mod database;
mod deadline;
pub mod dial;
mod exclusive;
mod frames;
pub mod gathered;
mod guest;
mod inherited;
mod linger;
pub mod link;
pub mod links;
pub mod listener;
mod local;
mod multiplexed;
pub mod origin;
pub mod peer;
pub mod peer_limit;
mod pool;
mod sending;
pub mod server;
#[cfg(test)]
mod tests;
pub mod threads;
pub mod tls;
mod unfinished;
mod unix_socket;
mod unwind;
pub mod upstream_body;
mod watch;
mod well_formed;

/// Any error, as bodies hand it on.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
