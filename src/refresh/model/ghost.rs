//! What nobody in the world knows: where every request and its answer really is, and what excuses an end.

use super::pleo::{Answer, Token};
use crate::clock::Timestamp;
use crate::model::ids::Owner;

/// A request that left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// The attempt's number.
    pub(super) attempt: usize,
    /// The process that sent it.
    pub(super) by: Owner,
    /// Which token it presents.
    pub(super) token: Token,
    /// Of which epoch and generation that was, in the row.
    pub(super) held_as: (u64, u64),
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
    /// It was applied and brought this pair: the token it presented is replaced.
    Applied(Token),
}

impl Request {
    /// The pair that Pleo gave for it.
    pub(super) fn brought(&self) -> Option<Token> {
        match self.fate {
            Fate::Applied(token) => Some(token),
            Fate::Travelling | Fate::Gone => None,
        }
    }
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
    /// A consent replaced the pair at Pleo and came to nothing here: it died, took too long, or was for another company.
    Consent,
    /// An operator decided.
    Operator,
    /// The customer ended it at Pleo.
    Revoked,
    /// The row was put back from a backup.
    Restored,
}
