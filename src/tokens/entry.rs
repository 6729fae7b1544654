//! What this process remembers of a connection: enough to serve a call without the store. No lock, no I/O.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::bearer::Bearer;
use super::{ObtainError, Timing};
use crate::clock::{Boot, Timestamp};
use crate::model::connection::{Connection, CredentialKind, Reason, State};
use crate::model::ids::{CompanyId, Epoch, Generation};
use crate::model::scope::ScopeSet;
use crate::store::Revision;

/// Between two asks of one kind for the same pair.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// How long Pleo is left alone after it gave no answer to "who am I".
const SILENCE_LASTS: Duration = Duration::from_secs(2);
/// The longest that a consent's pair is left alone about which Pleo gave no answer.
const LONGEST_SILENCE: Duration = Duration::from_mins(1);
/// How long "the token is dead" is believed.
const DEAD_FOR: Duration = Duration::from_secs(30);
/// So much later than now a token was obtained only if the clock was put back since.
const CLOCKS_AGREE: Duration = Duration::from_secs(5);
/// No count of jumps: the life was never certain.
const NEVER_SURE: u32 = u32::MAX;

/// How lives are reckoned on this machine's clock (R10).
#[derive(Clone, Copy, Debug)]
pub(super) struct Reckoning {
    pub(super) timing: Timing,
    /// From when on a refresh is due, by the store's time.
    pub(super) due_at: Option<Timestamp>,
    /// Until when the row backs off, by the store's time.
    pub(super) rests_until: Option<Timestamp>,
    /// How many jumps between the clocks there were.
    pub(super) jumps: u32,
}

/// One connection as this process last saw it. Immutable except for its marks.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) state: State,
    pub(super) row: RowMarks,
    pub(super) bearer: Option<Bearer>,
    /// The bearer's own end, on this machine's clock.
    pub(super) alive_until: Boot,
    /// From when on a refresh is due, on this machine's clock.
    pub(super) due_at: Boot,
    pub(super) scopes: Option<ScopeSet>,
    pub(super) company: Option<CompanyId>,
    marks: Marks,
}

/// What of the row decides errors, and which of two rows is the newer one.
#[derive(Clone, Debug)]
pub(super) struct RowMarks {
    pub(super) reason: Option<Reason>,
    pub(super) oauth: bool,
    pub(super) rests_until: Option<Boot>,
    pub(super) pair: (Epoch, Generation),
    pub(super) revision: Revision,
    /// The pair is not in the store yet: only what is as new replaces it (R6).
    pub(super) unstored: bool,
}

/// What happened since it was seen. Moments are milliseconds since boot.
#[derive(Debug, Default)]
struct Marks {
    /// Nobody asks the store again before this.
    settled_until: AtomicU64,
    /// Until then introspection's word that the token stands is believed.
    stands_until: AtomicU64,
    /// Pleo is not asked again before this: it was silent.
    silent_until: AtomicU64,
    /// Nobody is asked to refresh again before this.
    asked_until: AtomicU64,
    /// Until then introspection's word that the token is dead is believed.
    dead_until: AtomicU64,
    /// Pleo is not asked before this whose a consent's pair is.
    candidate_at: AtomicU64,
    /// How many jumps there were when the life was last certain.
    sure_in: AtomicU32,
    /// A refresh is about to be sent: new sends wait (R8).
    held: AtomicBool,
    /// A call was served since this pair came: the keeper keeps it fresh.
    used: AtomicBool,
}

impl Entry {
    /// A row as seen at a moment. Lives are counted on the machine's clock from the moment of seeing (R10).
    pub(super) fn of(row: &Connection, revision: Revision, reckoning: Reckoning) -> Self {
        let timing = reckoning.timing;
        let here = |at: Timestamp| timing.boot + timing.now.until(at);
        let forever = Boot(Duration::MAX);
        let from_the_future = (row.access()).is_some_and(|a| a.since > timing.now + CLOCKS_AGREE);
        let sure_in = if from_the_future {
            NEVER_SURE
        } else {
            reckoning.jumps
        };
        let bearer = Bearer::of(row).filter(|_| row.state != State::Disconnected);
        Self {
            state: row.state,
            row: RowMarks {
                reason: row.reason,
                oauth: row.credential == CredentialKind::Oauth,
                rests_until: reckoning.rests_until.map(here),
                pair: (row.epoch, row.generation),
                revision,
                unstored: false,
            },
            bearer,
            alive_until: row.access().map_or(forever, |a| here(a.expires_at)),
            due_at: reckoning.due_at.map_or(forever, here),
            scopes: row.scopes.clone(),
            company: row.company.clone(),
            marks: Marks {
                sure_in: AtomicU32::new(sure_in),
                ..Marks::default()
            },
        }
    }

    /// The bearer, if it still lives.
    pub(super) fn live(&self, now: Boot) -> Option<&Bearer> {
        self.bearer
            .as_ref()
            .filter(|_| now < self.alive_until && !is_before(now, &self.marks.dead_until))
    }

    /// True if the clocks have jumped since the token's life was certain: Pleo is asked before it is used (R10).
    pub(super) fn is_doubtful(&self, jumps: u32) -> bool {
        self.marks.sure_in.load(Ordering::Relaxed) != jumps && self.row.oauth
    }

    /// Pleo was asked about the token, or nothing better can be had.
    pub(super) fn be_sure(&self, jumps: u32) {
        self.marks.sure_in.store(jumps, Ordering::Relaxed);
    }

