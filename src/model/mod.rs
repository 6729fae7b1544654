//! Floor 1: pure values. What depends on time takes `now`; nothing here does I/O.

pub mod caller;
pub mod catalogue;
pub mod connection;
pub mod ids;
pub mod ledger;
pub mod limits;
pub mod operations;
pub mod path;
pub mod query;
pub mod route;
pub mod route_table;
pub mod scope;
pub mod snapshot;
pub mod tenant;
