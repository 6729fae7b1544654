//! What this process remembers of a connection: enough to serve a call without the store. No lock, no I/O.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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

/// One connection as this process last saw it. Immutable but for its marks.
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
    /// A refresh is about to be sent: new sends wait (R8).
    held: AtomicBool,
    /// A call was served since this pair came: the keeper keeps it fresh.
    used: AtomicBool,
}

impl Entry {
    /// A row as seen at `timing`. Lives are counted on the machine's clock from the moment of seeing (R10).
    pub(super) fn of(
        row: &Connection,
        revision: Revision,
        timing: Timing,
        due_at: Option<Timestamp>,
    ) -> Self {
        let here = |at: Timestamp| timing.boot + timing.now.until(at);
        let forever = Boot(Duration::MAX);
        let bearer = Bearer::of(row).filter(|_| row.state != State::Disconnected);
        Self {
            state: row.state,
            row: RowMarks {
                reason: row.reason,
                oauth: row.credential == CredentialKind::Oauth,
                rests_until: row.next_try_at.map(here),
                pair: (row.epoch, row.generation),
                revision,
                unstored: false,
            },
            bearer,
            alive_until: row.access().map_or(forever, |a| here(a.expires_at)),
            due_at: due_at.map_or(forever, here),
            scopes: row.scopes.clone(),
            company: row.company.clone(),
            marks: Marks::default(),
        }
    }

    /// The bearer, if it still lives.
    pub(super) fn live(&self, now: Boot) -> Option<&Bearer> {
        self.bearer.as_ref().filter(|_| now < self.alive_until)
    }

    /// Marks a use; the store of a shared cache line is saved where it is marked already.
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

    /// Carries over what this process knows better than the row: an earlier end for the same pair, and what has
    /// happened with it.
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
        if self.bearer.is_some() && old.bearer.is_some() {
            self.alive_until = self.alive_until.min(old.alive_until);
            self.due_at = self.due_at.min(old.due_at);
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