    /// Introspection refused the token, and its one forced refresh brought no other (R7): nobody tries it for a while.
    pub(super) fn believe_dead(&self, now: Boot) {
        mark(&self.marks.dead_until, now + DEAD_FOR);
    }

    /// Pleo did not say whose a consent's pair is, which has waited for so long: it is asked ever more seldom.
    pub(super) fn leave_candidate(&self, now: Boot, waited: Duration) {
        let pause = (waited / 4).clamp(SILENCE_LASTS, LONGEST_SILENCE);
        mark(&self.marks.candidate_at, now + pause);
    }

    /// Until when a consent's pair is left alone, if it is.
    pub(super) fn candidate_left_until(&self, now: Boot) -> Option<Boot> {
        let at = Boot(Duration::from_millis(
            self.marks.candidate_at.load(Ordering::Relaxed),
        ));
        (now < at).then_some(at)
    }

    /// Marks a use, without a write to a shared cache line where it is marked already.
    pub(super) fn use_it(&self) {
        if !self.marks.used.load(Ordering::Relaxed) {
            self.marks.used.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn is_used(&self) -> bool {
        self.marks.used.load(Ordering::Relaxed)
    }

    /// True for the first who finds that a refresh is due; for another one not before a while has passed.
    pub(super) fn ask_once(&self, now: Boot) -> bool {
        if now < self.due_at || self.row.rests_until.is_some_and(|until| now < until) {
            return false;
        }
        let asked = self.marks.asked_until.load(Ordering::Relaxed);
        millis(now) >= asked
            && self
                .marks
                .asked_until
                .compare_exchange(
                    asked,
                    millis(now + ASK_EVERY),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok()
    }

    pub(super) fn hold(&self, on: bool) {
        self.marks.held.store(on, Ordering::Release);
    }

    pub(super) fn is_held(&self) -> bool {
        self.marks.held.load(Ordering::Acquire)
    }

    /// Lets nobody ask again before `until`: the trouble is known.
    pub(super) fn settle(&self, until: Boot) {
        mark(&self.marks.settled_until, until);
    }

    pub(super) fn is_settled(&self, now: Boot) -> bool {
        is_before(now, &self.marks.settled_until)
    }

    pub(super) fn stand_until(&self, until: Boot) {
        mark(&self.marks.stands_until, until);
    }

    pub(super) fn stands(&self, now: Boot) -> bool {
        is_before(now, &self.marks.stands_until)
    }

    /// Pleo did not answer: it is left alone for a moment.
    pub(super) fn heard_nothing(&self, now: Boot) {
        mark(&self.marks.silent_until, now + SILENCE_LASTS);
    }

    pub(super) fn is_silent(&self, now: Boot) -> bool {
        is_before(now, &self.marks.silent_until)
    }

    /// True if what this entry shows is as new as what `old` shows. Reads overtake one another on their way here.
    pub(super) fn replaces(&self, old: &Self) -> bool {
        if self.row.unstored {
            self.row.pair > old.row.pair
        } else if old.row.unstored {
            self.row.pair >= old.row.pair
        } else {
            self.row.revision >= old.row.revision
        }
    }

    /// Carries over what this process knows better than the row: how long the same pair lives, counted since it was
    /// first seen, whatever was done to the wall clock since (R10); and what has happened with it.
    pub(super) fn succeed(&mut self, old: &Self) {
        if self.row.pair != old.row.pair {
            return;
        }
        let copy = |new: &AtomicU64, old: &AtomicU64| {
            new.store(old.load(Ordering::Relaxed), Ordering::Relaxed);
        };
        copy(&self.marks.asked_until, &old.marks.asked_until);
        copy(&self.marks.silent_until, &old.marks.silent_until);
        copy(&self.marks.stands_until, &old.marks.stands_until);
        copy(&self.marks.candidate_at, &old.marks.candidate_at);
        if self.bearer.is_some() && old.bearer.is_some() {
            self.bearer.clone_from(&old.bearer);
            self.alive_until = old.alive_until;
            self.due_at = old.due_at;
            copy(&self.marks.dead_until, &old.marks.dead_until);
            self.be_sure(old.marks.sure_in.load(Ordering::Relaxed));
            self.marks.used.store(old.is_used(), Ordering::Relaxed);
            self.hold(old.is_held());
        }
    }

    /// Why there is nothing to serve with.
    pub(super) fn trouble(&self, now: Boot) -> ObtainError {
        match self.state {
            State::Pending | State::Disconnected => ObtainError::NotConnected {
                state: Some(self.state),
            },
            State::ReauthorizationRequired => ObtainError::ReauthorizationRequired {
                reason: self.row.reason,
            },
            State::Active | State::Refreshing | State::Uncertain => ObtainError::Unavailable {
                state: self.state,
                retry_after: (self.row.rests_until)
                    .map_or(Duration::ZERO, |until| now.until(until))
                    .max(Duration::from_secs(1)),
            },
        }
    }
}

fn mark(place: &AtomicU64, until: Boot) {
    place.store(millis(until), Ordering::Relaxed);
}

fn is_before(now: Boot, place: &AtomicU64) -> bool {
    millis(now) < place.load(Ordering::Relaxed)
}

fn millis(at: Boot) -> u64 {
    u64::try_from(at.0.as_millis()).unwrap_or(u64::MAX)
}
