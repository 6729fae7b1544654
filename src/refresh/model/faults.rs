//! What may go wrong in one exploration, and how often.

/// A kind of misfortune.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fault {
    /// A process ends at once, at any point.
    Crash,
    /// A process stands still, and may go on much later.
    Freeze,
    /// A request never reaches Pleo.
    LostRequest,
    /// Pleo applied a request, the answer does not reach the owner.
    LostAnswer,
    /// An edge answers 503 (or resets) while Pleo still works: the request may be applied late.
    FalseAnswer,
    /// Pleo answers 429.
    TooMany,
    /// The dial fails: nothing was sent.
    NotSent,
    /// The store refuses a commit: the pair goes to salvage.
    StoreAtCommit,
    /// The store refuses to write down how an attempt ended.
    StoreAtClose,
    /// For a while no read of the store succeeds.
    StoreAway,
    /// A 401 that means nothing.
    Noise,
    /// A cache accepts a dead token.
    StaleCache,
    /// The store's clock steps forward.
    ClockStep,
}

const KINDS: usize = 13;

/// What is still allowed to happen: of each kind so many, and so many in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    of_each: [u8; KINDS],
    in_all: u8,
}

impl Budget {
    /// One of each kind, and no more than so many in all.
    pub(super) fn one_of_each(in_all: u8) -> Self {
        Self {
            of_each: [1; KINDS],
            in_all,
        }
    }

    pub(super) fn allows(&self, fault: Fault) -> bool {
        self.in_all > 0 && self.of_each[fault as usize] > 0
    }

    pub(super) fn spend(&mut self, fault: Fault) {
        self.in_all -= 1;
        self.of_each[fault as usize] -= 1;
    }
}
