//! The OAuth client's circuit breaker (design.md R4): Pleo refused *us*, which is an operator's fault and no connection's.
//! While it is open no tenant is refreshed, so that a wrong secret is not tried once per tenant.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Boot;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<Refusals>);

#[derive(Debug, Default)]
struct Refusals {
    in_a_row: u32,
    open_until: Option<Boot>,
}

impl Breaker {
    /// How long nothing is sent yet; `None` if it is closed, or the time for one more try has come.
    pub(super) fn pause(&self, now: Boot) -> Option<Duration> {
        let mut refusals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = now.until(refusals.open_until?);
        if left.is_zero() {
            // One goes ahead; the others wait for what it finds out.
            refusals.open_until = Some(now + pause_after(refusals.in_a_row));
            return None;
        }
        Some(left)
    }

    /// True while nothing is sent.
    pub(super) fn is_open(&self, now: Boot) -> bool {
        let refusals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.open_until.is_some_and(|until| now < until)
    }

    /// Pleo refused the client.
    pub(super) fn open(&self, now: Boot) {
        let mut refusals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.in_a_row = refusals.in_a_row.saturating_add(1);
        refusals.open_until = Some(now + pause_after(refusals.in_a_row));
    }

    /// Pleo answered us as a client that it knows.
    pub(super) fn close(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Refusals::default();
    }
}

fn pause_after(in_a_row: u32) -> Duration {
    FIRST_PAUSE
        .saturating_mul(1 << in_a_row.saturating_sub(1).min(10))
        .min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requirement 100.
    #[test]
    fn an_open_breaker_lets_one_try_through_when_its_time_has_come() {
        let at = |s| Boot(Duration::from_secs(s));
        let breaker = Breaker::default();
        assert_eq!(breaker.pause(at(0)), None);
        breaker.open(at(0));
        assert_eq!(breaker.pause(at(0)), Some(Duration::from_secs(1)));
        assert_eq!(breaker.pause(at(1)), None, "one goes ahead");
        assert!(breaker.pause(at(1)).is_some(), "the others wait");
        breaker.open(at(1));
        assert_eq!(breaker.pause(at(1)), Some(Duration::from_secs(2)));
        breaker.close();
        assert_eq!(breaker.pause(at(1)), None);
    }
}
