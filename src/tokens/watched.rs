//! For how long this process has watched each attempt, on its own clock (design.md R2).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Boot;
use crate::model::connection::Attempt;
use crate::model::ids::AttemptId;

/// No attempt is of interest for that long; one that still is in its row is watched anew.
const REMEMBERED: Duration = Duration::from_hours(24);
/// So many attempts are remembered before the old ones are looked for.
const MANY: usize = 1024;

/// A longer time without a read that succeeded is no watching: it starts anew.
const LONGEST_GAP: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub(super) struct Watched(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    last_read: Option<Boot>,
    first: HashMap<AttemptId, Boot>,
    /// How many there may be before the old ones are looked for again.
    looked_through_at: usize,
}

impl Watched {
    /// A read of the store that was asked for at `now` succeeded.
    pub(super) fn beat(&self, now: Boot) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .beat(now);
    }

    /// A read that succeeded, between `asked` and `answered`, showed these attempts.
    pub(super) fn note(&self, attempts: &[Attempt], asked: Boot, answered: Boot) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.beat(asked);
        for attempt in attempts {
            seen.first.entry(attempt.id).or_insert(answered);
        }
    }

    /// Time since the first read that showed it; zero if none did.
    pub(super) fn for_how_long(&self, attempt: &Attempt, now: Boot) -> Duration {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.first
            .get(&attempt.id)
            .map_or(Duration::ZERO, |at| at.until(now))
    }
}

impl Seen {
    fn beat(&mut self, now: Boot) {
        if self
            .last_read
            .is_some_and(|last| last.until(now) > LONGEST_GAP)
        {
            self.first.clear();
        }
        self.last_read = Some(now);
        if self.first.len() >= self.looked_through_at.max(MANY) {
            self.first.retain(|_, since| since.until(now) < REMEMBERED);
            self.looked_through_at = self.first.len() * 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::model::ids::Owner;

    #[test]
    fn an_outage_of_the_store_starts_the_watching_anew() {
        let at = |s| Boot(Duration::from_secs(s));
        let attempt = Attempt {
            id: AttemptId::make(),
            owner: Owner::make(),
            begun_at: Timestamp(0),
            deadline: Timestamp(1),
            adopt_until: Timestamp(2),
            forced: false,
            oracle: false,
            outcome: None,
        };
        let watched = Watched::default();
        watched.note(std::slice::from_ref(&attempt), at(9), at(10));
        watched.beat(at(11));
        watched.beat(at(12));
        assert_eq!(
            watched.for_how_long(&attempt, at(12)),
            Duration::from_secs(2)
        );
        watched.note(std::slice::from_ref(&attempt), at(60), at(60));
        assert_eq!(watched.for_how_long(&attempt, at(60)), Duration::ZERO);
    }
}
