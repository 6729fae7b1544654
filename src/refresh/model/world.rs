//! The whole world at one moment: the row, Pleo, the requests on their way, the processes, the people, the clocks.

use std::time::Duration;

use uuid::Uuid;

use super::faults::Budget;
use super::ghost::{Fate, Loss, Request};
use super::pleo::{Answer, Pleo, Token};
use super::process::{Consent, Life, MAX_ATTEMPTS, Phase, Process};
use crate::clock::Timestamp;
use crate::model::connection::{Access, Attempt, Connection, Held, Outcome, State, Verdict};
use crate::model::ids::{AttemptId, Owner, TenantName};
use crate::refresh::policy::{Policy, Uncertain};
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
    /// Pleo answers nothing at all.
    pub(super) silent: bool,
    pub(super) requests: Vec<Request>,
    pub(super) processes: Vec<Process>,
    pub(super) consent: Option<Consent>,
    pub(super) start: Start,
    /// How many attempts may still begin; [`WITHOUT_END`] for any number.
    pub(super) attempts_left: u8,
    pub(super) budget: Budget,
    /// When the access token of the first pair dies, at Pleo.
    pub(super) first_dies: Timestamp,
    /// What excuses the end of the authorisation held.
    pub(super) loss: Option<Loss>,
    /// Evidence has proven that the token held was taken.
    pub(super) proven: bool,
    /// How often this generation was said to need a person.
    pub(super) told: u8,
    /// A forced refresh of this generation was sent.
    pub(super) forced: bool,
}

/// How a world begins: with a row that is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    /// How many seconds the access token still lives.
    pub(super) life_left: u64,
    /// Whether Pleo has accepted it before.
    pub(super) verdict: Verdict,
    /// Which machine each process runs on; those of one machine know each other's locks and salvage.
    pub(super) machines: &'static [usize],
    pub(super) uncertain: Uncertain,
    pub(super) attempts: u8,
    /// Processes may take any time for anything, without being frozen.
    pub(super) dawdles: bool,
    pub(super) budget: Budget,
}

/// So many attempts as ever.
pub(super) const WITHOUT_END: u8 = u8::MAX;

const BEGIN: Timestamp = Timestamp(10_000_000_000);

impl World {
    pub(super) fn new(start: Start) -> Self {
        Self {
            row: first_row(&start),
            now: BEGIN,
            real: BEGIN,
            pleo: Pleo::new(),
            silent: false,
            requests: Vec::new(),
            processes: (0..start.machines.len())
                .map(|slot| Process::start(slot, 0))
                .collect(),
            consent: None,
            attempts_left: start.attempts,
            budget: start.budget,
            first_dies: BEGIN + Duration::from_secs(start.life_left),
            loss: None,
            proven: false,
            told: 0,
            forced: false,
            start,
        }
    }

    /// What this process sees.
    pub(super) fn look<T>(&self, p: usize, see: impl FnOnce(&Connection, &Moment<'_>) -> T) -> T {
        let policy = Policy {
            uncertain: self.start.uncertain,
            ..Policy::default()
        };
        let standing = |attempt: &Attempt| self.standing(p, attempt);
        let moment = Moment {
            now: self.now,
            by: &self.processes[p].owner,
            policy: &policy,
            standing: &standing,
        };
        see(&self.row, &moment)
    }

    pub(super) fn standing(&self, p: usize, attempt: &Attempt) -> Standing {
        let slot = Process::slot_of(&attempt.owner);
        let number = number_of(attempt.id);
        let machine = self.machine(p);
        let salvaged = self
            .requests
            .iter()
            .any(|r| r.attempt == number && r.salvage == Some(machine));
        let halves = u64::from(self.processes[p].watched[number]);
        Standing {
            dead: self.is_gone(&attempt.owner) && machine == self.machine(slot) && !salvaged,
            watched: Duration::from_millis(halves * 500),
        }
    }

    /// True if this process runs no more.
    pub(super) fn is_gone(&self, owner: &Owner) -> bool {
        let process = &self.processes[Process::slot_of(owner)];
        process.owner != *owner || process.life == Life::Down
    }

    pub(super) fn machine(&self, p: usize) -> usize {
        self.start.machines[p]
    }

    /// The pair that the row holds, if any.
    pub(super) fn held(&self) -> Option<Token> {
        self.row
            .refresh_token()
            .and_then(|token| Token::read(token.expose()))
    }

    /// The request of an attempt, if it was sent.
    pub(super) fn request_of(&self, attempt: usize) -> Option<usize> {
        self.requests.iter().position(|r| r.attempt == attempt)
    }

    /// True if a process that carries out this attempt has come that far with it.
    pub(super) fn is_carried_out(&self, attempt: usize, phase: Phase) -> bool {
        self.processes.iter().any(|p| {
            p.flight
                .is_some_and(|f| f.attempt == attempt && f.phase == phase)
        })
    }

    /// True if somebody has the pair that this request brought, or will have it when it wakes.
    pub(super) fn pair_is_held(&self, request: &Request) -> bool {
        matches!(request.waiting, Some(Answer::Pair(_)))
            || request.salvage.is_some()
            || self.is_carried_out(request.attempt, Phase::Holding)
    }

    /// True if this request presents what the row holds now.
    pub(super) fn is_of_held(&self, request: &Request) -> bool {
        request.held_as == (self.row.epoch.0, self.row.generation.0)
    }

    /// True if the customer ended what the row holds.
    pub(super) fn held_has_ended(&self) -> bool {
        self.held()
            .is_some_and(|token| self.pleo.has_ended(token.grant))
    }

    /// A number that no attempt has which anybody remembers.
    pub(super) fn free_number(&self) -> Option<usize> {
        (0..MAX_ATTEMPTS).find(|n| {
            !self.row.attempts.iter().any(|a| number_of(a.id) == *n)
                && self.request_of(*n).is_none()
                && !self
                    .processes
                    .iter()
                    .any(|p| p.flight.is_some_and(|f| f.attempt == *n))
        })
    }

    /// Forgets requests of which nothing is to come, once nobody asks how long ago they were.
    pub(super) fn forget_requests(&mut self) {
        let over: Vec<usize> = self
            .requests
            .iter()
            .filter(|r| {
                r.fate != Fate::Travelling
                    && r.waiting.is_none()
                    && r.salvage.is_none()
                    && self.real >= r.deadline + GRACE
                    && !self
                        .processes
                        .iter()
                        .any(|p| p.flight.is_some_and(|f| f.attempt == r.attempt))
            })
            .map(|r| r.attempt)
            .collect();
        self.requests.retain(|r| !over.contains(&r.attempt));
    }

    /// True if nobody knows of anything that is still to come of an attempt.
    pub(super) fn is_quiet(&self) -> bool {
        self.processes
            .iter()
            .all(|p| p.flight.is_none() || p.life != Life::Awake)
            && self.requests.iter().all(|r| r.fate != Fate::Travelling)
    }
}

/// The row that a world begins with.
pub(super) fn first_row(start: &Start) -> Connection {
    let Ok(tenant) = TenantName::parse("acme") else {
        unreachable!("the name is good");
    };
    let life = Duration::from_secs(start.life_left);
    Connection {
        state: State::Active,
        held: Held::Pair {
            access: Some(Access {
                token: Secret::new("access"),
                since: BEGIN - life,
                expires_at: BEGIN + life,
                life_known: true,
            }),
            refresh: Secret::new(Token { grant: 0, pair: 0 }.text()),
        },
        verdict: start.verdict,
        ..Connection::pending(tenant)
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
