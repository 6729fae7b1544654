//! A process: which attempt it carries out, how far it has come with it, and what it has watched.

use super::pleo::Token;
use crate::clock::Timestamp;
use crate::model::connection::Outcome;
use crate::model::ids::Owner;

/// One slot for a process, on a machine.
#[derive(Clone, Debug)]
pub(super) struct Process {
    /// The running process, or the last one that ran.
    pub(super) owner: Owner,
    pub(super) life: Life,
    pub(super) flight: Option<Flight>,
    /// For how many half seconds it has watched each attempt, by number.
    pub(super) watched: [u16; MAX_ATTEMPTS],
}

/// More attempts than are ever remembered at once.
pub(super) const MAX_ATTEMPTS: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Life {
    Awake,
    Frozen,
    Down,
}

/// The attempt that a process carries out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flight {
    /// The attempt's number.
    pub(super) attempt: usize,
    pub(super) phase: Phase,
    /// The store refused a write of it once: it tries again some time.
    pub(super) stalled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The intent is durable, nothing was sent.
    Begun,
    /// Waiting for the answer.
    Sent,
    /// A pair in hand.
    Holding,
    /// The outcome is known here and has still to be written.
    Closing(Outcome),
}

impl Phase {
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Begun => 0,
            Self::Sent => 1,
            Self::Holding => 2,
            Self::Closing(outcome) => 3 + outcome as u8,
        }
    }
}

/// A consent that a process carries out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Consent {
    pub(super) by: usize,
    /// By the world's clock: the code is not exchanged later.
    pub(super) until: Timestamp,
    pub(super) stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    /// Nothing begins any more; the code was not sent yet.
    Begun,
    /// Pleo gave this pair.
    Exchanged(Token),
    /// The pair is durable; its company has still to be compared.
    Offered,
}

impl Process {
    pub(super) fn start(slot: usize, incarnation: u8) -> Self {
        Self {
            owner: Owner::new(format!("{slot}.{incarnation}")),
            life: Life::Awake,
            flight: None,
            watched: [0; MAX_ATTEMPTS],
        }
    }

    /// The slot that a process of this name runs or ran in.
    pub(super) fn slot_of(owner: &Owner) -> usize {
        usize::from(owner.as_ref().as_bytes()[0] - b'0')
    }

    /// The next process in this slot.
    pub(super) fn again(&self) -> Self {
        let text: &str = self.owner.as_ref();
        let incarnation = text.as_bytes()[2] - b'0';
        Self::start(Self::slot_of(&self.owner), incarnation + 1)
    }
}
