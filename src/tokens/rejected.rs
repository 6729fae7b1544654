//! A 401 from Pleo, judged by the generation of the token it was sent with (design.md R7).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::bearer::Bearer;
use super::tend::{LOOK_EVERY, PROBE_LIMIT, Purpose, Tended};
use super::{House, ObtainError, Rejected};
use crate::model::connection::{Connection, State};
use crate::model::ids::TenantName;
use crate::pleo::introspect::{Credential, Probe};

/// What introspection said of the token that was rejected.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Inquiry {
    /// It stands: the 401 is about something else.
    Stands,
    /// It is dead.
    Dead,
    /// Nobody could tell.
    Silent,
    /// A refresh is under way or uncertain: nothing was asked.
    Moving(State),
    /// The store did not answer, or the connection is gone.
    Trouble(ObtainError),
}

/// How long "the token stands" is believed before Pleo is asked again.
const STANDS_FOR: Duration = Duration::from_secs(10);

/// A new pair is waited for at least this long, also where `hold` is off.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);

impl House {
    pub(super) async fn rejected(
        self: &Arc<Self>,
        tenant: &TenantName,
        bearer: &Bearer,
    ) -> Result<Rejected, ObtainError> {
        if let Some(newer) = self.newer_than(tenant, bearer) {
            return Ok(Rejected::Replay(newer));
        }
        // R11 has nobody to spare here: their token is the one that was refused.
        let _place = self.queue_up(tenant)?;
        let house = self.clone();
        let asked = tenant.clone();
        let sent_with = bearer.clone();
        // One question for one token: what is true of another pair is not.
        let key = (tenant.clone(), bearer.epoch(), bearer.generation());
        let seat = self.inquiries.board(&key, move || async move {
            house.inquire(&asked, &sent_with).await
        });
        let said = timeout(self.longest_flight(), seat.landed()).await;
        let said = said.ok().flatten().unwrap_or(Inquiry::Silent);
        if let Some(newer) = self.newer_than(tenant, bearer) {
            return Ok(Rejected::Replay(newer));
        }
        match said {
            Inquiry::Stands => Ok(Rejected::HandOn),
            Inquiry::Dead => self.force(tenant, bearer).await,
            Inquiry::Moving(state) => self.wait_for_newer(tenant, bearer, state).await,
            Inquiry::Silent => Err(unavailable(State::Active)),
            Inquiry::Trouble(error) => Err(error),
        }
    }

    fn newer_than(&self, tenant: &TenantName, bearer: &Bearer) -> Option<Bearer> {
        let entry = self.cache.get(tenant)?;
        entry
            .live(self.clock.boot())
            .filter(|current| bearer.is_older_than(current))
            .cloned()
    }

    /// Asks introspection once for all who were refused.
    async fn inquire(&self, tenant: &TenantName, bearer: &Bearer) -> Inquiry {
        if self.is_unstored(tenant) {
            // R6: this process knows of a newer pair than the store does.
            let moving = Inquiry::Moving(State::Refreshing);
            return self.inquire_without_store(bearer, moving).await;
        }
        let Ok((seen, timing)) = self.look(tenant).await else {
            let away = Inquiry::Trouble(ObtainError::StoreUnavailable);
            return self.inquire_without_store(bearer, away).await;
        };
        let Some(row) = seen.row else {
            return Inquiry::Trouble(ObtainError::NotConnected { state: None });
        };
        self.show(&row, seen.revision, timing);
        if matches!(row.state, State::Refreshing | State::Uncertain)
            || (row.epoch, row.generation) != (bearer.epoch(), bearer.generation())
        {
            return Inquiry::Moving(row.state);
        }
        let entry = self.cache.get(tenant);
        if (entry.as_ref()).is_some_and(|entry| entry.stands(self.clock.boot())) {
            return Inquiry::Stands;
        }
        let inquiry = match self.ask_introspection(&row).await {
            Some(Probe::Accepted(_)) => Inquiry::Stands,
            Some(Probe::Refused) if row.credential.is_key() => return self.refused_key(&row).await,
            Some(Probe::Refused) => Inquiry::Dead,
            Some(Probe::Silent(_)) | None => return Inquiry::Silent,
        };
        let accepted = inquiry == Inquiry::Stands;
        if accepted && let Some(entry) = self.cache.get(tenant) {
            entry.stand_until(self.clock.boot() + STANDS_FOR);
        }
        if row.credential.is_key() {
            return inquiry;
        }
        if let Err(error) = self.note_probe(&row, timing, accepted).await {
            tracing::debug!(%tenant, %error, "what introspection said could not be written down");
        }
        inquiry
    }

