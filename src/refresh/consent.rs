//! Epochs (R13): consents, imports and the end of a connection; and what introspection says about one.

use super::close::can_have_been_applied;
use super::{Import, Moment, Refused, Step};
use crate::clock::Timestamp;
use crate::model::connection::{
    Candidate, Connection, CredentialKind, Held, Reason, State, Verdict,
};
use crate::model::ids::CompanyId;
use crate::model::ledger::{AuditKind, LedgerOutcome, Phase};
use crate::model::scope::ScopeSet;

pub(super) fn begin_consent(
    row: &Connection,
    until: Timestamp,
    moment: &Moment<'_>,
) -> Result<Step, Refused> {
    let another = row.consent_until.is_some_and(|until| moment.now < until);
    if another || is_in_the_air(row, moment) {
        return Err(Refused::Busy);
    }
    let mut row = row.clone();
    row.consent_until = Some(until);
    Ok(Step::to(row))
}

/// True while Pleo may still come to apply an attempt: it would count as the replay of a token that a consent has
/// replaced. What was answered without a pair may be applied until its deadline (R4).
fn is_in_the_air(row: &Connection, moment: &Moment<'_>) -> bool {
    row.attempts
        .iter()
        .any(|a| can_have_been_applied(a) && !moment.is_past(a.deadline, a))
}

pub(super) fn offer(row: &Connection, candidate: &Candidate) -> Result<Step, Refused> {
    // No consent under way: an operator ended or replaced the connection while the code was exchanged.
    if row.consent_until.is_none() {
        return Err(Refused::OldEpoch);
    }
    let mut row = row.clone();
    row.candidate = Some(Box::new(candidate.clone()));
    Ok(Step::to(row))
}

pub(super) fn accept(
    row: &Connection,
    company: Option<&CompanyId>,
    scopes: Option<&ScopeSet>,
    moment: &Moment<'_>,
) -> Result<Step, Refused> {
    let candidate = row.candidate.clone().ok_or(Refused::Superseded)?;
    if let (Some(expected), Some(found)) = (&candidate.expected_company, company)
        && expected != found
    {
        return Err(Refused::State);
    }
    let mut row = renewed(row, moment.now);
    row.state = State::Active;
    row.credential = CredentialKind::Oauth;
    row.company = company.or(candidate.expected_company.as_ref()).cloned();
    row.shared_company = candidate.allow_shared_company;
    row.scopes = scopes.or(candidate.scopes.as_ref()).cloned();
    row.held = Held::Pair {
        access: Some(candidate.access),
        refresh: candidate.refresh,
    };
    row.verdict = Verdict::Accepted;
    row.refreshed_at = Some(moment.now);
    Ok(Step::to(row)
        .noting(moment, None, Phase::Committed, Some(LedgerOutcome::Adopted))
        .audited(AuditKind::Consented, format!("by {}", candidate.who)))
}

pub(super) fn decline(row: &Connection, until: Option<Timestamp>) -> Step {
    let mut row = row.clone();
    row.candidate = None;
    if row.consent_until == until {
        row.consent_until = None;
    }
    Step::to(row)
}

pub(super) fn abandon(row: &Connection, until: Timestamp, moment: &Moment<'_>) -> Step {
    let mut row = row.clone();
    if row.consent_until == Some(until) {
        row.consent_until = row.candidate.as_ref().map(|_| moment.now);
    }
    Step::to(row)
}

pub(super) fn import(
    row: &Connection,
    import: &Import,
    moment: &Moment<'_>,
) -> Result<Step, Refused> {
    let in_use = match row.state {
        State::Active | State::Refreshing | State::Uncertain => true,
        State::Pending | State::ReauthorizationRequired | State::Disconnected => false,
    };
    if in_use && !import.replace {
        return Err(Refused::WouldReplace);
    }
    // Also before a key: the row forgets its attempts, and the next consent has to know of them.
    if is_in_the_air(row, moment) {
        return Err(Refused::Busy);
    }
    let mut row = renewed(row, moment.now);
    row.state = State::Active;
    row.credential = import.credential;
    row.company.clone_from(&import.company);
    row.shared_company = import.allow_shared_company;
    row.scopes.clone_from(&import.scopes);
    row.held = import.held.clone();
    row.refreshed_at = row.access().map(|access| access.since);
    let words = match import.credential {
        CredentialKind::Oauth => "by an operator",
        CredentialKind::IntegratedKey => "an integrated API key, by an operator",
        CredentialKind::StandaloneKey => "a standalone API key, by an operator",
    };
    // Nobody consents to a key.
    row.consented_at = row.consented_at.filter(|_| !import.credential.is_key());
    let step = Step {
        brought: true,
        ..Step::to(row)
    };
    Ok(step
        .noting(moment, None, Phase::Committed, Some(LedgerOutcome::Adopted))
        .audited(AuditKind::Imported, words))
}

