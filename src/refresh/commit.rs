//! Putting a pair into its row: from the answer, late, or from salvage (R3, R6).

use super::close::can_have_been_applied;
use super::{Moment, NewPair, PairSource, Refused, Step};
use crate::model::connection::{
    Attempt, Connection, Evidence, Held, Outcome, Reason, State, Verdict,
};
use crate::model::ledger::{AuditKind, LedgerOutcome, Phase};

pub(super) fn commit(
    row: &Connection,
    pair: &NewPair,
    moment: &Moment<'_>,
) -> Result<Step, Refused> {
    may_commit(row, pair)?;
    let late = row.state != State::Refreshing
        || row
            .attempts
            .last()
            .is_none_or(|current| current.id != pair.attempt);
    let refresh = match (&pair.refresh, row.refresh_token()) {
        (Some(new), _) => new.clone(),
        (None, Some(old)) => old.clone(),
        (None, None) => return Err(Refused::State),
    };
    let mut row = row.clone();
    row.generation = row.generation.next();
    row.state = State::Active;
    row.reason = None;
    row.held = Held::Pair {
        access: Some(pair.access.clone()),
        refresh,
    };
    row.verdict = if pair.verified {
        Verdict::Accepted
    } else {
        Verdict::Untried
    };
    row.attempts.clear();
    row.evidence = Evidence::default();
    row.next_try_at = None;
    row.failures = 0;
    row.refreshed_at = Some(moment.now);
    if let Some(scopes) = &pair.scopes {
        row.scopes = Some(scopes.clone());
    }
    let outcome = match (pair.source, late) {
        (PairSource::Salvage, _) => LedgerOutcome::Salvaged,
        (PairSource::Answer, true) => LedgerOutcome::Adopted,
        (PairSource::Answer, false) => LedgerOutcome::Ok,
    };
    let words = format!("generation {}", row.generation.0);
    Ok(Step::to(row)
        .noting(moment, Some(pair.attempt), Phase::Committed, Some(outcome))
        .audited(AuditKind::Refreshed, words))
}

fn may_commit(row: &Connection, pair: &NewPair) -> Result<(), Refused> {
    if row.epoch != pair.epoch {
        return Err(Refused::OldEpoch);
    }
    if row.generation != pair.generation {
        return Err(Refused::Superseded);
    }
    match row.state {
        State::Active | State::Refreshing | State::Uncertain => {}
        State::ReauthorizationRequired if row.reason == Some(Reason::AnswerLost) => {}
        State::ReauthorizationRequired => return Err(Refused::Superseded),
        State::Pending | State::Disconnected => return Err(Refused::OldEpoch),
    }
    let place = row
        .attempts
        .iter()
        .position(|a| a.id == pair.attempt)
        .ok_or(Refused::Superseded)?;
    later_attempts_allow(&row.attempts[place + 1..], pair.verified)
}

/// R6: a pair may be committed as long as no later attempt can have been sent; where one was, introspection has to
/// accept the pair, and only once that attempt is closed.
fn later_attempts_allow(later: &[Attempt], verified: bool) -> Result<(), Refused> {
    if later.iter().any(|a| a.outcome.is_none()) {
        return Err(Refused::Busy);
    }
    let sent = later
        .iter()
        .any(|a| can_have_been_applied(a) || a.outcome == Some(Outcome::Rejected));
    if sent && !verified {
        Err(Refused::Unverified)
    } else {
        Ok(())
    }
}
