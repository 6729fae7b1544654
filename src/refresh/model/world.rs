//! The whole world at one moment: the row, Pleo, the requests on their way, the processes, the clocks. And what makes
//! two moments the same, so that the search ends.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use uuid::Uuid;

use super::faults::Budget;
use super::ghost::{Fate, Loss, Request};
use super::pleo::{Answer, Pleo};
use super::process::{Life, MAX_ATTEMPTS, Phase, Process};
use crate::clock::Timestamp;
use crate::model::connection::{Access, Attempt, Connection, Held, Outcome, State, Verdict};
use crate::model::ids::{AttemptId, TenantName};
use crate::refresh::policy::Policy;
use crate::refresh::{Moment, Standing};
use crate::secret::Secret;

/// The world at one moment.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) row: Connection,
    /// The store's clock.
    pub(super) now: Timestamp,
    /// The time that passes for everybody else.
    pub(super) real: Timestamp,
    pub(super) pleo: Pleo,
    pub(super) requests: Vec<Request>,
    pub(super) processes: Vec<Process>,
    /// Attempts begun so far; their numbers count from zero.
    pub(super) begun: usize,
    pub(super) most_attempts: usize,
    /// Processes may take any time for anything, without being frozen.
    pub(super) dawdles: bool,
    pub(super) budget: Budget,
    /// All processes run on one machine and know each other's locks and salvage.
    pub(super) together: bool,
    /// When pair 0's access token dies of age.
    pub(super) first_dies: Timestamp,
    pub(super) loss: Option<Loss>,
    /// Evidence has proven that generation 0 was taken.
    pub(super) proven: bool,
    /// How often this generation was said to need a person.
    pub(super) told: u8,
}

/// How a world begins: with a row that is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    /// How many seconds the access token still lives.
    pub(super) life_left: u64,
    /// Whether Pleo has accepted it before.
    pub(super) verdict: Verdict,
    pub(super) together: bool,
    pub(super) most_attempts: usize,
    /// Processes may take any time for anything, without being frozen.
    pub(super) dawdles: bool,
    pub(super) budget: Budget,
}

const BEGIN: Timestamp = Timestamp(10_000_000_000);

impl World {
    pub(super) fn new(start: Start) -> Self {
        let Ok(tenant) = TenantName::parse("acme") else {
            unreachable!("the name is good");
        };
        let first_dies = BEGIN + Duration::from_secs(start.life_left);
        let row = Connection {
            state: State::Active,
            held: Held::Pair {
                access: Some(Access {
                    token: Secret::new("access"),
                    since: BEGIN - Duration::from_secs(start.life_left),
                    expires_at: first_dies,
                    life_known: true,
                }),
                refresh: Secret::new("0"),
            },
            verdict: start.verdict,
            ..Connection::pending(tenant)
        };
        Self {
            row,
            now: BEGIN,
            real: BEGIN,
            pleo: Pleo::new(),
            requests: Vec::new(),
            processes: (0..2).map(|slot| Process::start(slot, 0)).collect(),
            begun: 0,
            most_attempts: start.most_attempts,
            dawdles: start.dawdles,
            budget: start.budget,
            together: start.together,
            first_dies,
            loss: None,
            proven: false,
            told: 0,
        }
    }

