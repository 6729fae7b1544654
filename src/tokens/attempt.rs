//! One attempt to refresh, from the intent to its outcome (design.md R1–R4). Carried out by a flight, never by a call.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::House;
use super::rows::ChangeError;
use super::tend::PROBE_LIMIT;
use crate::clock::{Boot, Timestamp};
use crate::model::connection::{Attempt, Connection, Outcome, Verdict};
use crate::model::ids::{AttemptId, TenantName};
use crate::model::ledger::LedgerOutcome;
use crate::pleo::failure::Refreshed;
use crate::pleo::introspect::Probe;
use crate::refresh::next::may_send;
use crate::refresh::{Event, Refused};
use crate::secret::Secret;
use crate::store::StoreError;

impl House {
    /// Carries out one attempt, to whatever end. What came of it is in the row.
    pub(super) async fn attempt(
        self: &Arc<Self>,
        row: &Connection,
        forced: bool,
    ) -> Result<(), ChangeError> {
        let Ok(_turn) = self.refreshing.acquire().await else {
            return Ok(());
        };
        self.prove_salvage().await.map_err(ChangeError::Store)?;
        self.prove_oracle(row).await?;
        let started = self.clock.boot();
        let id = AttemptId::make();
        let begun = match self.begin(&row.tenant, id, forced).await {
            Err(ChangeError::Refused(
                Refused::Busy | Refused::Superseded | Refused::BackingOff(_),
            )) => {
                self.metrics.refreshed(LedgerOutcome::Busy, Duration::ZERO);
                return Ok(());
            }
            begun => begun?,
        };
        let Some(refresh_token) = begun.refresh_token() else {
            return Ok(());
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
        self.metrics
            .refreshed(counted(&answer), started.until(self.clock.boot()));
        self.finish(&begun, id, answer, sending.sent_at()).await
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
            Some(Probe::Accepted(identity)) => {
                let event = Event::Learn {
                    epoch: row.epoch,
                    generation: row.generation,
                    company: identity.company,
                    scopes: identity.scopes,
                };
                match self.apply(&row.tenant, &event).await {
                    Ok(_) | Err(ChangeError::Refused(_) | ChangeError::CompanyTaken(_)) => true,
                    Err(error) => return Err(error),
                }
            }
            Some(Probe::Refused) => false,
            Some(Probe::Silent(_)) | None => return Ok(()),
        };
        let event = Event::Probed {
            generation: row.generation,
            sent_at: timing.now,
            accepted,
        };
        match self.apply(&row.tenant, &event).await {
            Ok(_) | Err(ChangeError::Refused(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Writes the intent. A write of unknown outcome is settled by looking for the attempt's id (R2).
    async fn begin(
        &self,
        tenant: &TenantName,
        id: AttemptId,
        forced: bool,
    ) -> Result<Connection, ChangeError> {
        let begun = self
            .apply(
                tenant,
                &Event::Begin {
                    attempt: id,
                    forced,
                },
            )
            .await;
        match begun {
            Err(ChangeError::Store(StoreError::Unknown(cause))) => {
                if self
                    .is_written(tenant, id)
                    .await
                    .map_err(ChangeError::Store)?
                {
                    // Its intent stands, its time was spent: closing it as not sent loses nothing.
                    let close = Event::Close {
                        attempt: id,
                        outcome: Outcome::NotSent,
                        retry_at: None,
                    };
                    self.apply_until_written(tenant, &close).await?;
                }
                Err(ChangeError::Store(StoreError::Unknown(cause)))
            }
            begun => begun,
        }
    }

    async fn send(&self, token: &Secret, limit: Duration, sending: &Sending<'_>) -> Refreshed {
        self.pleo
            .refresh(token, limit, async || sending.may_go().await)
            .await
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
        let close = Event::Close {
            attempt: id,
            outcome,
            retry_at,
        };
        match self.apply_until_written(tenant, &close).await {
            Ok(_) | Err(ChangeError::Refused(_)) => Ok(()),
            Err(error) => Err(error),
        }
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
        let Ok((seen, timing)) = self.house.look(self.tenant).await else {
            return false;
        };
        let Some(row) = seen.row else { return false };
        let standing = |attempt: &Attempt| self.house.standing(attempt, timing);
        let may = may_send(&row, self.id, &self.house.moment(timing, &standing));
        if may {
            if let Some(entry) = self.house.cache.get(self.tenant) {
                entry.hold(true);
            }
            *self.sent.lock().unwrap_or_else(PoisonError::into_inner) =
                Some((timing.now, timing.boot));
        }
        may
    }

    fn sent_at(&self) -> Option<(Timestamp, Boot)> {
        *self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
