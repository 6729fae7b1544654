//! How time passes: always to the next moment at which anything can change.

use std::time::Duration;

use super::ghost::Fate;
use super::process::{Life, Phase, Process};
use super::world::{World, number_of, was_perhaps_sent};
use crate::clock::Timestamp;
use crate::model::connection::State;
use crate::refresh::policy::{CANDIDATE_HOLDS, EVIDENCE_APART, Policy};

/// Which clocks go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// All.
    All,
    /// All, but the store cannot be read.
    StoreAway,
    /// Only the store's.
    StoreOnly,
}

/// From the hard timeout of a call to its attempt's deadline.
pub(super) const MARGIN: Duration = Duration::from_secs(5);
const TO_DEADLINE: Duration = Duration::from_secs(25);
const TO_ADOPTION: Duration = Duration::from_secs(145);

impl World {
    /// How long until something can become different: each such span, none of them zero.
    pub(super) fn spans(&self) -> Vec<Duration> {
        let mut spans: Vec<Duration> = self
            .moments_of_row()
            .into_iter()
            .map(|at| self.now.until(at))
            .chain(self.spans_of_requests())
            .chain(self.spans_of_watching())
            .filter(|span| !span.is_zero())
            .collect();
        spans.sort_unstable();
        spans.dedup();
        spans
    }

    fn moments_of_row(&self) -> Vec<Timestamp> {
        let row = &self.row;
        let mut moments = Vec::new();
        for attempt in row.attempts.iter().filter(|a| was_perhaps_sent(a)) {
            moments.push(attempt.deadline);
            if self.adoption_matters(attempt.outcome.is_none()) {
                moments.push(attempt.adopt_until);
            }
        }
        if row.state == State::Uncertain {
            let first = row.evidence.accepted_at.or(row.evidence.refused_at);
            moments.extend(first.map(|at| at + EVIDENCE_APART));
            moments.extend(row.access().map(Policy::oracle_until));
        }
        if matches!(row.state, State::Active | State::Uncertain) {
            moments.extend(row.next_try_at);
        }
        moments.extend(row.consent_until);
        if row.candidate.is_some() {
            moments.extend(row.consent_until.map(|until| until + CANDIDATE_HOLDS));
        }
        moments
    }

    fn adoption_matters(&self, is_open: bool) -> bool {
        is_open || self.row.evidence.refused_at.is_some()
    }

    fn spans_of_requests(&self) -> Vec<Duration> {
        let mut spans = Vec::new();
        for request in &self.requests {
            if self.is_carried_out(request.attempt, Phase::Sent) {
                spans.push(self.real.until(request.deadline - MARGIN));
            }
            if request.fate == Fate::Travelling {
                spans.push(self.real.until(request.deadline));
            }
        }
        spans
    }

    fn spans_of_watching(&self) -> Vec<Duration> {
        let mut spans = Vec::new();
        for process in self.processes.iter().filter(|p| p.life == Life::Awake) {
            for attempt in self.row.attempts.iter().filter(|a| was_perhaps_sent(a)) {
                let halves = u64::from(process.watched[number_of(attempt.id)]);
                let watched = Duration::from_millis(halves * 500);
                if self.now >= attempt.deadline {
                    spans.push(TO_DEADLINE.saturating_sub(watched));
                }
                if self.now >= attempt.adopt_until
                    && self.adoption_matters(attempt.outcome.is_none())
                {
                    spans.push(TO_ADOPTION.saturating_sub(watched));
                }
            }
        }
        spans
    }

    /// Time passes.
    pub(super) fn pass(&mut self, span: Duration, pace: Pace) {
        self.now = self.now + span;
        if pace == Pace::StoreOnly {
            return;
        }
        self.real = self.real + span;
        for request in &mut self.requests {
            if request.fate == Fate::Travelling && self.real >= request.deadline {
                request.fate = Fate::Gone;
            }
        }
        if pace == Pace::StoreAway {
            return;
        }
        let halves = u16::try_from(span.as_millis() / 500).unwrap_or(u16::MAX);
        let most = u16::try_from(TO_ADOPTION.as_millis() / 500).unwrap_or(u16::MAX);
        let awake = |p: &&mut Process| p.life == Life::Awake;
        for process in self.processes.iter_mut().filter(awake) {
            for attempt in &self.row.attempts {
                let watched = &mut process.watched[number_of(attempt.id)];
                *watched = watched.saturating_add(halves).min(most);
            }
        }
    }
}
