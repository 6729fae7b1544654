//! Whether the wall clock and this machine's own clock still agree (design.md R10): they do not after a suspended machine
//! was put back, or somebody set the clock. What follows is not here (`doubt`).

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{Boot, Timestamp};

/// Clocks that are slewed, or read slowly, differ by less.
const TOLERANCE: i64 = 2_000_000;
/// The store's clock often is this machine's: what both tell within this time is one jump.
const ONE_JUMP: Duration = Duration::from_secs(10);

/// Whose wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The store's.
    Store,
    /// This machine's.
    Machine,
}

#[derive(Debug, Default)]
pub(super) struct Jumps {
    count: AtomicU32,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// How far the wall clock is ahead of the time since boot, in microseconds.
    store: Option<i64>,
    machine: Option<i64>,
    last: Option<(Whose, Boot)>,
}

impl Jumps {
    /// How many there were.
    pub(super) fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    /// A wall clock said `now` at some moment between two of this machine's own clock. True if it has jumped.
    pub(super) fn note(&self, whose: Whose, before: Boot, now: Timestamp, after: Boot) -> bool {
        let ahead = |boot: Boot| now.0.saturating_sub(micros(boot));
        let (least, most) = (ahead(after), ahead(before));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let place = match whose {
            Whose::Store => &mut seen.store,
            Whose::Machine => &mut seen.machine,
        };
        let was = place.unwrap_or(least);
        *place = Some(was.max(least).min(most.max(least)));
        let by = if was < least {
            least - was
        } else {
            most.min(was) - was
        };
        if by.abs() <= TOLERANCE {
            return false;
        }
        let told = seen
            .last
            .is_some_and(|(by, at)| by != whose && at.until(after) < ONE_JUMP);
        seen.last = Some((whose, after));
        if !told {
            tracing::warn!(
                seconds = by / 1_000_000,
                "the clock has jumped: tokens are verified before they are used again"
            );
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        !told
    }
}

fn micros(boot: Boot) -> i64 {
    i64::try_from(boot.0.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000_000)
    }

    fn boot(seconds: u64) -> Boot {
        Boot(Duration::from_secs(seconds))
    }

    #[test]
    fn steps_are_jumps_and_slow_reads_and_slewing_are_not() {
        let jumps = Jumps::default();
        let note =
            |before, now, after| jumps.note(Whose::Store, boot(before), at(now), boot(after));
        assert!(!note(10, 1010, 10));
        assert!(!note(20, 1030, 30), "a slow read");
        assert!(!note(40, 1041, 40), "slewing");
        assert!(!note(50, 1052, 50), "more of it");
        assert!(note(60, 4662, 60), "an hour on");
        assert!(!note(61, 4663, 61));
        assert!(note(70, 1072, 70), "and back");
        assert!(note(80, -315_000_000, 80), "ten years back");
        assert_eq!(jumps.count(), 3);
    }

    #[test]
    fn what_both_clocks_tell_is_one_jump() {
        let jumps = Jumps::default();
        for (time, ahead) in [(1, 0), (2, 3600)] {
            for whose in [Whose::Machine, Whose::Store] {
                let now = i64::try_from(time).unwrap() + ahead;
                jumps.note(whose, boot(time), at(now), boot(time));
            }
        }
        assert_eq!(jumps.count(), 1);
    }
}