pub(super) fn disconnect(row: &Connection, moment: &Moment<'_>) -> Result<Step, Refused> {
    if row.state == State::Disconnected {
        return Err(Refused::State);
    }
    let attempts = row.attempts.clone();
    let mut row = renewed(row, moment.now);
    row.attempts = attempts;
    row.state = State::Disconnected;
    row.reason = Some(Reason::Disconnected);
    row.consented_at = None;
    Ok(Step::to(row).audited(AuditKind::Disconnected, "by an operator"))
}

pub(super) fn learn(
    row: &Connection,
    company: Option<&CompanyId>,
    scopes: Option<&ScopeSet>,
) -> Step {
    let mut row = row.clone();
    row.company = row.company.or_else(|| company.cloned());
    row.scopes = row.scopes.or_else(|| scopes.cloned());
    if row.verdict == Verdict::Untried {
        row.verdict = Verdict::Accepted;
    }
    Step::to(row)
}

/// The row at the start of its next epoch: nothing of the old authorisation is left but who it belonged to.
fn renewed(row: &Connection, now: Timestamp) -> Connection {
    Connection {
        epoch: row.epoch.next(),
        state: row.state,
        credential: row.credential,
        company: row.company.clone(),
        shared_company: row.shared_company,
        scopes: row.scopes.clone(),
        consented_at: Some(now),
        ..Connection::pending(row.tenant.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Event;
    use super::super::scene::{Scene, at, candidate};
    use super::*;
    use crate::model::connection::Outcome;
    use crate::model::ids::Generation;
    use crate::secret::Secret;

    fn begin_consent(scene: &mut Scene) -> Result<Step, Refused> {
        let until = scene.now + std::time::Duration::from_mins(1);
        scene.take(&Event::BeginConsent { until })
    }

    fn accept(scene: &mut Scene, company: &str) -> Result<Step, Refused> {
        scene.take(&Event::Accept {
            company: Some(CompanyId::new(company)),
            scopes: None,
        })
    }

    #[test]
    fn r13_a_consent_waits_for_attempts_in_the_air() {
        let mut scene = Scene::new();
        scene.begin(1).unwrap();
        assert_eq!(begin_consent(&mut scene).unwrap_err(), Refused::Busy);
        scene.close(1, Outcome::NoPair).unwrap();
        assert_eq!(begin_consent(&mut scene).unwrap_err(), Refused::Busy);
        assert!(begin_consent(scene.at(745)).is_ok());
    }

    #[test]
    fn r13_a_tombstone_remembers_what_is_in_the_air() {
        let mut scene = Scene::new();
        scene.begin(1).unwrap();
        scene.take(&Event::Disconnect).unwrap();
        assert_eq!(scene.row.held, Held::Nothing);
        assert_eq!(begin_consent(&mut scene).unwrap_err(), Refused::Busy);
        scene.close(1, Outcome::RefusedForNow).unwrap();
        assert_eq!(scene.row.state, State::Disconnected);
        assert!(begin_consent(&mut scene).is_ok());
    }

    #[test]
    fn r13_nothing_begins_until_the_consent_ends() {
        let mut scene = Scene::new();
        begin_consent(&mut scene).unwrap();
        assert_eq!(scene.begin(1).unwrap_err(), Refused::Busy);
        assert_eq!(begin_consent(&mut scene).unwrap_err(), Refused::Busy);
        scene.take(&Event::Offer(Box::new(candidate()))).unwrap();
        assert_eq!(scene.at(800).begin(1).unwrap_err(), Refused::Busy);
        let until = scene.row.consent_until;
        scene.take(&Event::Decline { until }).unwrap();
        assert_eq!(scene.row.access().unwrap().token.expose(), "access-0");
        assert!(scene.begin(1).is_ok());
    }

    #[test]
    fn r13_a_consent_that_came_to_nothing_takes_nothing_from_an_earlier_one() {
        let mut scene = Scene::new();
        begin_consent(&mut scene).unwrap();
        scene.take(&Event::Offer(Box::new(candidate()))).unwrap();
        begin_consent(scene.at(800)).unwrap();
        scene.take(&Event::Abandon { until: at(860) }).unwrap();
        assert!(scene.row.candidate.is_some());
        assert_eq!(scene.row.consent_until, Some(at(800)));
        assert_eq!(scene.begin(1).unwrap_err(), Refused::Busy);
        assert!(scene.at(1101).begin(1).is_ok());
    }

    #[test]
    fn r13_the_end_of_one_consent_does_not_open_the_time_of_another() {
        let mut scene = Scene::new();
        begin_consent(&mut scene).unwrap();
        let until = scene.row.consent_until;
        scene.take(&Event::Offer(Box::new(candidate()))).unwrap();
        begin_consent(scene.at(800)).unwrap();
        scene.take(&Event::Decline { until }).unwrap();
        scene.take(&Event::Abandon { until: at(780) }).unwrap();
        assert_eq!(scene.begin(1).unwrap_err(), Refused::Busy);
        assert!(scene.at(860).begin(1).is_ok());
    }

    #[test]
    fn r13_a_consent_that_never_comes_back_is_bounded() {
        let mut scene = Scene::new();
        begin_consent(&mut scene).unwrap();
        assert_eq!(scene.at(779).begin(1).unwrap_err(), Refused::Busy);
        assert!(scene.at(780).begin(1).is_ok());
    }

    #[test]
    fn r13_the_right_company_begins_the_next_epoch() {
        let mut scene = Scene::new();
        begin_consent(&mut scene).unwrap();
        scene.take(&Event::Offer(Box::new(candidate()))).unwrap();
        assert_eq!(accept(&mut scene, "two").unwrap_err(), Refused::State);
        accept(&mut scene, "one").unwrap();
        assert_eq!((scene.row.epoch.0, scene.row.generation.0), (1, 0));
        assert_eq!(scene.row.refresh_token().unwrap().expose(), "refresh-c");
        assert_eq!(scene.row.state, State::Active);
        assert!(scene.begin(1).is_ok());
    }

    #[test]
    fn a_consent_that_an_operator_has_ended_brings_nothing_back() {
        let mut scene = Scene::new();
        begin_consent(&mut scene).unwrap();
        scene.take(&Event::Disconnect).unwrap();
        let offered = scene.take(&Event::Offer(Box::new(candidate())));
        assert_eq!(offered.unwrap_err(), Refused::OldEpoch);
    }

    #[test]
    fn an_import_waits_for_what_is_in_the_air_and_replaces_only_on_request() {
        let import = |replace| {
            Event::Import(Box::new(Import {
                credential: CredentialKind::Oauth,
                held: Held::Pair {
                    access: None,
                    refresh: Secret::new("refresh-i"),
                },
                company: None,
                scopes: None,
                allow_shared_company: false,
                replace,
            }))
        };
        let mut scene = Scene::new();
        assert_eq!(
            scene.take(&import(false)).unwrap_err(),
            Refused::WouldReplace
        );
        scene.begin(1).unwrap();
        assert_eq!(scene.take(&import(true)).unwrap_err(), Refused::Busy);
        scene.close(1, Outcome::NotSent).unwrap();
        scene.take(&import(true)).unwrap();
        assert_eq!(scene.row.epoch.0, 1);
        assert_eq!(scene.row.verdict, Verdict::Untried);
        assert_eq!(scene.row.next_try_at, None);
        assert_eq!(at(720), scene.row.consented_at.unwrap());
    }

    #[test]
    fn r13_a_key_does_not_make_the_next_consent_forget_what_is_in_the_air() {
        let key = Event::Import(Box::new(Import {
            credential: CredentialKind::IntegratedKey,
            held: Held::Key(Secret::new("key")),
            company: None,
            scopes: None,
            allow_shared_company: false,
            replace: true,
        }));
        let mut scene = Scene::new();
        scene.begin(1).unwrap();
        assert_eq!(scene.take(&key).unwrap_err(), Refused::Busy);
        scene.at(745).take(&key).unwrap();
        assert!(begin_consent(&mut scene).is_ok());
    }

    #[test]
    fn what_introspection_tells_is_about_the_pair_it_was_asked_with() {
        let learn = |generation| Event::Learn {
            epoch: crate::model::ids::Epoch(0),
            generation: Generation(generation),
            company: Some(CompanyId::new("one")),
            scopes: None,
        };
        let mut scene = Scene::new();
        scene.row.verdict = Verdict::Untried;
        assert_eq!(scene.take(&learn(1)).unwrap_err(), Refused::Superseded);
        scene.take(&learn(0)).unwrap();
        assert_eq!(scene.row.verdict, Verdict::Accepted);
        assert_eq!(scene.row.company, Some(CompanyId::new("one")));
    }
}
