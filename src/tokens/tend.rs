//! What a flight does: everything that a tenant's row asks for now, until the row rests.

use std::sync::Arc;
use std::time::Duration;

use super::acting;
use super::entry::Entry;
use super::flight::Seat;
use super::rows::ChangeError;
use super::{House, ObtainError, Timing};
use crate::clock::Timestamp;
use crate::model::connection::{Connection, CredentialKind, Held, Reason, State};
use crate::model::ids::{Generation, TenantName};
use crate::pleo::introspect::{Credential, Identity, Probe};
use crate::refresh::next::{Next, apart_from_consent, next, rests_until};
use crate::refresh::{Event, Refused};
use crate::telemetry::chain::chain;

/// How long one question to introspection may take.
pub(super) const PROBE_LIMIT: Duration = Duration::from_secs(5);
/// How often another process's attempt is looked at while somebody waits for it.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Why a flight was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    /// Whatever the row asks for.
    Due,
    /// Introspection refused the token of this generation (R7).
    Forced(Generation),
    /// An operator asked for a refresh of this generation.
    Operator(Generation),
    /// Calls wait to know the scopes or the company.
    Learn,
}

/// How a flight landed.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tended {
    /// What this process shows is as good as it gets for now.
    Settled,
    /// It could not even be looked at.
    Failed(ObtainError),
}

impl Purpose {
    /// A call that finds a bearer and still has to wait may wait to know the company.
    pub(super) fn of_wait(entry: Option<&Entry>) -> Self {
        match entry {
            Some(entry) if entry.bearer.is_some() && entry.row.oauth => Self::Learn,
            Some(_) | None => Self::Due,
        }
    }
}

impl House {
    /// Joins the tenant's flight, whatever it was started for, or starts one for `purpose`.
    pub(super) fn board(self: &Arc<Self>, tenant: &TenantName, purpose: Purpose) -> Seat<Tended> {
        let house = self.clone();
        let tenant = tenant.clone();
        self.flights.board(&tenant.clone(), move || {
            acting::handed_on(async move {
                let landed = house.tend(&tenant, purpose).await;
                house.release(&tenant);
                landed
            })
        })
    }

    async fn tend(self: &Arc<Self>, tenant: &TenantName, purpose: Purpose) -> Tended {
        loop {
            let (seen, timing) = match self.look(tenant).await {
                Ok(seen) => seen,
                Err(error) => {
                    self.metrics.store_failed("read");
                    tracing::warn!(%tenant, error = chain(&error), "the store cannot be read");
                    return Tended::Failed(ObtainError::StoreUnavailable);
                }
            };
            let Some(row) = seen.row else {
                self.cache.invalidate(tenant);
                return Tended::Failed(ObtainError::NotConnected { state: None });
            };
            self.show(&row, seen.revision, timing);
            if self.is_unstored(tenant) {
                // R6: no further refresh until its pair is stored.
                return Tended::Settled;
            }
            match self.tend_once(&row, timing, purpose).await {
                Ok(Round::Again) => {}
                Ok(Round::Rests) => {
                    self.settle(tenant);
                    return Tended::Settled;
                }
                Err(error) => return self.landed_badly(tenant, &error),
            }
        }
    }

    async fn tend_once(
        self: &Arc<Self>,
        row: &Connection,
        timing: Timing,
        purpose: Purpose,
    ) -> Result<Round, ChangeError> {
        let tenant = &row.tenant;
        let is_restored = row.reason == Some(Reason::Restored);
        if (is_restored || matches!(row.state, State::Refreshing | State::Uncertain))
            && (self.drain_salvage_of(tenant).await || self.put_back(row).await)
        {
            return Ok(Round::Again);
        }
        if self.may_force(row, purpose) {
            let forced = matches!(purpose, Purpose::Forced(_));
            return match self.attempt(row, forced).await {
                Err(ChangeError::Refused(Refused::AlreadyForced)) => Ok(Round::Rests),
                done => done,
            };
        }
        match self.asked(row, timing) {
            Next::Refresh if self.tasks.is_stopping() => Ok(Round::Rests),
            Next::Refresh => self.attempt(row, false).await,
            Next::TakeOver => moved(self.apply(tenant, &Event::Overdue).await),
            Next::GiveUpAnswer => moved(self.apply(tenant, &Event::GiveUpAnswer).await),
            Next::Probe => self.probe(row).await,
            Next::Verify => self
                .verify_candidate(row, timing)
                .await
                .map(|()| Round::Again),
            Next::Rest(_) if self.is_doubtful(tenant) => self.verify_life(row, timing).await,
            Next::Rest(_) if has_to_learn(row, timing, purpose) => {
                if self.learn(row).await? == Lesson::Refused {
                    self.replace_refused(row, timing).await
                } else {
                    Ok(Round::Rests)
                }
            }
            Next::Rest(until) => self.rest(row, until).await,
        }
    }

