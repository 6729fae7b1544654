//! Reading and changing rows: every change is a step of the protocol, written by compare-and-set, and then shown to this
//! process.

use std::time::Duration;

use tokio::time::sleep;

use super::jumps::Whose;
use super::{House, Timing};
use crate::model::connection::{Attempt, Connection};
use crate::model::ids::TenantName;
use crate::model::ledger::{AuditEntry, AuditKind};
use crate::refresh::policy::DEADLINE_MARGIN;
use crate::refresh::{Event, Moment, Refused, Standing, Step, step};
use crate::store::{Change, Revision, Seen, StoreError, Taken, Written};
use crate::telemetry::chain::chain;

/// How often a row is looked at while attempts in the air are waited for.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Why a change did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The protocol does not allow it now.
    #[error("the connection does not allow this now")]
    Refused(#[source] Refused),
    /// Something in the row is another's already.
    #[error("the connection cannot have what it was to have")]
    Taken(#[source] Taken),
    /// The store could not do it.
    #[error("the change could not be stored")]
    Store(#[source] StoreError),
}

impl House {
    /// The row now, and this process's clock at the moment of asking. The one door to rows: one that was put back from a
    /// backup is known as such, durably, before anybody decides anything on it (R14).
    pub(super) async fn look(&self, tenant: &TenantName) -> Result<(Seen, Timing), StoreError> {
        loop {
            let (seen, timing) = self.read(tenant).await?;
            let Some(row) = &seen.row else {
                return Ok((seen, timing));
            };
            let pair = (row.epoch, row.generation);
            let Some(mark) = self.high_water.above(tenant, pair) else {
                self.high_water.raise(tenant, pair);
                return Ok((seen, timing));
            };
            self.declare_restored(row, seen.revision, mark, timing)
                .await?;
        }
    }

    async fn read(&self, tenant: &TenantName) -> Result<(Seen, Timing), StoreError> {
        let boot = self.clock.boot();
        let seen = self.store.read(tenant).await?;
        let after = self.clock.boot();
        if let Some(row) = &seen.row {
            self.watched.note(&row.attempts, boot, after);
        }
        self.jumps.note(Whose::Store, boot, seen.now, after);
        let timing = Timing {
            now: seen.now,
            boot,
        };
        Ok((seen, timing))
    }

    /// Applies one event of the protocol to a tenant's row, however often others change it meanwhile.
    pub(super) async fn apply(
        &self,
        tenant: &TenantName,
        event: &Event,
    ) -> Result<Connection, ChangeError> {
        self.apply_if(tenant, event, |_| true).await
    }

    /// Applies an event that was decided upon an earlier look, if the row is still one that it fits; else the row has
    /// moved on, and the event is superseded.
    pub(super) async fn apply_if(
        &self,
        tenant: &TenantName,
        event: &Event,
        fits: impl Fn(&Connection) -> bool + Sync,
    ) -> Result<Connection, ChangeError> {
        loop {
            let (seen, timing) = self.look(tenant).await.map_err(ChangeError::Store)?;
            let row = (seen.row).unwrap_or_else(|| self.first_row(tenant, timing));
            if !fits(&row) {
                return Err(ChangeError::Refused(Refused::Superseded));
            }
            let step = self
                .step(&row, event, timing)
                .map_err(ChangeError::Refused)?;
            if step.row == row && step.audit.is_empty() && seen.revision != Revision::default() {
                return Ok(row);
            }
            let row = step.row.clone();
            match self.write(step, seen.revision, timing).await {
                Ok(Written::Done(_)) => return Ok(row),
                Ok(Written::Conflict) => {}
                Ok(Written::Taken(taken)) => return Err(ChangeError::Taken(taken)),
                Err(error) => return Err(ChangeError::Store(error)),
            }
        }
    }

    /// Writes a step; once it is durable it is told, shown, and seen.
    pub(super) async fn write(
        &self,
        step: Step,
        expected: Revision,
        timing: Timing,
    ) -> Result<Written, StoreError> {
        let change = self.change(step, expected, timing);
        let (row, audit) = (change.row.clone(), change.audit.clone());
        let written = self.store.write(change).await?;
        if let Written::Done(revision) = &written {
            for entry in &audit {
                crate::telemetry::audit::say(entry);
            }
            self.show(&row, *revision, timing);
            self.high_water
                .raise(&row.tenant, (row.epoch, row.generation));
            self.remember(&row);
        }
        Ok(written)
    }

    /// Applies an event that has to wait for attempts in the air (R13): a process that has just begun watches them first.
    pub(super) async fn apply_once_settled(
        &self,
        tenant: &TenantName,
        event: &Event,
    ) -> Result<Connection, ChangeError> {
        let give_up = self.clock.boot() + self.settles_within();
        loop {
            match self.apply(tenant, event).await {
                Err(ChangeError::Refused(Refused::Busy)) if self.clock.boot() < give_up => {
                    sleep(LOOK_AGAIN).await;
                }
                done => return done,
            }
        }
    }

    /// By then no attempt that stood in the row can be in the air any more.
    pub(super) fn settles_within(&self) -> Duration {
        self.policy.timeout + DEADLINE_MARGIN * 2
    }

    /// The protocol's answer to an event, seen from this process.
    pub(super) fn step(
        &self,
        row: &Connection,
        event: &Event,
        timing: Timing,
    ) -> Result<Step, Refused> {
        let standing = |attempt: &Attempt| self.standing(attempt, timing);
        step(row, event, &self.moment(timing, &standing))
    }

    /// This process's point of view.
    pub(super) fn moment<'a>(
        &'a self,
        timing: Timing,
        standing: &'a dyn Fn(&Attempt) -> Standing,
    ) -> Moment<'a> {
        Moment {
            now: timing.now,
            by: &self.owner,
            policy: &self.policy,
            standing,
        }
    }

    /// What is known of an attempt's owner (R2).
    pub(super) fn standing(&self, attempt: &Attempt, timing: Timing) -> Standing {
        Standing {
            dead: attempt.owner != self.owner
                && self.owners.is_known_dead(&attempt.owner)
                && !self.salvage.keeps(&attempt.owner, attempt.id),
            watched: self.watched.for_how_long(attempt, timing.boot),
        }
    }

    /// Applies an event, trying again for as long as only the store is in the way; gives up when the process ends.
    pub(super) async fn apply_until_written(
        &self,
        tenant: &TenantName,
        event: &Event,
    ) -> Result<Connection, ChangeError> {
        self.apply_if_until_written(tenant, event, |_| true).await
    }

    /// Both: decided upon an earlier look, and tried again while only the store is in the way.
    pub(super) async fn apply_if_until_written(
        &self,
        tenant: &TenantName,
        event: &Event,
        fits: impl Fn(&Connection) -> bool + Sync,
    ) -> Result<Connection, ChangeError> {
        let mut pause = Duration::from_millis(50);
        loop {
            match self.apply_if(tenant, event, &fits).await {
                Err(ChangeError::Store(error)) => {
                    tracing::warn!(%tenant, error = chain(&error), "a write failed and is tried again");
                    if self.tasks.is_stopping() && pause > Duration::from_secs(1) {
                        return Err(ChangeError::Store(error));
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
                done => return done,
            }
        }
    }

    pub(super) fn change(&self, step: Step, expected: Revision, timing: Timing) -> Change {
        let Step {
            row,
            brought,
            ledger,
            audit,
        } = step;
        let audit = audit
            .into_iter()
            .map(|(what, detail)| self.audit(&row.tenant, what, detail, timing))
            .collect();
        Change {
            row,
            expected,
            brought,
            ledger,
            audit,
        }
    }

    fn audit(
        &self,
        tenant: &TenantName,
        what: AuditKind,
        detail: String,
        timing: Timing,
    ) -> AuditEntry {
        AuditEntry {
            at: timing.now,
            tenant: Some(tenant.clone()),
            who: super::acting::who().map_or_else(|| self.who.clone(), str::to_owned),
            what,
            detail,
        }
    }
}
