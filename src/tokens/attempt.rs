//! One attempt to refresh, from its intent to its outcome (design.md R1–R4). Carried out by a flight, never by a call.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::House;
use super::rows::ChangeError;
use super::tend::{PROBE_LIMIT, Round};
use crate::clock::{Boot, Timestamp};
use crate::model::connection::{Attempt, Connection, Outcome, State, Verdict};
use crate::model::ids::{AttemptId, TenantName};
use crate::model::ledger::LedgerOutcome;
use crate::pleo::failure::Refreshed;
use crate::pleo::introspect::Probe;
use crate::refresh::next::may_send;
use crate::refresh::{Event, Refused};
use crate::secret::Secret;
use crate::store::StoreError;

impl House {
    /// Carries out one attempt on this pair, to whatever end. What came of it is in the row.
    pub(super) async fn attempt(
        self: &Arc<Self>,
        row: &Connection,
        forced: bool,
    ) -> Result<Round, ChangeError> {
        let Ok(turn) = self.refreshing.acquire().await else {
            return Ok(Round::Rests);
        };
        // It may have been done by another process while this one waited for its turn: found out cheaply.
        let (seen, _) = self.look(&row.tenant).await.map_err(ChangeError::Store)?;
        let as_before = |now: &Connection| {
            (now.epoch, now.generation, now.state) == (row.epoch, row.generation, row.state)
        };
        if !seen.row.is_some_and(|now| as_before(&now)) {
            return Ok(Round::Again);
        }
        self.prove_salvage().await.map_err(ChangeError::Store)?;
        if self.drain_salvage_of(&row.tenant).await {
            return Ok(Round::Again);
        }
        self.prove_oracle(row).await?;
        // While it waited for its turn the process may have begun to end, or Pleo may have refused the client.
        if self.tasks.is_stopping() || self.client.pause(self.clock.boot()).is_some() {
            return Ok(Round::Rests);
        }
        let started = self.clock.boot();
        let id = AttemptId::make();
        let begun = match self.begin(row, id, forced).await {
            Err(ChangeError::Refused(
                refused @ (Refused::Busy | Refused::Superseded | Refused::BackingOff(_)),
            )) => {
                self.metrics.refreshed(LedgerOutcome::Busy, Duration::ZERO);
                return self.after_losing(row, refused).await;
            }
            begun => begun?,
        };
        let Some(refresh_token) = begun.refresh_token() else {
            return Ok(Round::Rests);
        };
        let sending = Sending {
            house: self,
            tenant: &row.tenant,
            id,
            sent: Mutex::new(None),
        };
        let limit = self
            .policy
            .timeout
            .saturating_sub(started.until(self.clock.boot()));
        let answer = self.send(refresh_token, limit, &sending).await;
        // What is left to do may wait for the store: that is nobody else's trouble.
        drop(turn);
        self.heed_client(&answer);
        self.metrics
            .refreshed(counted(&answer), started.until(self.clock.boot()));
        self.finish(&begun, id, answer, sending.sent_at()).await?;
        if self.is_unstored(&row.tenant) {
            // Served from memory: whoever waits for this flight does not wait for the store.
            return Ok(Round::Rests);
        }
        self.learn_what_is_missing(&row.tenant).await
    }

    /// Another process was quicker, or the row has moved since it was looked at.
    async fn after_losing(&self, row: &Connection, why: Refused) -> Result<Round, ChangeError> {
        let (seen, _) = self.look(&row.tenant).await.map_err(ChangeError::Store)?;
        // The other may be done by now: then its pair is what those who wait here have come for.
        let is_elsewhere = |now: Connection| {
            now.state == State::Refreshing
                || (now.epoch, now.generation) != (row.epoch, row.generation)
        };
        let moved = why == Refused::Superseded || seen.row.is_some_and(is_elsewhere);
        Ok(if moved { Round::Again } else { Round::Rests })
    }

