//! API keys: they have no generations and are never refreshed. All that can happen to one is that Pleo refuses it; a new one
//! arrives as an import does (`consent`).

use super::{Moment, Refused, Step};
use crate::model::connection::{Connection, Held, Reason, State};
use crate::model::ids::Epoch;
use crate::model::ledger::{AuditKind, LedgerOutcome, Phase};

/// Pleo refused the key of this epoch: it is erased and never sent again. The first to say so changes the row.
pub(super) fn reject(row: &Connection, epoch: Epoch, moment: &Moment<'_>) -> Result<Step, Refused> {
    if row.epoch != epoch {
        return Err(Refused::OldEpoch);
    }
    if row.state != State::Active || !matches!(row.held, Held::Key(_)) {
        return Err(Refused::State);
    }
    let mut row = row.clone();
    row.state = State::ReauthorizationRequired;
    row.reason = Some(Reason::KeyRejected);
    row.held = Held::Nothing;
    let outcome = Some(LedgerOutcome::Rejected);
    Ok(Step::to(row)
        .noting(moment, None, Phase::Answered, outcome)
        .audited(AuditKind::Rejected, "Pleo refused the API key")
        .audited(
            AuditKind::ReauthorizationRequired,
            "the API key has to be replaced",
        ))
}

#[cfg(test)]
mod tests {
    use super::super::next::{Next, next};
    use super::super::scene::Scene;
    use super::super::{Event, Import};
    use super::*;
    use crate::model::connection::{CredentialKind, Outcome};
    use crate::model::ids::CompanyId;
    use crate::secret::Secret;

    fn set_key(replace: bool) -> Event {
        Event::Import(Box::new(Import {
            credential: CredentialKind::IntegratedKey,
            held: Held::Key(Secret::new("key")),
            company: Some(CompanyId::new("one")),
            scopes: None,
            allow_shared_company: false,
            replace,
        }))
    }

    fn reject(scene: &mut Scene, epoch: u64) -> Result<Step, Refused> {
        scene.take(&Event::RejectKey {
            epoch: Epoch(epoch),
        })
    }

    fn keyed() -> Scene {
        let mut scene = Scene::new();
        scene.take(&set_key(true)).unwrap();
        scene
    }

    #[test]
    fn a_key_begins_an_epoch_and_asks_for_nothing() {
        let mut scene = Scene::new();
        assert_eq!(
            scene.take(&set_key(false)).unwrap_err(),
            Refused::WouldReplace
        );
        scene.take(&set_key(true)).unwrap();
        assert_eq!((scene.row.epoch.0, scene.row.generation.0), (1, 0));
        assert_eq!(
            (scene.row.consented_at, scene.row.refreshed_at),
            (None, None)
        );
        scene.at(9_000_000);
        assert_eq!(scene.look(next), Next::Rest(None));
        assert_eq!(scene.begin(1).unwrap_err(), Refused::State);
        assert_eq!(scene.force(1).unwrap_err(), Refused::State);
    }

    #[test]
    fn a_key_waits_for_a_refresh_in_the_air() {
        let mut scene = Scene::new();
        scene.begin(1).unwrap();
        assert_eq!(scene.take(&set_key(true)).unwrap_err(), Refused::Busy);
        scene.close(1, Outcome::NotSent).unwrap();
        scene.take(&set_key(true)).unwrap();
    }

    #[test]
    fn a_refused_key_is_erased_once_and_replaced_without_being_asked() {
        let mut scene = keyed();
        let step = reject(&mut scene, 1).unwrap();
        assert_eq!(step.audit.len(), 2);
        assert_eq!(scene.row.state, State::ReauthorizationRequired);
        assert_eq!(scene.row.reason, Some(Reason::KeyRejected));
        assert_eq!(scene.row.held, Held::Nothing);
        assert_eq!(scene.row.company, Some(CompanyId::new("one")));
        assert_eq!(reject(&mut scene, 1).unwrap_err(), Refused::State);
        scene.take(&set_key(false)).unwrap();
        assert_eq!(
            (scene.row.state, scene.row.reason, scene.row.epoch.0),
            (State::Active, None, 2)
        );
    }

    #[test]
    fn the_refusal_of_an_older_key_is_not_about_the_one_held() {
        let mut scene = keyed();
        scene.take(&set_key(true)).unwrap();
        assert_eq!(reject(&mut scene, 1).unwrap_err(), Refused::OldEpoch);
        assert_eq!(scene.row.state, State::Active);
    }

    #[test]
    fn a_pair_is_no_key() {
        let mut scene = Scene::new();
        assert_eq!(reject(&mut scene, 0).unwrap_err(), Refused::State);
    }
}
