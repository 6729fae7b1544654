//! `[refresh]`, and the times that follow from it.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::model::connection::{Access, Connection};
use crate::model::ids::{AttemptId, Owner};

/// How long after the call's hard timeout an attempt's deadline is (R2).
pub const DEADLINE_MARGIN: Duration = Duration::from_secs(5);
/// How far apart two pieces of evidence have to be (R5).
pub const EVIDENCE_APART: Duration = Duration::from_secs(5);
/// How long a consent's pair whose company cannot be compared keeps the old one from being refreshed, after the consent's
/// own end (R13).
pub const CANDIDATE_HOLDS: Duration = Duration::from_mins(5);
const FIRST_BACK_OFF: Duration = Duration::from_secs(1);
const LONGEST_BACK_OFF: Duration = Duration::from_mins(5);
const LONGEST_STAND_BACK: Duration = Duration::from_secs(2);
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);

/// `[refresh]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Refresh when less life than this is left, never more than half of it.
    pub ahead: Duration,
    /// Over how long after that moment connections are spread, so that a herd does not come at once (R15); see
    /// [`Policy::spread_of`].
    pub spread: Duration,
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
            spread: Duration::ZERO,
            timeout: Duration::from_secs(20),
            adoption_grace: Duration::from_mins(2),
            default_lifetime: Duration::from_mins(5),
            keepalive: Duration::from_hours(24 * 20),
            uncertain: Uncertain::Resolve,
        }
    }
}

impl Policy {
    /// How long due moments may be spread: at most half of `ahead`, and never so long that less than a failed attempt,
    /// the evidence about it and another attempt fit in before the token's expiry.
    pub fn spread_of(ahead: Duration, timeout: Duration) -> Duration {
        ahead.saturating_sub(needed(timeout)).min(ahead / 2)
    }

    /// When a row's access token is due for refresh: when less life than `ahead` is left, never in the first half of
    /// it, and from there on spread by tenant and pair, so that all processes agree. `None` without an access token.
    pub fn due_at(&self, row: &Connection) -> Option<Timestamp> {
        let access = row.access()?;
        let ahead = self.ahead.min(access.life() / 2);
        let spread = self.spread.min(Self::spread_of(ahead, self.timeout));
        Some(access.expires_at - ahead + share(spread, number_of(row, "")))
    }

    /// When an idle connection is due: `keepalive` after it was refreshed last, or up to an eighth earlier.
    pub fn keepalive_at(&self, row: &Connection, now: Timestamp) -> Timestamp {
        let since = row.refreshed_at.or(row.consented_at).unwrap_or(now);
        since + self.keepalive - share(self.keepalive / 8, number_of(row, ""))
    }

    /// How much later than the others this process begins with a row, so that of many replicas one is first.
    pub fn stands_back(&self, row: &Connection, by: &Owner) -> Duration {
        let life = row.access().map_or(Duration::ZERO, Access::life);
        share(
            LONGEST_STAND_BACK.min(life / 100),
            number_of(row, by.as_ref()),
        )
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

/// A whole attempt that fails, what evidence takes, and another attempt.
fn needed(timeout: Duration) -> Duration {
    (timeout + DEADLINE_MARGIN + EVIDENCE_APART) * 2
}

/// A part of a span, by a number that is spread evenly.
fn share(span: Duration, number: u16) -> Duration {
    span.saturating_mul(u32::from(number)) / (1 << 16)
}

/// A number that follows from tenant, pair, and whoever asks (FNV-1a, its bits mixed).
fn number_of(row: &Connection, asker: &str) -> u16 {
    let pair = [row.epoch.0, row.generation.0].map(u64::to_le_bytes);
    let bytes = row
        .tenant
        .as_ref()
        .bytes()
        .chain(pair.into_iter().flatten());
    let hash = bytes
        .chain(asker.bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let mixed = (hash ^ (hash >> 30))
        .wrapping_mul(0xbf58_476d_1ce4_e5b9)
        .to_be_bytes();
    u16::from_be_bytes([mixed[0], mixed[1]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::connection::Held;
    use crate::model::ids::{Generation, TenantName};
    use crate::secret::Secret;

    fn row(tenant: &str, life: u64) -> Connection {
        let access = Access {
            token: Secret::new("a"),
            since: Timestamp(0),
            expires_at: Timestamp(0) + Duration::from_secs(life),
            life_known: true,
        };
        Connection {
            held: Held::Pair {
                access: Some(access),
                refresh: Secret::new("r"),
            },
            ..Connection::pending(TenantName::parse(tenant).unwrap())
        }
    }

    fn seconds(at: Timestamp) -> u64 {
        Timestamp(0).until(at).as_secs()
    }

    /// Requirement 105.
    #[test]
    fn r15_a_herd_is_spread_evenly_and_leaves_time_for_an_attempt_and_another() {
        let policy = Policy {
            spread: Policy::spread_of(Duration::from_mins(3), Duration::from_secs(20)),
            ..Policy::default()
        };
        assert_eq!(policy.spread, Duration::from_secs(90));
        let mut parts = [0_u32; 9];
        for number in 0..9000 {
            let mut row = row(&format!("tenant-{number}"), 900);
            row.generation = Generation(number % 7);
            let due = seconds(policy.due_at(&row).unwrap());
            assert!((720..810).contains(&due), "{due}");
            assert_eq!(policy.due_at(&row), policy.due_at(&row.clone()));
            parts[usize::try_from(due - 720).unwrap() / 10] += 1;
        }
        assert!(
            parts.iter().all(|part| (850..1150).contains(part)),
            "{parts:?}"
        );
        let short = policy.due_at(&row("acme", 100)).unwrap();
        assert_eq!(seconds(short), 50, "there is no time to spread in");
    }

    #[test]
    fn r15_idle_connections_are_spread_and_replicas_do_not_begin_together() {
        let policy = Policy::default();
        let at = |tenant| policy.keepalive_at(&row(tenant, 900), Timestamp(0));
        assert_ne!(at("acme"), at("beta"));
        for tenant in ["acme", "beta", "gamma"] {
            assert!(seconds(at(tenant)) <= policy.keepalive.as_secs());
            assert!(seconds(at(tenant)) >= policy.keepalive.as_secs() / 8 * 7);
        }
        let back = |owner| policy.stands_back(&row("acme", 900), &Owner::new(owner));
        assert_ne!(back("p"), back("q"));
        assert!(back("p") <= LONGEST_STAND_BACK);
    }

    #[test]
    fn a_token_is_refreshed_ahead_but_never_in_its_first_half() {
        let policy = Policy::default();
        let due = |life| seconds(policy.due_at(&row("acme", life)).unwrap());
        assert_eq!((due(900), due(10)), (720, 5));
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

    /// Requirement 101.
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