    /// What this process sees.
    pub(super) fn look<T>(&self, p: usize, see: impl FnOnce(&Connection, &Moment<'_>) -> T) -> T {
        let policy = Policy::default();
        let standing = |attempt: &Attempt| self.standing(p, attempt);
        let moment = Moment {
            now: self.now,
            by: &self.processes[p].owner,
            policy: &policy,
            standing: &standing,
        };
        see(&self.row, &moment)
    }

    fn standing(&self, p: usize, attempt: &Attempt) -> Standing {
        let slot = Process::slot_of(&attempt.owner);
        let owner = &self.processes[slot];
        let gone = owner.owner != attempt.owner || owner.life == Life::Down;
        let number = number_of(attempt.id);
        let machine = self.machine(p);
        let salvaged = self
            .requests
            .iter()
            .any(|r| r.attempt == number && r.salvage == Some(machine));
        let halves = u64::from(self.processes[p].watched[number]);
        Standing {
            dead: gone && machine == self.machine(slot) && !salvaged,
            watched: Duration::from_millis(halves * 500),
        }
    }

    pub(super) fn machine(&self, p: usize) -> usize {
        if self.together { 0 } else { p }
    }

    /// The request of an attempt, if it was sent.
    pub(super) fn request_of(&self, attempt: usize) -> Option<usize> {
        self.requests.iter().position(|r| r.attempt == attempt)
    }

    /// True if somebody has the pair that this request brought, or will have it when it wakes.
    pub(super) fn pair_is_held(&self, request: &Request) -> bool {
        request.waiting == Some(Answer::Pair)
            || request.salvage.is_some()
            || self.processes.iter().any(|p| {
                p.flight
                    .is_some_and(|f| f.attempt == request.attempt && f.phase == Phase::Holding)
            })
    }

    /// Two worlds with the same fingerprint have the same future.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hash = DefaultHasher::new();
        self.hash_row(&mut hash);
        let left = |at: Timestamp| self.real.until(at).as_millis() / 500;
        for request in &self.requests {
            let fate = (request.attempt, request.token, request.fate);
            (fate, request.waiting, request.salvage).hash(&mut hash);
            left(request.deadline).hash(&mut hash);
            left(request.deadline + GRACE).hash(&mut hash);
        }
        for process in &self.processes {
            (&process.owner, process.life, process.flight).hash(&mut hash);
            for attempt in &self.row.attempts {
                process.watched[number_of(attempt.id)].hash(&mut hash);
            }
        }
        left(self.first_dies).hash(&mut hash);
        (self.pleo, self.begun, self.budget).hash(&mut hash);
        (self.loss, self.proven, self.told).hash(&mut hash);
        hash.finish()
    }

    fn hash_row(&self, hash: &mut DefaultHasher) {
        let left = |at: Timestamp| self.now.until(at).as_millis() / 500;
        let since = |at: Option<Timestamp>| at.map(|at| at.until(self.now).as_millis().min(5000));
        let row = &self.row;
        (row.state, row.reason, row.generation, row.failures).hash(hash);
        (row.verdict as u8, row.evidence.applied).hash(hash);
        (
            since(row.evidence.accepted_at),
            since(row.evidence.refused_at),
        )
            .hash(hash);
        row.next_try_at.map(left).hash(hash);
        row.access().map(|a| left(a.expires_at)).hash(hash);
        for attempt in &row.attempts {
            let outcome = attempt.outcome.map(|o| o as u8);
            (number_of(attempt.id), outcome, attempt.oracle).hash(hash);
            (left(attempt.deadline), left(attempt.adopt_until)).hash(hash);
        }
    }

    /// True if nobody knows of anything that is still to come of an attempt.
    pub(super) fn is_quiet(&self) -> bool {
        self.processes
            .iter()
            .all(|p| p.flight.is_none() || p.life != Life::Awake)
            && self.requests.iter().all(|r| r.fate != Fate::Travelling)
    }
}

/// How much longer than its deadline an attempt's answer is waited for.
pub(super) const GRACE: Duration = Duration::from_mins(2);

/// The id of the attempt with this number: its last byte is zero, so that back-off is not spread.
pub(super) fn id_of(number: usize) -> AttemptId {
    AttemptId(Uuid::from_u128((number as u128) << 8))
}

/// The number of the attempt with this id.
pub(super) fn number_of(id: AttemptId) -> usize {
    usize::from(id.0.as_bytes()[14])
}

/// True if this attempt may have left anything to wait for.
pub(super) fn was_perhaps_sent(attempt: &Attempt) -> bool {
    !matches!(
        attempt.outcome,
        Some(Outcome::NotSent | Outcome::NotApplied)
    )
}

const _: () = assert!(MAX_ATTEMPTS < 256);
