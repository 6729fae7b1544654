//! Rotating the sealing keys: everything that another key sealed is sealed anew under the first, place by place, so that it
//! can be interrupted anywhere and run again. How one place is done is not here (`reseal`, `salvage`).

use std::sync::Arc;

use super::owners::{Neighbour, Owners};
use super::salvage::Salvage;
use super::sealing_keys::KeyId;
use super::{ConnectionStore, StoreError};
use crate::model::ledger::{AuditEntry, AuditKind};
use crate::telemetry::audit;
use crate::telemetry::chain::chain;

/// All that is sealed for one store, as far as this machine can reach it.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// Rows and visits.
    pub store: Arc<dyn ConnectionStore>,
    /// Pairs whose commit failed.
    pub salvage: Salvage,
    /// Who else lives on this machine.
    pub owners: Owners,
    /// The key to seal with.
    pub key: KeyId,
}

/// What came of a rotation.
#[derive(Debug, Default)]
pub struct Resealed {
    /// How many places were sealed anew.
    pub resealed: usize,
    /// How many were sealed by the first key already.
    pub already: usize,
    /// What could not be opened, by name and with the reason. It stays as it was.
    pub failed: Vec<(String, String)>,
    /// Processes of this machine that still seal with another key: what they write needs that one.
    pub sealing_otherwise: Vec<Neighbour>,
}

/// Why a rotation was not begun or not finished. What was sealed anew until then is good; run it again.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// Running processes would be shut out from what is sealed anew.
    #[error(
        "processes of this machine do not hold sealing key {key}: {}",
        .without.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    NotHeld {
        /// The key.
        key: KeyId,
        /// Who does not hold it.
        without: Vec<Neighbour>,
    },
    /// The store failed.
    #[error("the store failed")]
    Store(#[source] StoreError),
}

impl Rotation {
    /// Seals everything anew, again and again until nothing is left that another key seals; once only while others of this
    /// machine go on sealing with another. `progress` is told how many places are done, of how many, the first time.
    pub async fn run(
        &self,
        who: &str,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<Resealed, RotationError> {
        let mut without = self.owners.neighbours();
        without.retain(|one| !one.holds(self.key));
        if !without.is_empty() {
            let key = self.key;
            return Err(RotationError::NotHeld { key, without });
        }
        let mut done = self.pass(&mut progress).await?;
        loop {
            done.sealing_otherwise = self.owners.neighbours();
            let seals_otherwise = |one: &Neighbour| !one.seals_with(self.key);
            done.sealing_otherwise.retain(seals_otherwise);
            if !done.sealing_otherwise.is_empty() {
                break;
            }
            // A process that has ended since may have written behind this one's back.
            let again = self.pass(&mut |_, _| {}).await?;
            done.resealed += again.resealed;
            done.failed = again.failed;
            if again.resealed == 0 {
                break;
            }
        }
        self.note(who, &done).await.map_err(RotationError::Store)?;
        Ok(done)
    }

    async fn pass(
        &self,
        progress: &mut impl FnMut(usize, usize),
    ) -> Result<Resealed, RotationError> {
        let mut done = Resealed::default();
        let places = self.store.sealed_places().await;
        let places = places.map_err(RotationError::Store)?;
        for (number, place) in (1..).zip(&places) {
            match self.store.reseal(place).await {
                Ok(is_anew) => done.count(is_anew),
                Err(error @ StoreError::Sealed(_)) => done.fail(place.to_string(), &error),
                Err(error) => return Err(RotationError::Store(error)),
            }
            progress(number, places.len());
        }
        self.reseal_salvage(&mut done);
        Ok(done)
    }

    fn reseal_salvage(&self, done: &mut Resealed) {
        let files = match self.salvage.files() {
            Ok(files) => files,
            Err(error) => return done.fail("the salvage folder".to_owned(), &error),
        };
        for file in files {
            match self.salvage.reseal(&file) {
                Ok(is_anew) => done.count(is_anew),
                Err(error) => done.fail(file.path().display().to_string(), &error),
            }
        }
    }

    async fn note(&self, who: &str, done: &Resealed) -> Result<(), StoreError> {
        let entry = AuditEntry {
            at: self.store.now().await?,
            tenant: None,
            who: who.to_owned(),
            what: AuditKind::KeyRotated,
            detail: format!(
                "to key {}: {} sealed anew, {} already, {} failed",
                self.key,
                done.resealed,
                done.already,
                done.failed.len()
            ),
        };
        self.store.note(entry.clone()).await?;
        audit::say(&entry);
        Ok(())
    }
}

impl Resealed {
    fn count(&mut self, is_anew: bool) {
        if is_anew {
            self.resealed += 1;
        } else {
            self.already += 1;
        }
    }

    fn fail(&mut self, name: String, error: &(dyn std::error::Error + 'static)) {
        self.failed.push((name, chain(error)));
    }
}
