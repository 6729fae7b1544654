//! What a row asks for next: the decision of flights, the keeper and recovery.

use std::time::Duration;

use super::begin::may_begin;
use super::evidence::{is_after_deadlines, next_probe_at};
use super::policy::{CANDIDATE_HOLDS, Uncertain};
use super::resolve::may_give_up;
use super::{Moment, Refused};
use crate::clock::Timestamp;
use crate::model::connection::{Connection, CredentialKind, Held, State};

pub use super::begin::{may_send, rests_until};

/// What a row asks for next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing until then; `None`: nothing at all until somebody acts.
    Rest(Option<Timestamp>),
    /// Begin an attempt now.
    Refresh,
    /// The owner of the current attempt is silent past its deadline: take it over.
    TakeOver,
    /// Ask introspection with the access token held.
    Probe,
    /// The answer is lost for good: say so.
    GiveUpAnswer,
    /// A consent's pair waits for its company to be compared.
    Verify,
}

/// What this row asks for at this moment.
pub fn next(row: &Connection, moment: &Moment<'_>) -> Next {
    if row.candidate.is_some() && row.consent_until.is_none_or(|until| moment.now >= until) {
        return Next::Verify;
    }
    apart_from_consent(row, moment)
}

/// The same, where a consent's pair is left alone for now.
pub fn apart_from_consent(row: &Connection, moment: &Moment<'_>) -> Next {
    match row.state {
        State::Active => active(row, moment),
        State::Refreshing => row.current().map_or(Next::Rest(None), |current| {
            if moment.is_past(current.deadline, current) {
                Next::TakeOver
            } else {
                rest(current.deadline, moment)
            }
        }),
        State::Uncertain => uncertain(row, moment),
        State::Pending | State::ReauthorizationRequired | State::Disconnected => Next::Rest(None),
    }
}

fn active(row: &Connection, moment: &Moment<'_>) -> Next {
    if row.credential != CredentialKind::Oauth || !matches!(row.held, Held::Pair { .. }) {
        return Next::Rest(None);
    }
    let due = moment.policy.due_at(row).unwrap_or(moment.now);
    if moment.now < due {
        Next::Rest(Some(due))
    } else {
        refresh(row, moment)
    }
}

/// Begin, if that is allowed at this moment; else rest until it may be.
fn refresh(row: &Connection, moment: &Moment<'_>) -> Next {
    match may_begin(row, false, moment) {
        Ok(()) => Next::Refresh,
        Err(Refused::BackingOff(at)) => Next::Rest(Some(at)),
        Err(_) => {
            let holds = row
                .candidate
                .as_ref()
                .map_or(Duration::ZERO, |_| CANDIDATE_HOLDS);
            let consent = row.consent_until.map(|until| until + holds);
            let deadlines = row.attempts.iter().map(|a| a.deadline);
            rest(deadlines.chain(consent).max().unwrap_or(moment.now), moment)
        }
    }
}

fn uncertain(row: &Connection, moment: &Moment<'_>) -> Next {
    if may_give_up(row, moment) {
        return Next::GiveUpAnswer;
    }
    if row.evidence.applied {
        let last_wait = row.attempts.iter().map(|a| a.adopt_until).max();
        return rest(last_wait.unwrap_or(moment.now), moment);
    }
    if let Some(at) = next_probe_at(row, moment) {
        return if moment.now < at {
            Next::Rest(Some(at))
        } else if is_after_deadlines(row, moment.now, moment) {
            Next::Probe
        } else {
            rest(at, moment)
        };
    }
    match moment.policy.uncertain {
        Uncertain::Park => Next::Rest(None),
        Uncertain::Resolve => refresh(row, moment),
    }
}

/// Rest until then; if that is past by the store's clock alone, the watching is not done yet: look again soon.
fn rest(until: Timestamp, moment: &Moment<'_>) -> Next {
    Next::Rest(Some(until.max(moment.now + LOOK_AGAIN)))
}

