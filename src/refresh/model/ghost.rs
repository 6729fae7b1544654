//! What nobody in the world knows: where every request and its answer really is.

use crate::clock::Timestamp;

use super::pleo::Answer;

/// A request that left.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Request {
    /// The attempt's number.
    pub(super) attempt: usize,
    /// Which token it presents.
    pub(super) token: u64,
    /// By the clock on the wall of the world: nothing of it moves after this.
    pub(super) deadline: Timestamp,
    pub(super) fate: Fate,
    /// The answer, in the owner's socket.
    pub(super) waiting: Option<Answer>,
    /// The pair lies in the salvage folder of this machine.
    pub(super) salvage: Option<usize>,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fate {
    /// It may still be applied.
    Travelling,
    /// It will never be applied.
    Gone,
    /// It was applied: the token it presented is replaced.
    Applied,
}

/// Why an authorisation may end although the protocol was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Loss {
    /// An answer with a pair reached nobody that lived to keep it.
    Answer,
    /// A pair was held by somebody silent for longer than is waited.
    SilentHolder,
    /// The store's clock stepped past the deadline of an owner that is known dead: nobody watches for that one.
    StepOverTheDead,
}
