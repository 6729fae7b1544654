//! What may go wrong, or be wished for, in one exploration, and how often.

/// A kind of misfortune, or of wish.
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
    /// Introspection refuses a good token.
    Noise,
    /// A cache accepts a dead token.
    StaleCache,
    /// The store's clock steps forward.
    ClockStep,
    /// Pleo falls silent, for as long as it likes.
    Silence,
    /// A 401 asks for a refresh (R7).
    Forced,
    /// An operator asks for a refresh.
    Asked,
    /// The customer ends the authorisation at Pleo.
    Revoked,
    /// A person consents again.
    Consent,
    /// An operator imports a pair over the one in use.
    Import,
    /// An operator ends the connection.
    Disconnect,
    /// The row is put back from a backup, and that is noticed.
    Restored,
}

const KINDS: usize = 21;

/// What goes wrong by itself.
pub(super) const MISFORTUNES: &[Fault] = &[
    Fault::Crash,
    Fault::Freeze,
    Fault::LostRequest,
    Fault::LostAnswer,
    Fault::FalseAnswer,
    Fault::TooMany,
    Fault::NotSent,
    Fault::StoreAtCommit,
    Fault::StoreAtClose,
    Fault::StoreAway,
    Fault::Noise,
    Fault::StaleCache,
    Fault::ClockStep,
    Fault::Silence,
];

/// What customers and operators do.
pub(super) const WISHES: &[Fault] = &[
    Fault::Forced,
    Fault::Asked,
    Fault::Revoked,
    Fault::Consent,
    Fault::Import,
    Fault::Disconnect,
    Fault::Restored,
];

/// What is still allowed to happen: of each kind so many, so many misfortunes and so many wishes in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    of_each: [u8; KINDS],
    misfortunes: u8,
    wishes: u8,
}

impl Budget {
    /// One of each of these kinds, and no more than so many in all.
    pub(super) fn one_of_each(kinds: &[&[Fault]], misfortunes: u8, wishes: u8) -> Self {
        let mut of_each = [0; KINDS];
        for kind in kinds.iter().copied().flatten() {
            of_each[*kind as usize] = 1;
        }
        Self {
            of_each,
            misfortunes,
            wishes,
        }
    }

    /// Whatever a story needs.
    pub(super) fn plenty() -> Self {
        Self {
            of_each: [9; KINDS],
            misfortunes: 99,
            wishes: 99,
        }
    }

    pub(super) fn allows(&self, fault: Fault) -> bool {
        let left = if WISHES.contains(&fault) {
            self.wishes
        } else {
            self.misfortunes
        };
        left > 0 && self.of_each[fault as usize] > 0
    }

    pub(super) fn spend(&mut self, fault: Fault) {
        self.of_each[fault as usize] -= 1;
        if WISHES.contains(&fault) {
            self.wishes -= 1;
        } else {
            self.misfortunes -= 1;
        }
    }
}
