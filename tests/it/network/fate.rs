//! What can become of a request to the token endpoint on its way there and back. Playing it is up to the relay.

use std::time::Duration;

/// What becomes of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fate {
    /// In reports; a tenant's name in the matrix.
    pub(super) name: &'static str,
    /// Whether Pleo gets to see the request.
    pub(super) reaches: bool,
    /// Between Pleo's answer, or what stands for it, and its delivery.
    pub(super) wait: Wait,
    pub(super) ending: Ending,
}

/// For how long an answer is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    No,
    For(Duration),
    /// Until the test says so.
    UntilReleased,
}

/// What the gateway gets to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The answer.
    Whole,
    /// The end of the link.
    Closed,
    /// A reset.
    Reset,
    /// Half a head, then the end of the link.
    HeadCut,
    /// Half a body, then the end of the link.
    BodyCut,
    /// The answer, byte by byte, slower than anybody waits.
    Dripped,
    /// Nothing, on a link that stays open.
    Silent,
    /// An edge's 503.
    Unavailable,
    /// 429 with this `Retry-After`, in seconds.
    TooMany(u64),
    /// 200 and a page.
    Garbage,
}

impl Fate {
    pub(super) const FINE: Self = Self {
        name: "fine",
        reaches: true,
        wait: Wait::No,
        ending: Ending::Whole,
    };

    /// Pleo does its work, the answer comes, late.
    pub(super) const fn late(name: &'static str, millis: u64) -> Self {
        Self {
            name,
            wait: Wait::For(Duration::from_millis(millis)),
            ..Self::FINE
        }
    }

    /// Pleo never sees the request.
    pub(super) const fn before(name: &'static str, ending: Ending) -> Self {
        Self {
            name,
            reaches: false,
            wait: Wait::No,
            ending,
        }
    }

    /// Pleo does its work, and its answer never arrives whole.
    pub(super) const fn after(name: &'static str, ending: Ending) -> Self {
        Self {
            name,
            reaches: true,
            wait: Wait::No,
            ending,
        }
    }

    /// Pleo does its work, and its answer comes when the test says so.
    pub(super) const HELD: Self = Self {
        name: "held",
        reaches: true,
        wait: Wait::UntilReleased,
        ending: Ending::Whole,
    };

    /// Applied, and the answer is lost.
    pub(super) fn loses(self) -> bool {
        self.reaches && self.ending != Ending::Whole
    }

    /// The answer proves that nothing was applied.
    pub(super) fn is_refusal(self) -> bool {
        matches!(self.ending, Ending::TooMany(_))
    }
}

/// Every fault that does not take the answer of an applied refresh away: nothing may be lost to them.
pub(super) const RECOVERABLE: [Fate; 9] = [
    Fate::late("late", 300),
    Fate::before("dropped-before", Ending::Closed),
    Fate::before("reset-before", Ending::Reset),
    Fate::before("half-head-before", Ending::HeadCut),
    Fate::before("half-body-before", Ending::BodyCut),
    Fate::before("hole-before", Ending::Silent),
    Fate::before("false-503-before", Ending::Unavailable),
    Fate::before("garbage-before", Ending::Garbage),
    Fate::before("wait-429", Ending::TooMany(1)),
];

/// Every fault that does.
pub(super) const LOSING: [Fate; 8] = [
    Fate::after("dropped-after", Ending::Closed),
    Fate::after("reset-after", Ending::Reset),
    Fate::after("half-head-after", Ending::HeadCut),
    Fate::after("half-body-after", Ending::BodyCut),
    Fate::after("dripped-after", Ending::Dripped),
    Fate::after("hole-after", Ending::Silent),
    Fate::after("false-503-after", Ending::Unavailable),
    Fate::after("garbage-after", Ending::Garbage),
];
