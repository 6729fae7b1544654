//! Rows restored from a backup (design.md R14): declared so where they are read, and brought back by a newer pair that this
//! process still holds. What Pleo says of them is asked elsewhere (`tend`).

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};

use super::rows::ChangeError;
use super::{House, Timing};
use crate::model::connection::{Connection, Reason, State};
use crate::model::ids::{AttemptId, Epoch, Generation, TenantName};
use crate::refresh::{Event, NewPair, PairSource};
use crate::store::{Revision, StoreError, Written};
use crate::telemetry::chain::chain;

impl House {
    /// Writes down that a row is older than what was seen. It is looked at again after that, whatever came of it.
    pub(super) async fn declare_restored(
        &self,
        row: &Connection,
        revision: Revision,
        seen: (Epoch, Generation),
        timing: Timing,
    ) -> Result<(), StoreError> {
        let Ok(step) = self.step(row, &Event::Restored { seen }, timing) else {
            return Ok(());
        };
        match self.write(step, revision, timing).await? {
            Written::Done(_) => {
                tracing::error!(
                    tenant = %row.tenant,
                    epoch = row.epoch.0,
                    generation = row.generation.0,
                    seen_epoch = seen.0.0,
                    seen_generation = seen.1.0,
                    "the store holds an older pair than was seen before, as after restoring a backup: it is not presented"
                );
                Ok(())
            }
            Written::Conflict => Ok(()),
            // Nothing about companies has changed: the store itself is at odds with its rows.
            Written::Taken(taken) => Err(StoreError::Corrupt(taken.into())),
        }
    }

    /// Makes the marks durable that were raised since; the device gets a thread of its own.
    pub(super) async fn settle_high_water(&self) {
        if self.high_water.is_unsettled() {
            let high_water = self.high_water.clone();
            // A panic there is told by itself, and the marks are settled the next time.
            let _ = tokio::task::spawn_blocking(move || high_water.settle()).await;
        }
    }

    /// The row of a tenant that the store has none of: it counts on from what was seen of that tenant.
    pub(super) fn first_row(&self, tenant: &TenantName, timing: Timing) -> Connection {
        let row = Connection::pending(tenant.clone());
        let seen = self.high_water.mark(tenant);
        match self.step(&row, &Event::Restored { seen }, timing) {
            Ok(step) => step.row,
            Err(_) => row,
        }
    }

    /// Keeps the pair that was made durable just now: a database that is put back would lack it.
    pub(super) fn remember(&self, row: &Connection) {
        let (State::Active, Some(access), Some(refresh)) =
            (row.state, row.access(), row.refresh_token())
        else {
            return;
        };
        let mut stored = self.stored();
        if (stored.get(&row.tenant)).is_some_and(|kept| kept.access.token == access.token) {
            return;
        }
        let pair = NewPair {
            attempt: AttemptId::make(),
            epoch: row.epoch,
            generation: Generation(row.generation.0.saturating_sub(1)),
            access: access.clone(),
            refresh: Some(refresh.clone()),
            scopes: row.scopes.clone(),
            verified: false,
            source: PairSource::Salvage,
        };
        stored.insert(row.tenant.clone(), pair);
    }

    /// An operator has ended the connection: its tokens are erased here too.
    pub(super) fn forget_ended(&self, row: &Connection) {
        if row.state == State::Disconnected {
            let mut stored = self.stored();
            // A row that ended before the pair came was put back from a backup.
            if (stored.get(&row.tenant)).is_some_and(|kept| kept.epoch < row.epoch) {
                stored.remove(&row.tenant);
            }
        }
    }

    /// Brings a restored row back by a pair that this process holds, if Pleo accepts that. True if it did. What cannot
    /// be verified now goes to salvage: it is tried again from there, also after a restart.
    pub(super) async fn put_back(&self, row: &Connection) -> bool {
        let Some(pair) = self.newer_pair(row) else {
            return false;
        };
        match self.commit(&row.tenant, pair.clone()).await {
            Ok(_) => {
                tracing::info!(tenant = %row.tenant, "a pair that the store had lost is in use");
                true
            }
            Err(error) => {
                tracing::warn!(tenant = %row.tenant, error = chain(&error), "a pair that the store had lost waits in salvage");
                if self.keep_in_salvage(row, &pair).await.is_none() {
                    let mut stored = self.stored();
                    stored.entry(row.tenant.clone()).or_insert(pair);
                }
                false
            }
        }
    }

    fn stored(&self) -> MutexGuard<'_, HashMap<TenantName, NewPair>> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn newer_pair(&self, row: &Connection) -> Option<NewPair> {
        if row.reason != Some(Reason::Restored) {
            return None;
        }
        let mut stored = self.stored();
        let pair = stored.remove(&row.tenant)?;
        let is_held = row.access().is_some_and(|a| a.token == pair.access.token);
        (pair.epoch == row.epoch && !is_held).then_some(pair)
    }

    /// True if a row is older than a pair that an attempt has brought: it does not know that attempt.
    pub(super) async fn is_unheard_of(
        &self,
        tenant: &TenantName,
        pair: &NewPair,
    ) -> Result<bool, ChangeError> {
        let (seen, _) = self.look(tenant).await.map_err(ChangeError::Store)?;
        Ok(seen.row.is_some_and(|row| {
            let has_ended = matches!(row.state, State::Pending | State::Disconnected);
            let is_newer = (row.epoch, row.generation) > (pair.epoch, pair.generation);
            let is_known = row.attempts.iter().any(|a| a.id == pair.attempt);
            !has_ended && !is_newer && !is_known
        }))
    }
}
