//! What follows when the clocks jump apart (design.md R10): a token whose remaining life is no longer certain is shown to
//! Pleo before it is used. How jumps are noticed is not here (`jumps`).

use std::sync::Arc;

use super::rows::ChangeError;
use super::tend::Round;
use super::{House, Timing};
use crate::model::connection::{Connection, State};
use crate::model::ids::TenantName;
use crate::pleo::introspect::Probe;
use crate::refresh::Refused;

impl House {
    pub(super) fn is_doubtful(&self, tenant: &TenantName) -> bool {
        (self.cache.get(tenant)).is_some_and(|entry| {
            entry.is_doubtful(self.jumps.count()) && entry.live(self.clock.boot()).is_some()
        })
    }

    /// Asks Pleo about a token that nobody is certain of. Refused, it is refreshed by force, once for its generation;
    /// silence fails nobody (R11).
    pub(super) async fn verify_life(
        self: &Arc<Self>,
        row: &Connection,
        timing: Timing,
    ) -> Result<Round, ChangeError> {
        let jumps = self.jumps.count();
        let probe = match row.state {
            State::Active => self.ask_introspection(row).await,
            // A refresh is under way or being resolved: that decides.
            _ => None,
        };
        if let Some(entry) = self.cache.get(&row.tenant) {
            entry.be_sure(jumps);
        }
        if matches!(probe, Some(Probe::Refused)) {
            self.replace_refused(row, timing).await
        } else {
            Ok(Round::Rests)
        }
    }

    /// Introspection refused a token before its time: it is refreshed by force, once for its generation (R7).
    pub(super) async fn replace_refused(
        self: &Arc<Self>,
        row: &Connection,
        timing: Timing,
    ) -> Result<Round, ChangeError> {
        match self.note_probe(row, timing, false).await {
            Ok(_) | Err(ChangeError::Refused(_)) => {}
            Err(error) => return Err(error),
        }
        let done = match self.attempt(row, true).await {
            Err(ChangeError::Refused(Refused::AlreadyForced)) => Ok(Round::Rests),
            done => done,
        };
        self.believe_dead(&row.tenant, (row.epoch, row.generation));
        done
    }

    /// Introspection refused this pair's token. If it is still the one that is shown, nobody tries it for a while.
    pub(super) fn believe_dead(
        &self,
        tenant: &TenantName,
        pair: (crate::model::ids::Epoch, crate::model::ids::Generation),
    ) {
        if let Some(entry) = self
            .cache
            .get(tenant)
            .filter(|entry| entry.row.pair == pair)
        {
            entry.believe_dead(self.clock.boot());
        }
    }
}
