//! The keeper: notices what other processes changed, refreshes connections in use ahead of expiry and idle ones now and
//! then, and brings uncertain ones to an end (design.md R5, R15). All it does is start flights.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::jumps::Whose;
use super::tend::Purpose;
use super::{House, Timing, Tokens};
use crate::clock::Boot;
use crate::model::connection::{Connection, State};
use crate::model::ids::TenantName;
use crate::refresh::next::Next;
use crate::store::{Revision, StoreError};
use crate::telemetry::chain::chain;

/// How often a row is looked at that another process works on: this is the watching of R2.
const WATCH: Duration = Duration::from_millis(500);
/// How often salvage is looked through for what could not be stored before.
const DRAIN_EVERY: Duration = Duration::from_secs(5);
/// The longest a row is left alone.
const AT_LEAST: Duration = Duration::from_hours(1);
/// A turn lasts this long at least, however quick Pleo is; and at first that long, ever shorter for as long as the start
/// is said to take: what is due after a start does not come at once (R15).
const SPACED: Duration = Duration::from_millis(50);
const SPACED_AT_FIRST: Duration = Duration::from_secs(1);
const START: Duration = Duration::from_mins(1);

impl Tokens {
    /// Keeps every connection until the process stops. Run as one task.
    pub async fn keep(&self) {
        let house = &self.0;
        let now = house.clock.boot();
        let mut rounds = Rounds {
            house: house.clone(),
            mark: Revision(0),
            plan: Plan::default(),
            waiting: BTreeSet::new(),
            draining: None,
            began: now,
            drain_at: now + DRAIN_EVERY,
        };
        rounds.make().await;
        let mut changes = house.store.changes();
        loop {
            tokio::select! {
                () = house.tasks.stopping() => return,
                () = &mut changes => {
                    rounds.make().await;
                    changes = house.store.changes();
                }
                Ok(turn) = house.ahead.clone().acquire_owned(), if !rounds.waiting.is_empty() => {
                    rounds.start_next(turn).await;
                }
            }
        }
    }
}

struct Rounds {
    house: Arc<House>,
    mark: Revision,
    plan: Plan,
    /// Who wants a refresh and waits for a turn: first those in use, and of these the one whose token dies first.
    waiting: BTreeSet<(bool, Boot, TenantName)>,
    draining: Option<JoinHandle<()>>,
    began: Boot,
    drain_at: Boot,
}

impl Rounds {
    async fn make(&mut self) {
        self.house.settle_high_water().await;
        if let Err(error) = self.notice_changes().await {
            self.house.metrics.store_failed("changes");
            tracing::debug!(
                error = chain(&error),
                "the store cannot be asked for changes"
            );
            return;
        }
        let now = self.house.clock.boot();
        if now >= self.drain_at && self.draining.as_ref().is_none_or(JoinHandle::is_finished) {
            // A store that stalls is not to stop the watching.
            let house = self.house.clone();
            let drain = async move {
                house.drain_salvage(None).await;
            };
            self.draining = Some(self.house.tasks.spawn(drain));
            self.drain_at = now + DRAIN_EVERY;
        }
        for tenant in self.plan.due(now) {
            self.visit(&tenant, None).await;
        }
        for (state, count) in self.plan.counts() {
            self.house.metrics.set_connections(state, count);
        }
    }

    async fn notice_changes(&mut self) -> Result<(), StoreError> {
        let asked = self.house.clock.boot();
        let wall = self.house.clock.wall();
        let after = self.house.clock.boot();
        self.house.jumps.note(Whose::Machine, asked, wall, after);
        let (mark, changed) = self.house.store.changed_since(self.mark).await?;
        self.house.watched.beat(asked);
        let put_back = mark < self.mark;
        if put_back {
            // From a backup: what is shown is no newer than what is there, only numbered higher.
            self.house.cache.invalidate_all();
        }
        for tenant in changed {
            self.visit(&tenant, None).await;
        }
        // Every row may be another one then: all are visited (R14).
        self.mark = if put_back { Revision(0) } else { mark };
        Ok(())
    }

    /// It is the next one's turn, if it still wants a refresh.
    async fn start_next(&mut self, turn: OwnedSemaphorePermit) {
        if let Some((_, _, tenant)) = self.waiting.pop_first() {
            self.visit(&tenant, Some(turn)).await;
        }
    }

    /// Looks at one row: shows it, starts what it asks for (a refresh only with a turn), and plans the next look.
    async fn visit(&mut self, tenant: &TenantName, turn: Option<OwnedSemaphorePermit>) {
        let Ok((seen, timing)) = self.house.look(tenant).await else {
            self.plan.look_at(tenant, self.house.clock.boot() + WATCH);
            return;
        };
        let Some(row) = seen.row else {
            self.house.cache.invalidate(tenant);
            self.house.metrics.set_expiry(tenant, None);
            self.plan.forget(tenant);
            return;
        };
        self.house.show(&row, seen.revision, timing);
        let expiry = row.access().map(|access| access.expires_at);
        self.house.metrics.set_expiry(tenant, expiry);
        self.plan.note(tenant, row.state);
        let at = self.decide(&row, timing, turn);
        // A consent's pair that is left alone for now is come back to.
        let entry = self.house.cache.get(tenant);
        let left = entry.and_then(|entry| entry.candidate_left_until(timing.boot));
        if let Some(at) = at.into_iter().chain(left).min() {
            self.plan.look_at(tenant, at);
        }
    }

