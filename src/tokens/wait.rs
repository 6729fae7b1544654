//! Waiting for a token: in a bounded queue, for a flight to land, or for a hold to end (design.md R8, R11).

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::entry::Entry;
use super::tend::{Purpose, Tended};
use super::{House, ObtainError, knows_enough};
use crate::access::permit::Permit;
use crate::model::connection::State;
use crate::model::ids::TenantName;
use crate::telemetry::metrics::Lookup;

/// Uploads that are under way when a refresh is about to be sent are waited for at most this long (R8).
const LONGEST_QUIESCE: Duration = Duration::from_secs(1);

impl House {
    /// What this process knows once the tenant's flight has landed, or at once if its trouble is known.
    pub(super) async fn settled(
        self: &Arc<Self>,
        permit: &Permit,
    ) -> Result<Arc<Entry>, ObtainError> {
        let tenant = permit.tenant();
        // A flight that was in the air for something else may land without what this call needs: then one of its own.
        for round in 0..3 {
            let known = self.cache.get(tenant);
            let now = self.clock.boot();
            if let Some(entry) = known
                .as_ref()
                .filter(|entry| entry.live(now).is_none() && entry.is_settled(now))
            {
                self.metrics.token_lookup(Lookup::Refused);
                return Err(entry.trouble(now));
            }
            let seat = self.board(tenant, Purpose::of_wait(known.as_deref()));
            if round == 0 {
                let lookup = if seat.is_first {
                    Lookup::Miss
                } else {
                    Lookup::Wait
                };
                self.metrics.token_lookup(lookup);
            }
            match tokio::time::timeout(self.longest_flight(), seat.landed()).await {
                Ok(Some(Tended::Settled)) => {}
                // R11: whatever went wrong fails nobody whose token lives.
                Ok(Some(Tended::Failed(error))) => return self.alive(permit).ok_or(error),
                Ok(None) | Err(_) => break,
            }
            // Forgotten between the landing and this look: looked at again.
            let Some(entry) = self.cache.get(tenant) else {
                continue;
            };
            let now = self.clock.boot();
            if entry.live(now).is_none() {
                return Err(entry.trouble(now));
            }
            let doubtful = round == 0 && entry.is_doubtful(self.jumps.count());
            if knows_enough(&entry, permit) && !doubtful {
                return Ok(entry);
            }
        }
        self.alive(permit).ok_or(ObtainError::Unavailable {
            state: State::Refreshing,
            retry_after: Duration::from_secs(1),
        })
    }

    /// No call waits longer for a flight to land, whatever keeps it in the air.
    pub(super) fn longest_flight(&self) -> Duration {
        self.policy.timeout + crate::refresh::policy::DEADLINE_MARGIN
    }

    /// R8: while a refresh is about to be sent, wait for its end, at most `hold`; then go on with the old token.
    pub(super) async fn wait_out_hold(self: &Arc<Self>, permit: &Permit) -> Option<Arc<Entry>> {
        let entry = self.cache.get(permit.tenant())?;
        if !entry.is_held() {
            return None;
        }
        let since = self.clock.boot();
        let seat = self.board(permit.tenant(), Purpose::Due);
        let _ = tokio::time::timeout(self.hold, seat.landed()).await;
        self.metrics.held(since.until(self.clock.boot()));
        self.alive(permit)
    }

    /// R8: lets the requests go first that are being sent with the old token, for half of `hold` at most: the other half
    /// is the refresh's.
    pub(super) async fn quiesce(&self, tenant: &TenantName) {
        let entry = self.cache.get(tenant);
        let now = self.clock.boot();
        if let Some(old) = entry.as_ref().and_then(|entry| entry.live(now)) {
            let limit = LONGEST_QUIESCE.min(self.hold / 2);
            let _ = tokio::time::timeout(limit, old.quiet()).await;
        }
    }

    /// What a call can be served with at once, whatever is under way.
    pub(super) fn alive(&self, permit: &Permit) -> Option<Arc<Entry>> {
        let entry = self.cache.get(permit.tenant())?;
        entry.live(self.clock.boot())?;
        knows_enough(&entry, permit).then_some(entry)
    }

    /// A place in the queue for a tenant's token, while there is one.
    pub(super) fn queue_up(&self, tenant: &TenantName) -> Result<Place<'_>, ObtainError> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.get(tenant).copied().unwrap_or(0) >= self.max_queue_per_tenant {
            return Err(ObtainError::Overloaded);
        }
        *waiting.entry(tenant.clone()).or_default() += 1;
        Ok(Place {
            house: self,
            tenant: tenant.clone(),
        })
    }

    fn leave_queue(&self, tenant: &TenantName) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = waiting.get_mut(tenant) {
            *queue -= 1;
            if *queue == 0 {
                waiting.remove(tenant);
            }
        }
    }
}

/// A place in a queue, given back even if its holder goes away.
pub(super) struct Place<'a> {
    house: &'a House,
    tenant: TenantName,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.house.leave_queue(&self.tenant);
    }
}
