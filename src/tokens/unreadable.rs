//! Ending a connection whose row cannot be opened: sealed by a key that is gone, or changed by another hand. Nothing else
//! can be done with one (`operate`).

use super::rows::ChangeError;
use super::{House, Timing};
use crate::model::connection::Connection;
use crate::model::ids::TenantName;
use crate::refresh::{Event, Refused};
use crate::store::Written;

impl House {
    /// Writes a tombstone over the row. What it says of attempts in the air stays, as far as it is legible: a later
    /// consent waits for them.
    pub(super) async fn end_unreadable(
        &self,
        tenant: &TenantName,
    ) -> Result<Connection, ChangeError> {
        loop {
            let boot = self.clock.boot();
            let seen = self
                .store
                .legible(tenant)
                .await
                .map_err(ChangeError::Store)?;
            let timing = Timing {
                now: seen.now,
                boot,
            };
            let row = seen.row.ok_or(ChangeError::Refused(Refused::State))?;
            let step = self
                .step(&row, &Event::Disconnect, timing)
                .map_err(ChangeError::Refused)?;
            let change = self.change(step, seen.revision, timing);
            let (row, audit) = (change.row.clone(), change.audit.clone());
            match self.store.write(change).await.map_err(ChangeError::Store)? {
                Written::Done(revision) => {
                    audit.iter().for_each(crate::telemetry::audit::say);
                    self.show(&row, revision, timing);
                    return Ok(row);
                }
                Written::Conflict => {}
                Written::Taken(taken) => return Err(ChangeError::Taken(taken)),
            }
        }
    }
}