    /// What the row asks for. Whether a pair that this process knows is due, its own clock decides (R10): a hand on the
    /// wall clock makes nothing due, and nothing wait.
    pub(super) fn asked(&self, row: &Connection, timing: Timing) -> Next {
        let standing = |attempt: &_| self.standing(attempt, timing);
        let moment = self.moment(timing, &standing);
        let pair = (row.epoch, row.generation);
        let known = (self.cache.get(&row.tenant)).filter(|entry| entry.row.pair == pair);
        let left = known
            .as_ref()
            .and_then(|e| e.candidate_left_until(timing.boot));
        let asked = match left {
            Some(_) => apart_from_consent(row, &moment),
            None => next(row, &moment),
        };
        let is_plain = row.state == State::Active && row.credential == CredentialKind::Oauth;
        let (Some(entry), Some(due)) = (known.filter(|_| is_plain), self.policy.due_at(row)) else {
            return asked;
        };
        let is_due = timing.boot >= entry.due_at;
        match asked {
            Next::Refresh if !is_due => {
                Next::Rest(Some(timing.now + timing.boot.until(entry.due_at)))
            }
            Next::Rest(_) if is_due && timing.now < due && rests_until(row, &moment).is_none() => {
                Next::Refresh
            }
            asked => asked,
        }
    }

    /// True if a refresh was asked for that the row does not ask for by itself.
    fn may_force(&self, row: &Connection, purpose: Purpose) -> bool {
        match purpose {
            Purpose::Forced(generation) | Purpose::Operator(generation) => {
                row.generation == generation
                    && row.state == State::Active
                    && !self.tasks.is_stopping()
            }
            Purpose::Due | Purpose::Learn => false,
        }
    }

    /// What an import left out is learned with the first access token there is, before anybody is served with it.
    pub(super) async fn learn_what_is_missing(
        &self,
        tenant: &TenantName,
    ) -> Result<Round, ChangeError> {
        let (seen, timing) = self.look(tenant).await.map_err(ChangeError::Store)?;
        match seen.row {
            Some(row) if has_to_learn(&row, timing, Purpose::Learn) => {
                self.learn(&row).await.map(|_| Round::Rests)
            }
            Some(_) | None => Ok(Round::Rests),
        }
    }

    /// Asks introspection whose the credential is and what was granted.
    async fn learn(&self, row: &Connection) -> Result<Lesson, ChangeError> {
        match self.ask_unless_silent(row).await {
            Some(Probe::Accepted(identity)) => {
                (self.note_identity(row, identity).await).map(|_| Lesson::Over)
            }
            Some(Probe::Refused) => Ok(Lesson::Refused),
            Some(Probe::Silent(_)) | None => Ok(Lesson::Over),
        }
    }

    /// Writes down what Pleo says of the row's credential.
    pub(super) async fn note_identity(
        &self,
        row: &Connection,
        identity: Identity,
    ) -> Result<Connection, ChangeError> {
        let event = Event::Learn {
            epoch: row.epoch,
            generation: row.generation,
            company: identity.company,
            scopes: identity.scopes,
        };
        self.apply(&row.tenant, &event).await
    }

    /// Writes down whether Pleo accepts the row's access token, asked no earlier than `timing`.
    pub(super) async fn note_probe(
        &self,
        row: &Connection,
        timing: Timing,
        accepted: bool,
    ) -> Result<Connection, ChangeError> {
        let event = Event::Probed {
            epoch: row.epoch,
            generation: row.generation,
            sent_at: timing.now,
            accepted,
        };
        self.apply(&row.tenant, &event).await
    }

    pub(super) async fn ask_introspection(&self, row: &Connection) -> Option<Probe> {
        let credential = credential_of(row)?;
        Some(self.pleo.who_am_i(credential, PROBE_LIMIT).await)
    }

    /// Asks, unless Pleo gave no answer a moment ago: an outage of Pleo is no reason to flood it.
    async fn ask_unless_silent(&self, row: &Connection) -> Option<Probe> {
        let entry = self.cache.get(&row.tenant);
        if (entry.as_ref()).is_some_and(|entry| entry.is_silent(self.clock.boot())) {
            return None;
        }
        let probe = self.ask_introspection(row).await;
        if let (Some(Probe::Silent(_)), Some(entry)) = (&probe, self.cache.get(&row.tenant)) {
            entry.heard_nothing(self.clock.boot());
        }
        probe
    }