    fn decide(
        &mut self,
        row: &Connection,
        timing: Timing,
        turn: Option<OwnedSemaphorePermit>,
    ) -> Option<Boot> {
        let open = matches!(row.state, State::Refreshing | State::Uncertain);
        match self.house.asked(row, timing) {
            Next::Rest(None) => open.then_some(timing.boot + WATCH),
            Next::Rest(Some(_)) if open => Some(timing.boot + WATCH),
            Next::Rest(Some(at)) => Some(timing.boot + timing.now.until(at).min(AT_LEAST)),
            Next::Refresh if !self.is_wanted(row, timing) => {
                Some(timing.boot + self.keepalive_in(row, timing))
            }
            Next::Refresh => {
                let Some(turn) = turn else {
                    self.wait_for_turn(row);
                    return open.then_some(timing.boot + WATCH);
                };
                let least = self.spacing(timing.boot);
                self.house.fly_ahead(&row.tenant, turn, least);
                Some(timing.boot + WATCH)
            }
            Next::TakeOver | Next::Probe | Next::GiveUpAnswer | Next::Verify => {
                self.house.board(&row.tenant, Purpose::Due);
                Some(timing.boot + WATCH)
            }
        }
    }

    /// A refresh is wanted where calls use the connection, where it is being resolved, and every `keepalive`.
    fn is_wanted(&self, row: &Connection, timing: Timing) -> bool {
        let used = self
            .house
            .cache
            .get(&row.tenant)
            .is_some_and(|entry| entry.is_used());
        used || row.state == State::Uncertain || self.keepalive_in(row, timing).is_zero()
    }

    fn keepalive_in(&self, row: &Connection, timing: Timing) -> Duration {
        let at = self.house.policy.keepalive_at(row, timing.now);
        timing.now.until(at).min(AT_LEAST)
    }

    fn wait_for_turn(&mut self, row: &Connection) {
        let (idle, dies) = (self.house.cache.get(&row.tenant))
            .map_or((true, Boot(Duration::MAX)), |entry| {
                (!entry.is_used(), entry.alive_until)
            });
        self.waiting.insert((idle, dies, row.tenant.clone()));
    }

    /// How long a turn that begins now lasts at least.
    fn spacing(&self, now: Boot) -> Duration {
        let left = START.saturating_sub(self.began.until(now));
        SPACED
            + SPACED_AT_FIRST
                .saturating_sub(SPACED)
                .mul_f64(left.as_secs_f64() / START.as_secs_f64())
    }
}

/// When to look at which row next.
#[derive(Debug, Default)]
struct Plan {
    looks: BTreeSet<(Boot, TenantName)>,
    known: HashMap<TenantName, (Option<Boot>, State)>,
}

impl Plan {
    fn due(&mut self, now: Boot) -> Vec<TenantName> {
        let mut due = Vec::new();
        while let Some((at, tenant)) = self.looks.pop_first() {
            if at > now {
                self.looks.insert((at, tenant));
                break;
            }
            if let Some((planned, _)) = self.known.get_mut(&tenant) {
                *planned = None;
            }
            due.push(tenant);
        }
        due
    }

    fn note(&mut self, tenant: &TenantName, state: State) {
        self.known.entry(tenant.clone()).or_insert((None, state)).1 = state;
    }

    fn look_at(&mut self, tenant: &TenantName, at: Boot) {
        let known = self
            .known
            .entry(tenant.clone())
            .or_insert((None, State::Pending));
        if let Some(before) = known.0.replace(at) {
            self.looks.remove(&(before, tenant.clone()));
        }
        self.looks.insert((at, tenant.clone()));
    }

    fn forget(&mut self, tenant: &TenantName) {
        if let Some((Some(at), _)) = self.known.remove(tenant) {
            self.looks.remove(&(at, tenant.clone()));
        }
    }

    fn counts(&self) -> [(State, usize); State::ALL.len()] {
        let mut counts = State::ALL.map(|state| (state, 0));
        for (_, known) in self.known.values() {
            for (state, count) in &mut counts {
                *count += usize::from(state == known);
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_due_once_and_a_new_plan_replaces_the_old() {
        let at = |s| Boot(Duration::from_secs(s));
        let acme = TenantName::parse("acme").unwrap();
        let mut plan = Plan::default();
        plan.look_at(&acme, at(5));
        plan.look_at(&acme, at(3));
        assert!(plan.due(at(2)).is_empty());
        assert_eq!(plan.due(at(9)), std::slice::from_ref(&acme));
        assert!(plan.due(at(9)).is_empty());
        plan.look_at(&acme, at(10));
        plan.forget(&acme);
        assert!(plan.due(at(99)).is_empty());
    }
}
