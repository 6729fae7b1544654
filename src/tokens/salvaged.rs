//! Pairs in salvage (design.md R6): put there when a commit fails, drained at start-up and before every step that resolves.

use super::House;
use super::rows::ChangeError;
use crate::model::connection::{Connection, Reason, State};
use crate::model::ids::{Epoch, Generation, TenantName};
use crate::refresh::{NewPair, PairSource, Refused};
use crate::store::StoreError;
use crate::store::salvage::{Salvage, SalvageError, SalvageFile, SalvageRecord};
use crate::telemetry::chain::chain;

impl House {
    /// R1: nothing is spent without a place to put what comes back.
    pub(super) async fn prove_salvage(&self) -> Result<(), StoreError> {
        self.on_disk(Salvage::ready).await.map_err(|error| {
            tracing::error!(
                error = chain(&error),
                "no refresh without a place for salvage"
            );
            StoreError::Unavailable(Box::new(error))
        })
    }

    /// Keeps a pair whose commit failed.
    pub(super) async fn keep_in_salvage(
        &self,
        begun: &Connection,
        pair: &NewPair,
    ) -> Option<SalvageFile> {
        let refresh = pair
            .refresh
            .clone()
            .or_else(|| begun.refresh_token().cloned())?;
        let record = SalvageRecord {
            tenant: begun.tenant.clone(),
            epoch: pair.epoch,
            generation: pair.generation,
            attempt: pair.attempt,
            access: pair.access.clone(),
            refresh,
            scopes: pair.scopes.clone(),
        };
        match self.on_disk(move |salvage| salvage.put(&record)).await {
            Ok(file) => Some(file),
            Err(error) => {
                tracing::error!(tenant = %begun.tenant, error = chain(&error), "a pair could not be salvaged: it lives in memory only");
                None
            }
        }
    }

    /// Its pair is committed, or provably superseded.
    pub(super) fn forget_salvage(&self, file: &SalvageFile) {
        if let Err(error) = self.salvage.remove(file) {
            tracing::warn!(file = %file.path().display(), error = chain(&error), "a salvage file could not be removed");
        }
    }

    /// Commits what lies in salvage, for one tenant or for all. True if something was committed.
    pub(super) async fn drain_salvage(&self, only: Option<&TenantName>) -> bool {
        let found = match self.on_disk(Salvage::found).await {
            Ok(found) => found,
            Err(error) => {
                let error = chain(&error);
                if self.is_told("salvage", &error) {
                    tracing::warn!(error, "salvage cannot be read");
                }
                return false;
            }
        };
        for (file, error) in &found.damaged {
            let (file, error) = (file.path().display(), chain(error));
            if self.is_told(file.to_string(), &error) {
                tracing::error!(%file, error, "a salvage file cannot be opened and is kept");
            }
        }
        let mut committed = false;
        for (file, record) in found.pairs {
            if only.is_none_or(|tenant| *tenant == record.tenant) {
                committed |= self.commit_salvaged(&file, record).await;
            }
        }
        committed
    }

    pub(super) async fn drain_salvage_of(&self, tenant: &TenantName) -> bool {
        self.drain_salvage(Some(tenant)).await
    }

    async fn commit_salvaged(&self, file: &SalvageFile, record: SalvageRecord) -> bool {
        let tenant = record.tenant.clone();
        let brought = (record.epoch, record.generation);
        let pair = NewPair {
            attempt: record.attempt,
            epoch: record.epoch,
            generation: record.generation,
            access: record.access,
            refresh: Some(record.refresh),
            scopes: record.scopes,
            verified: false,
            source: PairSource::Salvage,
        };
        match self.commit(&tenant, pair).await {
            Ok(_) => {
                tracing::info!(%tenant, "a pair from salvage is in use");
                self.forget_salvage(file);
                true
            }
            Err(ChangeError::Refused(Refused::OldEpoch | Refused::Superseded))
                if self.is_superseded(&tenant, brought).await =>
            {
                self.forget_salvage(file);
                false
            }
            Err(error) => {
                let error = chain(&error);
                if self.is_told(file.path().display().to_string(), &error) {
                    tracing::warn!(%tenant, error, "a pair waits in salvage");
                }
                false
            }
        }
    }

    /// True only if the row has moved beyond the pair. A row that is older than the pair was put back from a backup,
    /// and the pair may be the only one that still lives (R14).
    async fn is_superseded(&self, tenant: &TenantName, brought: (Epoch, Generation)) -> bool {
        let Ok((seen, _)) = self.look(tenant).await else {
            return false;
        };
        seen.row.is_some_and(|row| {
            let held = (row.epoch, row.generation);
            // What a pair of its own epoch is worth to an old row, Pleo alone can tell.
            let is_old = row.reason == Some(Reason::Restored) || row.state == State::Pending;
            row.epoch > brought.0
                || (held > brought && !is_old)
                || (held == brought && row.state == State::ReauthorizationRequired)
        })
    }

    /// Salvage is looked through every few seconds: what stays is told seldom.
    fn is_told(&self, about: impl Into<String>, words: &str) -> bool {
        self.seldom.is_due(about, words, self.clock.boot())
    }

    /// Salvage blocks on the device: it gets a thread of its own.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Salvage) -> Result<T, SalvageError> + Send + 'static,
    ) -> Result<T, SalvageError> {
        let salvage = self.salvage.clone();
        match tokio::task::spawn_blocking(move || work(&salvage)).await {
            Ok(done) => done,
            Err(_) => Err(SalvageError::Malformed),
        }
    }
}