    async fn probe(&self, row: &Connection) -> Result<Round, ChangeError> {
        let (_, timing) = self.look(&row.tenant).await.map_err(ChangeError::Store)?;
        let accepted = match self.ask_unless_silent(row).await {
            Some(Probe::Accepted(_)) => true,
            Some(Probe::Refused) => false,
            Some(Probe::Silent(_)) | None => return Ok(Round::Rests),
        };
        let before = row.state;
        let noted = self.note_probe(row, timing, accepted).await;
        moved(noted.and_then(|row| {
            if row.state == before {
                Err(ChangeError::Refused(Refused::Busy))
            } else {
                Ok(row)
            }
        }))
    }

    /// Nothing to do now: land, unless somebody waits for an attempt of another process that may end any moment.
    async fn rest(&self, row: &Connection, until: Option<Timestamp>) -> Result<Round, ChangeError> {
        let alive = (self.cache.get(&row.tenant))
            .is_some_and(|entry| entry.live(self.clock.boot()).is_some());
        let elsewhere = row.state == State::Refreshing && until.is_some();
        if elsewhere && !alive && !self.tasks.is_stopping() {
            tokio::time::sleep(LOOK_EVERY).await;
            return Ok(Round::Again);
        }
        Ok(Round::Rests)
    }

    /// Lets nobody ask again for a moment where there is nothing to serve with: errors are shared, not repeated (R12).
    fn settle(&self, tenant: &TenantName) {
        let now = self.clock.boot();
        if let Some(entry) = self
            .cache
            .get(tenant)
            .filter(|entry| entry.live(now).is_none())
        {
            let pause = Duration::from_millis(if entry.state == State::ReauthorizationRequired {
                1000
            } else {
                250
            });
            entry.settle(now + pause);
        }
    }

    /// R8: a refresh is about to be sent, and new sends wait.
    pub(super) fn hold(&self, tenant: &TenantName) {
        if let Some(entry) = self.cache.get(tenant).filter(|_| !self.hold.is_zero()) {
            entry.hold(true);
        }
    }

    pub(super) fn is_unstored(&self, tenant: &TenantName) -> bool {
        (self.cache.get(tenant)).is_some_and(|entry| entry.row.unstored)
    }

    pub(super) fn release(&self, tenant: &TenantName) {
        if let Some(entry) = self.cache.get(tenant) {
            entry.hold(false);
        }
    }

    fn landed_badly(&self, tenant: &TenantName, error: &ChangeError) -> Tended {
        match error {
            ChangeError::Refused(_) => Tended::Settled,
            ChangeError::Taken(taken) => {
                tracing::error!(%tenant, %taken, "two tenants on one company: disconnect one, or allow it");
                Tended::Settled
            }
            ChangeError::Store(cause) => {
                self.metrics.store_failed("write");
                tracing::warn!(%tenant, error = chain(cause), "the store cannot be written");
                Tended::Failed(ObtainError::StoreUnavailable)
            }
        }
    }
}

/// What this row's calls bear.
pub(super) fn credential_of(row: &Connection) -> Option<Credential<'_>> {
    match &row.held {
        Held::Pair { access, .. } => Some(Credential::Bearer(&access.as_ref()?.token)),
        Held::Key(key) => Some(Credential::Key(key)),
        Held::Nothing => None,
    }
}

/// What follows after one thing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// Look at the row again.
    Again,
    /// Nothing more for now.
    Rests,
}

/// What came of asking whose a credential is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lesson {
    /// It is written down, or nobody could tell.
    Over,
    /// Pleo refuses the credential.
    Refused,
}

/// True if calls wait for what introspection can tell.
fn has_to_learn(row: &Connection, timing: Timing, purpose: Purpose) -> bool {
    let alive = (row.access()).is_some_and(|access| timing.now < access.expires_at);
    let unknown = row.scopes.is_none() || (row.company.is_none() && purpose == Purpose::Learn);
    alive && unknown
}

/// After a step that moved the row, it is looked at again; one that lost a race against another process waits for the
/// keeper's next look.
fn moved(applied: Result<Connection, ChangeError>) -> Result<Round, ChangeError> {
    match applied {
        Ok(_) => Ok(Round::Again),
        Err(ChangeError::Refused(_)) => Ok(Round::Rests),
        Err(error) => Err(error),
    }
}
