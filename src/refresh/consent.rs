//! Epochs (R13): consents, imports and the end of a connection; and what introspection tells about one.

use super::{Import, Moment, Refused, Step};
use crate::clock::Timestamp;
use crate::model::connection::{
    Candidate, Connection, CredentialKind, Evidence, Held, Reason, State, Verdict,
};
use crate::model::ids::{CompanyId, Generation};
use crate::model::ledger::{AuditKind, LedgerOutcome, Phase};
use crate::model::scope::ScopeSet;

pub(super) fn begin_consent(
    row: &Connection,
    until: Timestamp,
    moment: &Moment<'_>,
) -> Result<Step, Refused> {
    let in_the_air = row
        .attempts
        .iter()
        .any(|a| a.outcome.is_none() && !moment.is_past(a.deadline, a));
    if in_the_air {
        return Err(Refused::Busy);
    }
    let mut row = row.clone();
    row.consent_until = Some(until);
    Ok(Step::to(row))
}

pub(super) fn offer(
    row: &Connection,
    candidate: &Candidate,
    _moment: &Moment<'_>,
) -> Result<Step, Refused> {
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

pub(super) fn decline(row: &Connection) -> Result<Step, Refused> {
    let mut row = row.clone();
    row.candidate = None;
    row.consent_until = None;
    Ok(Step::to(row))
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
    let mut row = renewed(row, moment.now);
    row.state = State::Active;
    row.credential = import.credential;
    row.company.clone_from(&import.company);
    row.shared_company = import.allow_shared_company;
    row.scopes.clone_from(&import.scopes);
    row.held = import.held.clone();
    row.refreshed_at = row.access().map(|access| access.since);
    Ok(Step::to(row)
        .noting(moment, None, Phase::Committed, Some(LedgerOutcome::Adopted))
        .audited(AuditKind::Imported, "by an operator"))
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
) -> Result<Step, Refused> {
    let mut row = row.clone();
    row.company = row.company.or_else(|| company.cloned());
    row.scopes = row.scopes.or_else(|| scopes.cloned());
    if row.verdict == Verdict::Untried {
        row.verdict = Verdict::Accepted;
    }
    Ok(Step::to(row))
}

/// The row at the start of its next epoch: nothing of the old authorisation is left but who it belonged to.
fn renewed(row: &Connection, now: Timestamp) -> Connection {
    Connection {
        epoch: row.epoch.next(),
        generation: Generation(0),
        reason: None,
        held: Held::Nothing,
        verdict: Verdict::Untried,
        attempts: Vec::new(),
        evidence: Evidence::default(),
        next_try_at: None,
        failures: 0,
        refreshed_at: None,
        consented_at: Some(now),
        consent_until: None,
        candidate: None,
        ..row.clone()
    }
}
