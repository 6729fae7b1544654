//! What the tests of this room start from: a row, a process that looks at it, and events in few words. Tests only.

use std::cell::Cell;
use std::time::Duration;

use uuid::Uuid;

use super::policy::Policy;
use super::{Event, Moment, NewPair, PairSource, Refused, Standing, Step, step};
use crate::clock::Timestamp;
use crate::model::connection::{
    Access, Attempt, Candidate, Connection, Held, Outcome, State, Verdict,
};
use crate::model::ids::{AttemptId, CompanyId, Generation, Owner, TenantName};
use crate::secret::Secret;

/// A moment, in seconds.
pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp(0) + Duration::from_secs(seconds)
}

/// An attempt's id.
pub(super) fn id(number: u128) -> AttemptId {
    AttemptId(Uuid::from_u128(number))
}

/// An access token that lives 15 minutes from then.
pub(super) fn access(name: &str, since: u64) -> Access {
    Access {
        token: Secret::new(name),
        since: at(since),
        expires_at: at(since + 900),
        life_known: true,
    }
}

/// An active row with a pair obtained at zero that Pleo has accepted; its access token is due at 720 and dies at 900.
pub(super) fn active() -> Connection {
    let Ok(tenant) = TenantName::parse("acme") else {
        unreachable!("the name is good");
    };
    Connection {
        state: State::Active,
        held: Held::Pair {
            access: Some(access("access-0", 0)),
            refresh: Secret::new("refresh-0"),
        },
        verdict: Verdict::Accepted,
        ..Connection::pending(tenant)
    }
}

/// What a consent for company "one" brought.
pub(super) fn candidate() -> Candidate {
    Candidate {
        access: access("access-c", 720),
        refresh: Secret::new("refresh-c"),
        scopes: None,
        expected_company: Some(CompanyId::new("one")),
        allow_shared_company: false,
        who: "browser".to_owned(),
    }
}

/// A process, its row, and what it knows of the owners.
pub(super) struct Scene {
    pub(super) row: Connection,
    pub(super) now: Timestamp,
    pub(super) by: Owner,
    pub(super) policy: Policy,
    /// What it knows of every owner.
    pub(super) standing: Cell<Standing>,
}

impl Scene {
    /// Attempt 1 was sent at 720 and closed without a pair.
    pub(super) fn uncertain() -> Self {
        let mut scene = Self::new();
        scene.begin(1).unwrap();
        scene.close(1, Outcome::NoPair).unwrap();
        scene
    }

    /// At 720, when the row is due; it has watched every attempt since it began.
    pub(super) fn new() -> Self {
        Self {
            row: active(),
            now: at(720),
            by: Owner::new("p"),
            policy: Policy::default(),
            standing: Cell::new(Standing {
                dead: false,
                watched: Duration::from_hours(1),
            }),
        }
    }

    /// As another process sees it.
    pub(super) fn by(&mut self, owner: &str) -> &mut Self {
        self.by = Owner::new(owner);
        self
    }

    pub(super) fn at(&mut self, seconds: u64) -> &mut Self {
        self.now = at(seconds);
        self
    }

    pub(super) fn knows(&self, dead: bool, watched: u64) {
        let watched = Duration::from_secs(watched);
        self.standing.set(Standing { dead, watched });
    }

    /// Gives the moment to whoever asks.
    pub(super) fn look<T>(&self, see: impl FnOnce(&Connection, &Moment<'_>) -> T) -> T {
        let standing = |_: &Attempt| self.standing.get();
        let moment = Moment {
            now: self.now,
            by: &self.by,
            policy: &self.policy,
            standing: &standing,
        };
        see(&self.row, &moment)
    }

    /// Takes a step; the row changes if it is not refused.
    pub(super) fn take(&mut self, event: &Event) -> Result<Step, Refused> {
        let step = self.look(|row, moment| step(row, event, moment))?;
        self.row = step.row.clone();
        Ok(step)
    }

    pub(super) fn begin(&mut self, number: u128) -> Result<Step, Refused> {
        self.take(&Event::Begin {
            attempt: id(number),
            forced: false,
        })
    }

    pub(super) fn force(&mut self, number: u128) -> Result<Step, Refused> {
        self.take(&Event::Begin {
            attempt: id(number),
            forced: true,
        })
    }

    pub(super) fn close(&mut self, number: u128, outcome: Outcome) -> Result<Step, Refused> {
        self.take(&Event::Close {
            attempt: id(number),
            outcome,
            retry_at: None,
        })
    }

    pub(super) fn pair(&self, number: u128) -> NewPair {
        NewPair {
            attempt: id(number),
            epoch: self.row.epoch,
            generation: self.row.generation,
            access: Access {
                since: self.now,
                expires_at: self.now + Duration::from_mins(15),
                ..access("access-1", 0)
            },
            refresh: Some(Secret::new("refresh-1")),
            scopes: None,
            verified: false,
            source: PairSource::Answer,
        }
    }

    pub(super) fn commit(&mut self, number: u128, verified: bool) -> Result<Step, Refused> {
        let pair = NewPair {
            verified,
            ..self.pair(number)
        };
        self.take(&Event::Commit(Box::new(pair)))
    }

    /// The row turns out to be older than this generation, which was seen before.
    pub(super) fn restored(&mut self, generation: u64) {
        let seen = (self.row.epoch, Generation(generation));
        self.take(&Event::Restored { seen }).unwrap();
    }

    /// Introspection with the token held is answered at once.
    pub(super) fn probed(&mut self, accepted: bool) -> Result<Step, Refused> {
        self.take(&Event::Probed {
            epoch: self.row.epoch,
            generation: self.row.generation,
            sent_at: self.now,
            accepted,
        })
    }
}
