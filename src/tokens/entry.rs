//! What this process remembers of a connection: enough to serve a call without the store. No lock, no I/O.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::bearer::Bearer;
use super::{ObtainError, Timing};
use crate::clock::{Boot, Timestamp};
use crate::model::connection::{Connection, State};
use crate::model::ids::{CompanyId, Epoch, Generation};
use crate::model::scope::ScopeSet;

/// One connection as this process last saw it. Immutable but for its marks.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) state: State,
    pub(super) row: RowMarks,
    /// Which pair it is about.
    pub(super) pair: (Epoch, Generation),
    pub(super) bearer: Option<Bearer>,
    /// The bearer's own end, on this machine's clock.
    pub(super) alive_until: Boot,
    /// From when on a refresh is due.
    pub(super) due_at: Boot,
    pub(super) scopes: Option<ScopeSet>,
    pub(super) company: Option<CompanyId>,
    /// Nobody asks the store again before this: milliseconds since boot.
    settled_until: AtomicU64,
    /// Until then introspection's word that the token stands is believed: milliseconds since boot.
    stands_until: AtomicU64,
    /// A refresh is about to be sent: new sends wait (R8).
    held: AtomicBool,
    /// A call was served since this pair came: the keeper keeps it fresh.
    used: AtomicBool,
    /// Somebody has been asked to refresh already.
    asked: AtomicBool,
}

/// What of the row decides errors.
#[derive(Clone, Debug)]
pub(super) struct RowMarks {
    pub(super) reason: Option<crate::model::connection::Reason>,
    pub(super) oauth: bool,
    pub(super) rests_until: Option<Duration>,
}

impl Entry {
    /// A row as seen at `timing`. Lives are counted on the machine's clock from the moment of seeing (R10).
    pub(super) fn of(row: &Connection, timing: Timing, due_at: Option<Timestamp>) -> Self {
        let bearer = if row.state == State::Disconnected {
            None
        } else {
            Bearer::of(row)
        };
        let forever = Boot(Duration::MAX);
        let (alive_until, due) = match row.access() {
            Some(access) => (
                timing.boot + timing.now.until(access.expires_at),
                due_at.map_or(forever, |at| timing.boot + timing.now.until(at)),
            ),
            None => (forever, forever),
        };
        Self {
            state: row.state,
            row: RowMarks {
                reason: row.reason,
                oauth: row.credential == crate::model::connection::CredentialKind::Oauth,
                rests_until: row.next_try_at.map(|at| timing.now.until(at)),
            },
            pair: (row.epoch, row.generation),
            bearer,
            alive_until,
            due_at: due,
            scopes: row.scopes.clone(),
            company: row.company.clone(),
            settled_until: AtomicU64::new(0),
            stands_until: AtomicU64::new(0),
            held: AtomicBool::new(false),
            used: AtomicBool::new(false),
            asked: AtomicBool::new(false),
        }
    }

    /// The bearer, if it still lives.
    pub(super) fn live(&self, now: Boot) -> Option<&Bearer> {
        self.bearer.as_ref().filter(|_| now < self.alive_until)
    }

    /// Marks a use; the store of a shared cache line is saved where it is marked already.
    pub(super) fn use_it(&self) {
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// True for the first who finds that a refresh is due.
    pub(super) fn ask_once(&self, now: Boot) -> bool {
        now >= self.due_at && !self.asked.swap(true, Ordering::Relaxed)
    }

    pub(super) fn hold(&self, on: bool) {
        self.held.store(on, Ordering::Release);
    }

    pub(super) fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    /// Lets nobody ask again before `until`: the trouble is known.
    pub(super) fn settle(&self, until: Boot) {
        self.settled_until.store(millis(until), Ordering::Relaxed);
    }

    pub(super) fn is_settled(&self, now: Boot) -> bool {
        millis(now) < self.settled_until.load(Ordering::Relaxed)
    }

    pub(super) fn stand_until(&self, until: Boot) {
        self.stands_until.store(millis(until), Ordering::Relaxed);
    }

    pub(super) fn stands(&self, now: Boot) -> bool {
        millis(now) < self.stands_until.load(Ordering::Relaxed)
    }

    /// Carries over what this process knows better than the row: an earlier end for the same pair, and that it is used.
    pub(super) fn succeed(&mut self, old: &Self) {
        let same = match (&self.bearer, &old.bearer) {
            (Some(new), Some(old)) => !old.is_older_than(new) && !new.is_older_than(old),
            _ => false,
        };
        if same {
            self.alive_until = self.alive_until.min(old.alive_until);
            self.used.store(old.is_used(), Ordering::Relaxed);
            self.hold(old.is_held());
        }
    }

    /// Why there is nothing to serve with.
    pub(super) fn trouble(&self) -> ObtainError {
        match self.state {
            State::Pending | State::Disconnected => ObtainError::NotConnected {
                state: Some(self.state),
            },
            State::ReauthorizationRequired => ObtainError::ReauthorizationRequired {
                reason: self.row.reason,
            },
            State::Active | State::Refreshing | State::Uncertain => ObtainError::Unavailable {
                state: self.state,
                retry_after: self
                    .row
                    .rests_until
                    .unwrap_or(Duration::from_secs(1))
                    .max(Duration::from_secs(1)),
            },
        }
    }
}

fn millis(at: Boot) -> u64 {
    u64::try_from(at.0.as_millis()).unwrap_or(u64::MAX)
}
