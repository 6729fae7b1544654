//! `[refresh]`, and the times that follow from it.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::model::connection::Access;
use crate::model::ids::AttemptId;

/// How long after the call's hard timeout an attempt's deadline is (R2).
pub const DEADLINE_MARGIN: Duration = Duration::from_secs(5);
/// How far apart two pieces of evidence have to be (R5).
pub const EVIDENCE_APART: Duration = Duration::from_secs(5);
const FIRST_BACK_OFF: Duration = Duration::from_secs(1);
const LONGEST_BACK_OFF: Duration = Duration::from_mins(5);
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);

/// `[refresh]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Refresh when less life than this is left, never more than half of it.
    pub ahead: Duration,
    /// Of one call to the token endpoint.
    pub timeout: Duration,
    /// How long a silent owner's answer is waited for after the deadline.
    pub adoption_grace: Duration,
    /// Of an access token whose `expires_in` is missing or makes no sense.
    pub default_lifetime: Duration,
    /// An idle connection is refreshed at least this often.
    pub keepalive: Duration,
    /// What to do when evidence cannot decide.
    pub uncertain: Uncertain,
}

/// What to do when evidence cannot decide an uncertain refresh (R5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uncertain {
    /// Present the token again, as R5 allows.
    Resolve,
    /// Wait for `connections resolve`.
    Park,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            ahead: Duration::from_mins(3),
            timeout: Duration::from_secs(20),
            adoption_grace: Duration::from_mins(2),
            default_lifetime: Duration::from_mins(5),
            keepalive: Duration::from_hours(24 * 20),
            uncertain: Uncertain::Resolve,
        }
    }
}

impl Policy {
    /// When an access token is due for refresh.
    pub fn due_at(&self, access: &Access) -> Timestamp {
        access.expires_at - self.ahead.min(access.life() / 2)
    }

    /// The last moment at which introspection with this token still proves something: well before its expiry.
    pub fn oracle_until(access: &Access) -> Timestamp {
        access.expires_at - Duration::from_secs(10).min(access.life() / 10)
    }

    /// The moment of the next try after `failures` in a row: doubled each time, spread by the attempt's own id so that
    /// many connections do not come back together.
    pub(crate) fn next_try(
        failures: u32,
        attempt: AttemptId,
        retry_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Timestamp {
        let doubled = FIRST_BACK_OFF
            .saturating_mul(1 << failures.saturating_sub(1).min(10))
            .min(LONGEST_BACK_OFF);
        let spread = u32::from(attempt.0.as_bytes()[15]);
        let spaced = doubled / 2 + doubled.saturating_mul(spread) / 512;
        let own = now + spaced;
        retry_at.map_or(own, |at| at.clamp(own, now + LONGEST_RETRY_AFTER))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn access(life: u64) -> Access {
        Access {
            token: Secret::new("a"),
            since: Timestamp(0),
            expires_at: Timestamp(0) + Duration::from_secs(life),
            life_known: true,
        }
    }

    #[test]
    fn a_token_is_refreshed_ahead_but_never_in_its_first_half() {
        let policy = Policy::default();
        assert_eq!(
            policy.due_at(&access(900)),
            Timestamp(0) + Duration::from_mins(12)
        );
        assert_eq!(
            policy.due_at(&access(10)),
            Timestamp(0) + Duration::from_secs(5)
        );
    }

    #[test]
    fn back_off_grows_and_stays_bounded() {
        let id = AttemptId::make();
        let wait =
            |failures| Timestamp(0).until(Policy::next_try(failures, id, None, Timestamp(0)));
        assert!(wait(1) <= Duration::from_secs(1));
        assert!(wait(4) >= Duration::from_secs(4));
        assert!(wait(60) <= LONGEST_BACK_OFF);
    }

    #[test]
    fn retry_after_is_obeyed_within_an_hour() {
        let id = AttemptId::make();
        let asked = |s| {
            Policy::next_try(
                1,
                id,
                Some(Timestamp(0) + Duration::from_secs(s)),
                Timestamp(0),
            )
        };
        assert_eq!(asked(30), Timestamp(0) + Duration::from_secs(30));
        assert_eq!(asked(1_000_000), Timestamp(0) + Duration::from_hours(1));
    }
}