    /// Nothing can be refreshed now: all that Pleo can tell is that the 401 is about something else.
    async fn inquire_without_store(&self, bearer: &Bearer, otherwise: Inquiry) -> Inquiry {
        let Some(token) = bearer.access_token() else {
            return otherwise;
        };
        match self
            .pleo
            .who_am_i(Credential::Bearer(&token), PROBE_LIMIT)
            .await
        {
            Probe::Accepted(_) => Inquiry::Stands,
            Probe::Refused | Probe::Silent(_) => otherwise,
        }
    }

    /// A key cannot be refreshed: its refusal is the end of the connection, unless it was replaced meanwhile.
    async fn refused_key(&self, row: &Connection) -> Inquiry {
        if !self.reject_key(row).await {
            return Inquiry::Trouble(ObtainError::StoreUnavailable);
        }
        let Ok((seen, timing)) = self.look(&row.tenant).await else {
            return Inquiry::Trouble(ObtainError::StoreUnavailable);
        };
        let Some(now) = seen.row else {
            return Inquiry::Trouble(ObtainError::NotConnected { state: None });
        };
        self.show(&now, seen.revision, timing);
        if now.epoch == row.epoch {
            Inquiry::Trouble(self.trouble_of(&row.tenant))
        } else {
            Inquiry::Moving(now.state)
        }
    }

    /// The token is dead before its time: at most one forced refresh is sent for its generation.
    async fn force(
        self: &Arc<Self>,
        tenant: &TenantName,
        bearer: &Bearer,
    ) -> Result<Rejected, ObtainError> {
        loop {
            let seat = self.board(tenant, Purpose::Forced(bearer.generation()));
            let is_first = seat.is_first;
            match timeout(self.longest_flight(), seat.landed()).await {
                Ok(Some(Tended::Failed(error))) => return Err(error),
                Ok(_) => {}
                Err(_) => return Err(unavailable(State::Refreshing)),
            }
            if let Some(newer) = self.newer_than(tenant, bearer) {
                return Ok(Rejected::Replay(newer));
            }
            if is_first {
                break;
            }
        }
        self.believe_dead(tenant, (bearer.epoch(), bearer.generation()));
        match self.trouble_of(tenant) {
            ObtainError::Unavailable { state, .. } if state == State::Refreshing => {
                self.wait_for_newer(tenant, bearer, state).await
            }
            trouble => Err(trouble),
        }
    }

    /// R7: while a refresh runs or is uncertain, nothing is forced; the new pair is waited for, at most `hold`.
    async fn wait_for_newer(
        self: &Arc<Self>,
        tenant: &TenantName,
        bearer: &Bearer,
        state: State,
    ) -> Result<Rejected, ObtainError> {
        let end = self.clock.boot() + self.hold.max(SHORTEST_WAIT);
        loop {
            if let Some(newer) = self.newer_than(tenant, bearer) {
                return Ok(Rejected::Replay(newer));
            }
            let left = self.clock.boot().until(end);
            if left.is_zero() || !self.is_moving(tenant) {
                break;
            }
            // The keeper shows what other processes do: there is nothing to wait on but time.
            let seat = self.board(tenant, Purpose::Due);
            let _ = timeout(left, seat.landed()).await;
            tokio::time::sleep(LOOK_EVERY.min(left)).await;
        }
        Err(match self.trouble_of(tenant) {
            ObtainError::Unavailable { .. } => unavailable(state),
            gone => gone,
        })
    }

    fn is_moving(&self, tenant: &TenantName) -> bool {
        (self.cache.get(tenant))
            .is_some_and(|entry| matches!(entry.state, State::Refreshing | State::Uncertain))
    }

    fn trouble_of(&self, tenant: &TenantName) -> ObtainError {
        self.cache
            .get(tenant)
            .map_or(ObtainError::NotConnected { state: None }, |entry| {
                entry.trouble(self.clock.boot())
            })
    }
}

fn unavailable(state: State) -> ObtainError {
    ObtainError::Unavailable {
        state,
        retry_after: Duration::from_secs(1),
    }
}
