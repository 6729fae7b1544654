//! A new pair on its way into its row (design.md R3), by way of memory and salvage if the store fails (R6).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::entry::Entry;
use super::rows::ChangeError;
use super::tend::PROBE_LIMIT;
use super::{House, Timing};
use crate::clock::{Boot, Timestamp};
use crate::model::connection::{Access, Connection, Held, State};
use crate::model::ids::{AttemptId, TenantName};
use crate::pleo::answer::TokenAnswer;
use crate::pleo::introspect::{Credential, Probe};
use crate::refresh::{Event, NewPair, PairSource, Refused};
use crate::secret::Secret;
use crate::store::salvage::SalvageFile;
use crate::store::{Revision, StoreError};
use crate::telemetry::chain::chain;

/// The longest life that is believed: beyond it `expires_in` makes no sense.
pub(super) const LONGEST_LIFE: Duration = Duration::from_hours(24 * 366);

/// How long a commit may stall before the pair is kept in salvage and served (R6): well within `hold`.
const COMMIT_PATIENCE: Duration = Duration::from_secs(1);
const STALLED: &str = "the store stalls";

impl House {
    /// Commits the answer to an attempt. While only the store is in the way, the pair is served from memory and kept
    /// sealed in salvage, and the commit is tried again.
    pub(super) async fn commit_answer(
        self: &Arc<Self>,
        begun: &Connection,
        attempt: AttemptId,
        answer: TokenAnswer,
        sent: Option<(Timestamp, Boot)>,
    ) -> Result<(), ChangeError> {
        let since = sent.map_or(
            begun.attempts.last().map_or(Timestamp(0), |a| a.begun_at),
            |(at, _)| at,
        );
        let pair = NewPair {
            attempt,
            epoch: begun.epoch,
            generation: begun.generation,
            access: self.access_of(&answer, since),
            // Without a new one the old one stays (RFC 6749 section 6), also where the row has lost it meanwhile.
            refresh: answer.refresh.or_else(|| begun.refresh_token().cloned()),
            scopes: answer.scopes,
            verified: false,
            source: PairSource::Answer,
        };
        // A commit that stalls is carried out all the same: then the one from salvage finds it done.
        let committed = timeout(COMMIT_PATIENCE, self.commit(&begun.tenant, pair.clone())).await;
        let stalled = |_| Err(ChangeError::Store(StoreError::Unknown(STALLED.into())));
        match committed.unwrap_or_else(stalled) {
            Err(ChangeError::Store(error)) => {
                tracing::error!(tenant = %begun.tenant, error = chain(&error), "a new pair could not be stored: kept in memory and salvage");
                self.metrics.store_failed("commit");
                self.salvage_and_retry(begun, pair, sent).await;
                Ok(())
            }
            Err(ChangeError::Refused(refused @ (Refused::OldEpoch | Refused::Superseded))) => {
                tracing::warn!(tenant = %begun.tenant, %refused, "a new pair is not wanted any more");
                Ok(())
            }
            // A later attempt is open, or Pleo has to accept the pair first and is silent: it waits in salvage (R6).
            Err(error) => {
                tracing::warn!(tenant = %begun.tenant, error = chain(&error), "a new pair cannot be used yet");
                let kept = self.keep_in_salvage(begun, &pair).await;
                let (house, begun) = (self.clone(), begun.clone());
                self.tasks
                    .spawn(async move { house.store_at_last(&begun, pair, kept).await });
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    /// The access token of an answer, alive since it was asked for.
    pub(super) fn access_of(&self, answer: &TokenAnswer, since: Timestamp) -> Access {
        let known = answer.life.filter(|life| *life <= LONGEST_LIFE);
        Access {
            token: answer.access.clone(),
            since,
            expires_at: since + known.unwrap_or(self.policy.default_lifetime),
            life_known: known.is_some(),
        }
    }

    /// Commits a pair; where a later attempt was sent too, introspection has to accept it first (R6).
    pub(super) async fn commit(
        &self,
        tenant: &TenantName,
        mut pair: NewPair,
    ) -> Result<Connection, ChangeError> {
        loop {
            match self
                .apply(tenant, &Event::Commit(Box::new(pair.clone())))
                .await
            {
                Err(ChangeError::Refused(Refused::Unverified)) if !pair.verified => {
                    if !self.is_stood_by(&pair.access).await? {
                        return Err(ChangeError::Refused(Refused::Unverified));
                    }
                    pair.verified = true;
                }
                // By the write that only stalled, or by what found the pair in salvage.
                Err(ChangeError::Refused(Refused::OldEpoch | Refused::Superseded))
                    if let Some(row) = self.shown_if_stored(tenant, &pair).await? =>
                {
                    return Ok(row);
                }
                // R14: the row has never heard of the attempt that brought the pair, so it is older than that.
                Err(ChangeError::Refused(Refused::OldEpoch | Refused::Superseded))
                    if self.is_unheard_of(tenant, &pair).await? =>
                {
                    self.high_water
                        .raise(tenant, (pair.epoch, pair.generation.next()));
                }
                Err(ChangeError::Store(StoreError::Unknown(cause))) => {
                    let stored = self.shown_if_stored(tenant, &pair).await?;
                    return stored.ok_or(ChangeError::Store(StoreError::Unknown(cause)));
                }
                done => return done,
            }
        }
    }

    /// The row, shown, if it holds this very pair.
    async fn shown_if_stored(
        &self,
        tenant: &TenantName,
        pair: &NewPair,
    ) -> Result<Option<Connection>, ChangeError> {
        let (seen, timing) = self.look(tenant).await.map_err(ChangeError::Store)?;
        let holds_it = |row: &Connection| {
            row.epoch == pair.epoch && row.access().is_some_and(|a| a.token == pair.access.token)
        };
        let row = seen.row.filter(holds_it);
        if let Some(row) = &row {
            self.show(row, seen.revision, timing);
        }
        Ok(row)
    }

    /// True if Pleo accepts this access token. One that has died by its own age is not asked about.
    async fn is_stood_by(&self, access: &Access) -> Result<bool, ChangeError> {
        let now = self.store.now().await.map_err(ChangeError::Store)?;
        if now >= access.expires_at {
            return Ok(false);
        }
        let token = Credential::Bearer(&access.token);
        let probe = self.pleo.who_am_i(token, PROBE_LIMIT).await;
        Ok(matches!(probe, Probe::Accepted(_)))
    }

    /// Keeps the pair, and leaves storing it to a task of its own: whoever waits for the flight is served at once.
    async fn salvage_and_retry(
        self: &Arc<Self>,
        begun: &Connection,
        pair: NewPair,
        sent: Option<(Timestamp, Boot)>,
    ) {
        self.unstored.fetch_add(1, Ordering::Relaxed);
        self.serve_unstored(begun, &pair, sent);
        let kept = self.keep_in_salvage(begun, &pair).await;
        let (house, begun) = (self.clone(), begun.clone());
        self.tasks.spawn(async move {
            house.store_at_last(&begun, pair, kept).await;
            house.unstored.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// Tries until the pair is stored or not wanted any more; until the process ends, once salvage has it.
    async fn store_at_last(
        &self,
        begun: &Connection,
        pair: NewPair,
        mut kept: Option<SalvageFile>,
    ) {
        let mut pause = Duration::from_millis(100);
        loop {
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
            match self.commit(&begun.tenant, pair.clone()).await {
                Ok(_) => break,
                Err(ChangeError::Refused(Refused::OldEpoch | Refused::Superseded)) => {
                    // Not shown any longer as if it were in use.
                    self.cache.invalidate(&begun.tenant);
                    break;
                }
                // It is found at the next start.
                Err(_) if self.tasks.is_stopping() && kept.is_some() => return,
                Err(_) if kept.is_none() => kept = self.keep_in_salvage(begun, &pair).await,
                Err(_) => {}
            }
        }
        if let Some(file) = &kept {
            self.forget_salvage(file);
        }
    }

    /// R6: the only pair that is visible before it is durable.
    fn serve_unstored(&self, begun: &Connection, pair: &NewPair, sent: Option<(Timestamp, Boot)>) {
        let mut row = begun.clone();
        row.generation = row.generation.next();
        row.attempts.clear();
        row.held = Held::Pair {
            access: Some(pair.access.clone()),
            refresh: pair
                .refresh
                .clone()
                .or_else(|| begun.refresh_token().cloned())
                .unwrap_or_else(|| Secret::new("")),
        };
        if let Some(scopes) = &pair.scopes {
            row.scopes = Some(scopes.clone());
        }
        row.state = State::Active;
        row.next_try_at = None;
        let (now, boot) = sent.unwrap_or((self.clock.wall(), self.clock.boot()));
        let reckoning = self.reckoning(&row, Timing { now, boot });
        let mut entry = Entry::of(&row, Revision::default(), reckoning);
        entry.row.unstored = true;
        self.put(&row, entry);
    }
}