const LOOK_AGAIN: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::super::Event;
    use super::super::scene::{Scene, at};
    use super::*;
    use crate::model::connection::Outcome;

    fn next_of(scene: &Scene) -> Next {
        scene.look(next)
    }

    #[test]
    fn an_active_row_rests_until_it_is_due() {
        let mut scene = Scene::new();
        assert_eq!(next_of(scene.at(719)), Next::Rest(Some(at(720))));
        assert_eq!(next_of(scene.at(720)), Next::Refresh);
    }

    #[test]
    fn what_may_not_begin_is_not_asked_for() {
        let mut scene = Scene::new();
        scene.begin(1).unwrap();
        scene.close(1, Outcome::RefusedForNow).unwrap();
        scene.knows(false, 3);
        assert_eq!(
            next_of(scene.at(746)),
            Next::Rest(Some(at(746) + LOOK_AGAIN))
        );
        scene.knows(false, 25);
        assert_eq!(next_of(&scene), Next::Refresh);
        scene.take(&Event::BeginConsent { until: at(800) }).unwrap();
        assert_eq!(next_of(&scene), Next::Rest(Some(at(800))));
    }

    #[test]
    fn beside_a_consent_s_pair_that_nobody_can_compare_the_old_one_is_refreshed_in_the_end() {
        let mut scene = Scene::new();
        scene.take(&Event::BeginConsent { until: at(760) }).unwrap();
        let candidate = super::super::scene::candidate();
        scene.take(&Event::Offer(Box::new(candidate))).unwrap();
        assert_eq!(next_of(scene.at(760)), Next::Verify);
        assert_eq!(scene.look(apart_from_consent), Next::Rest(Some(at(1060))));
        assert_eq!(scene.at(1059).begin(1).unwrap_err(), Refused::Busy);
        assert_eq!(scene.at(1060).look(apart_from_consent), Next::Refresh);
        scene.begin(1).unwrap();
        assert!(scene.look(|row, moment| may_send(row, super::super::scene::id(1), moment)));
        scene.commit(1, false).unwrap();
        assert!(scene.row.candidate.is_some(), "it is kept");
        assert_eq!(next_of(&scene), Next::Verify);
    }

    #[test]
    fn a_silent_owner_is_taken_over_then_pleo_is_asked_then_the_answer_given_up() {
        let mut scene = Scene::new();
        scene.begin(1).unwrap();
        scene.by("q");
        assert_eq!(next_of(scene.at(744)), Next::Rest(Some(at(745))));
        assert_eq!(next_of(scene.at(745)), Next::TakeOver);
        scene.take(&Event::Overdue).unwrap();
        assert_eq!(next_of(&scene), Next::Probe);
        scene.probed(false).unwrap();
        assert_eq!(next_of(&scene), Next::Rest(Some(at(750))));
        assert_eq!(next_of(scene.at(750)), Next::Probe);
        scene.probed(false).unwrap();
        assert_eq!(next_of(&scene), Next::Rest(Some(at(865))));
        assert_eq!(next_of(scene.at(865)), Next::GiveUpAnswer);
        scene.take(&Event::GiveUpAnswer).unwrap();
        assert_eq!(next_of(&scene), Next::Rest(None));
    }

    #[test]
    fn an_outage_until_expiry_leads_to_presenting_again_or_to_parking() {
        let mut scene = Scene::new();
        scene.begin(1).unwrap();
        scene.close(1, Outcome::NoPair).unwrap();
        assert_eq!(next_of(scene.at(889)), Next::Probe);
        assert_eq!(next_of(scene.at(890)), Next::Refresh);
        scene.policy.uncertain = Uncertain::Park;
        assert_eq!(next_of(&scene), Next::Rest(None));
    }

    #[test]
    fn a_restored_row_is_asked_about_then_given_up() {
        let mut scene = Scene::new();
        scene.restored(1);
        assert_eq!(next_of(&scene), Next::Probe);
        assert_eq!(next_of(scene.at(890)), Next::GiveUpAnswer);
    }
}