    /// Where Pleo was not asked about this access token yet, ask while it lives: only what was accepted before can
    /// prove something by being refused later (R5).
    async fn prove_oracle(&self, row: &Connection) -> Result<(), ChangeError> {
        let (seen, timing) = self.look(&row.tenant).await.map_err(ChangeError::Store)?;
        let Some(row) = seen.row else { return Ok(()) };
        let lives = row
            .access()
            .is_some_and(|access| timing.now + PROBE_LIMIT / 5 < access.expires_at);
        if !lives || row.verdict != Verdict::Untried {
            return Ok(());
        }
        let accepted = match self.ask_introspection(&row).await {
            Some(Probe::Accepted(identity)) => match self.note_identity(&row, identity).await {
                Ok(_) | Err(ChangeError::Refused(_) | ChangeError::Taken(_)) => true,
                Err(error) => return Err(error),
            },
            Some(Probe::Refused) => false,
            Some(Probe::Silent(_)) | None => return Ok(()),
        };
        match self.note_probe(&row, timing, accepted).await {
            Ok(_) | Err(ChangeError::Refused(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Writes the intent for the pair that was looked at. A write of unknown outcome is settled by closing what it may
    /// have written (R2): nothing was sent, so that loses nothing.
    async fn begin(
        &self,
        row: &Connection,
        attempt: AttemptId,
        forced: bool,
    ) -> Result<Connection, ChangeError> {
        let event = Event::Begin { attempt, forced };
        let pair = (row.epoch, row.generation);
        let begun = self
            .apply_if(&row.tenant, &event, |row| {
                (row.epoch, row.generation) == pair
            })
            .await;
        if let Err(ChangeError::Store(StoreError::Unknown(_))) = begun {
            self.close(&row.tenant, attempt, Outcome::NotSent, None)
                .await?;
        }
        begun
    }

    /// Writes down how an attempt ended, however long that takes (R4).
    async fn close(
        &self,
        tenant: &TenantName,
        attempt: AttemptId,
        outcome: Outcome,
        retry_at: Option<Timestamp>,
    ) -> Result<(), ChangeError> {
        let event = Event::Close {
            attempt,
            outcome,
            retry_at,
        };
        match self.apply_until_written(tenant, &event).await {
            Ok(_) | Err(ChangeError::Refused(_)) => Ok(()),
            Err(error) => {
                self.left_open.store(true, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    async fn send(&self, token: &Secret, limit: Duration, sending: &Sending<'_>) -> Refreshed {
        self.pleo
            .refresh(token, limit, async || sending.may_go().await)
            .await
    }

    /// What the answer says of us, the OAuth client.
    fn heed_client(&self, answer: &Refreshed) {
        match answer {
            Refreshed::ClientRejected(_) => self.client.open(self.clock.boot()),
            Refreshed::Pair(_) | Refreshed::Rejected(_) => self.client.close(),
            Refreshed::Withheld
            | Refreshed::NotSent(_)
            | Refreshed::RefusedForNow { .. }
            | Refreshed::NoPair(_) => {}
        }
    }

    /// Closes the attempt, or puts its pair into use.
    async fn finish(
        self: &Arc<Self>,
        begun: &Connection,
        id: AttemptId,
        answer: Refreshed,
        sent: Option<(Timestamp, Boot)>,
    ) -> Result<(), ChangeError> {
        let tenant = &begun.tenant;
        let (outcome, retry_after) = match answer {
            Refreshed::Pair(answer) => {
                self.commit_answer(begun, id, answer, sent).await?;
                return Ok(());
            }
            Refreshed::Withheld => (Outcome::NotSent, None),
            Refreshed::NotSent(cause) => {
                tracing::warn!(%tenant, attempt = %id, %cause, "a refresh could not be sent");
                (Outcome::NotSent, None)
            }
            Refreshed::Rejected(code) => {
                tracing::error!(%tenant, attempt = %id, %code, "Pleo refused the refresh token: a person has to consent again");
                (Outcome::Rejected, None)
            }
            Refreshed::ClientRejected(code) => {
                tracing::error!(%tenant, attempt = %id, %code, "Pleo refused the OAuth client: check [pleo] client_id and client_secret");
                (Outcome::ClientRejected, None)
            }
            Refreshed::RefusedForNow { retry_after } => (Outcome::RefusedForNow, retry_after),
            Refreshed::NoPair(cause) => {
                tracing::warn!(%tenant, attempt = %id, %cause, "a refresh was sent and brought no pair");
                (Outcome::NoPair, None)
            }
        };
        let retry_at = retry_after.and_then(|wait| sent.map(|(at, _)| at + wait));
        // R8: the outcome is no new pair, and to write it down may take long.
        self.release(tenant);
        self.close(tenant, id, outcome, retry_at).await
    }
}

fn counted(answer: &Refreshed) -> LedgerOutcome {
    match answer {
        Refreshed::Pair(_) => LedgerOutcome::Ok,
        Refreshed::Withheld | Refreshed::NotSent(_) => LedgerOutcome::NotSent,
        Refreshed::RefusedForNow { .. } => LedgerOutcome::RefusedForNow,
        Refreshed::ClientRejected(_) => LedgerOutcome::ClientRejected,
        Refreshed::Rejected(_) => LedgerOutcome::Rejected,
        Refreshed::NoPair(_) => LedgerOutcome::Uncertain,
    }
}

/// The last look before the first byte (R2), and the moment it was taken: lives are counted from there (R10).
struct Sending<'a> {
    house: &'a House,
    tenant: &'a TenantName,
    id: AttemptId,
    sent: Mutex<Option<(Timestamp, Boot)>>,
}

impl Sending<'_> {
    async fn may_go(&self) -> bool {
        self.house.hold(self.tenant);
        self.house.quiesce(self.tenant).await;
        let Ok((seen, timing)) = self.house.look(self.tenant).await else {
            return false;
        };
        let Some(row) = seen.row else { return false };
        let standing = |attempt: &Attempt| self.house.standing(attempt, timing);
        let may = may_send(&row, self.id, &self.house.moment(timing, &standing));
        if may {
            *self.sent.lock().unwrap_or_else(PoisonError::into_inner) =
                Some((timing.now, timing.boot));
        }
        may
    }

    fn sent_at(&self) -> Option<(Timestamp, Boot)> {
        *self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
