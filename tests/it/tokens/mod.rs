//! The room `tokens` over a real store and the sandbox, in this process: flights, waiters, 401s, consents, salvage.
//! Whole gateways are not here.

mod bench;
mod clocks;
mod consenting;
mod faults;
mod herding;
mod moved;
mod operating;
mod panicking;
mod rejecting;
mod restoring;
mod storing;
mod waiting;
