//! The model checker: the real `step`, `next` and `may_send` against a strict model of Pleo, over everything that a
//! few processes, a network, a store, the clocks and people can do to them. Product code does not come here.
//!
//! Left out, because the protocol cannot survive them and says so (docs/refresh.md, residuals):
//! - an owner frozen between its last look and the first byte: here both are one action;
//! - Pleo applying a request after its deadline: here such a request is gone by then;
//! - a pair held by an owner silent beyond `adopt_until`, or in the salvage of a replica that is down, while the old
//!   token has expired: followed, and told apart as [`ghost::Loss::SilentHolder`];
//! - a pair that is lost with its process before commit or salvage: followed, as [`ghost::Loss::Answer`];
//! - the store's clock stepping forward past the deadline of an owner that is known dead, whose request still travels:
//!   followed, as [`ghost::Loss::StepOverTheDead`];
//! - a consent that takes longer than it may, or whose minute the store's clock steps over: followed, as
//!   [`ghost::Loss::Consent`];
//! - evidence that is wrong twice in a row; a wall clock that steps back.

mod choices;
mod deeds;
mod faults;
mod ghost;
mod moves;
mod people;
mod pleo;
mod process;
mod properties;
mod reaches;
mod sameness;
mod search;
mod time;
mod traces;
mod world;
