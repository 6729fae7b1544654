//! A strict Pleo: every refresh rotates both tokens and kills the old access token at once; a replaced refresh token
//! ends the whole authorisation when it is presented.

/// One authorisation. Tokens are counted: pair `n` is the one that generation `n` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pleo {
    /// The only pair that is any good.
    pub(super) current: u64,
    /// The whole authorisation was ended.
    pub(super) ended: bool,
}

/// What the token endpoint says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    /// The next pair.
    Pair,
    /// `invalid_grant`.
    Rejected,
    /// 429.
    TooMany,
}

impl Pleo {
    pub(super) fn new() -> Self {
        Self {
            current: 0,
            ended: false,
        }
    }

    /// The token endpoint.
    pub(super) fn refresh(&mut self, presented: u64) -> Answer {
        if self.ended || presented != self.current {
            self.ended = true;
            return Answer::Rejected;
        }
        self.current += 1;
        Answer::Pair
    }

    /// Introspection, but for age.
    pub(super) fn accepts(self, pair: u64) -> bool {
        !self.ended && pair == self.current
    }
}
