//! x
mod doors;
pub mod rooms;
pub mod signals;
