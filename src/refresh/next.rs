//! What a row asks for next: the decision of flights, the keeper and recovery.

use super::Moment;
use super::begin::may_present_again;
use super::evidence::{answer_is_lost, next_probe_at};
use super::policy::Uncertain;
use crate::clock::Timestamp;
use crate::model::connection::{Connection, CredentialKind, Held, State};

pub use super::begin::may_send;

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
    let by_age = row
        .access()
        .map_or(moment.now, |access| moment.policy.due_at(access));
    let due = [row.next_try_at, row.consent_until]
        .into_iter()
        .flatten()
        .fold(by_age, Timestamp::max);
    let due = row
        .attempts
        .iter()
        .filter(|a| a.outcome != Some(crate::model::connection::Outcome::NotSent))
        .map(|a| a.deadline)
        .fold(due, Timestamp::max);
    if moment.now >= due {
        Next::Refresh
    } else {
        Next::Rest(Some(due))
    }
}

fn uncertain(row: &Connection, moment: &Moment<'_>) -> Next {
    let last_wait = row
        .attempts
        .iter()
        .map(|a| a.adopt_until)
        .max()
        .unwrap_or(moment.now);
    if row.evidence.applied {
        return if answer_is_lost(row, moment) {
            Next::GiveUpAnswer
        } else {
            rest(last_wait, moment)
        };
    }
    if let Some(at) = next_probe_at(row, moment) {
        return if moment.now >= at {
            Next::Probe
        } else {
            Next::Rest(Some(at))
        };
    }
    if moment.policy.uncertain == Uncertain::Park {
        return Next::Rest(None);
    }
    let backing_off = row.next_try_at.filter(|at| moment.now < *at);
    match (may_present_again(row, moment), backing_off) {
        (true, None) => Next::Refresh,
        (true, Some(at)) => Next::Rest(Some(at)),
        (false, _) => {
            let deadline = row
                .attempts
                .iter()
                .map(|a| a.deadline)
                .max()
                .unwrap_or(moment.now);
            rest(deadline, moment)
        }
    }
}

/// Rest until then; if that is past by the store's clock alone, the watching is not done yet: look again soon.
fn rest(until: Timestamp, moment: &Moment<'_>) -> Next {
    Next::Rest(Some(
        until.max(moment.now + std::time::Duration::from_millis(500)),
    ))
}
