//! Clocks that a test can move: the machine's own, and Pleo's.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use pleo_gateway::clock::{Boot, Clock, SystemClock, Timestamp};

/// The machine's clocks, moved on or put back.
#[derive(Debug, Default)]
pub(super) struct Moved {
    both: AtomicI64,
    wall: AtomicI64,
    /// Time that this machine did not see: its own clock stood still.
    frozen: AtomicI64,
    /// When all of them stopped, if they did.
    stopped: OnceLock<(Timestamp, Boot)>,
}

/// Pleo's clock: time passes there too, but nobody's hand reaches it.
#[derive(Debug)]
pub(super) struct Pleos(pub(super) Arc<Moved>);

impl Clock for Pleos {
    fn wall(&self) -> Timestamp {
        Timestamp(self.0.wall().0 - self.0.wall.load(Ordering::SeqCst))
    }

    fn boot(&self) -> Boot {
        self.0.boot()
    }
}

impl Clock for Moved {
    fn wall(&self) -> Timestamp {
        let places = [&self.both, &self.wall, &self.frozen];
        let moved: i64 = places
            .map(|place| place.load(Ordering::SeqCst))
            .iter()
            .sum();
        Timestamp(self.unmoved().0.0 + moved)
    }

    fn boot(&self) -> Boot {
        let moved = u64::try_from(self.both.load(Ordering::SeqCst)).unwrap();
        self.unmoved().1 + Duration::from_micros(moved)
    }
}

impl Moved {
    fn unmoved(&self) -> (Timestamp, Boot) {
        let running = || (SystemClock.wall(), SystemClock.boot());
        self.stopped.get().copied().unwrap_or_else(running)
    }

    /// From now on no time passes but by a hand, however long the machine takes for a test.
    pub(super) fn stop(&self) {
        self.stopped
            .get_or_init(|| (SystemClock.wall(), SystemClock.boot()));
    }

    /// Time passes, on both clocks.
    pub(super) fn pass(&self, span: Duration) {
        let micros = i64::try_from(span.as_micros()).unwrap();
        self.both.fetch_add(micros, Ordering::SeqCst);
    }

    /// Time passes while this machine is put away, and its own clock with it.
    pub(super) fn freeze(&self, span: Duration) {
        let micros = i64::try_from(span.as_micros()).unwrap();
        self.frozen.fetch_add(micros, Ordering::SeqCst);
    }

    /// From now on, or no longer, whoever asks panics.
    pub(super) fn break_down(&self, broken: bool) {
        let far = i64::MAX / 2;
        self.both
            .fetch_add(if broken { -far } else { far }, Ordering::SeqCst);
    }

    /// Somebody sets the wall clock, by seconds.
    pub(super) fn set(&self, seconds: i64) {
        self.wall.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }
}
