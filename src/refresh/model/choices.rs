//! What a process that is awake can do next: what the row asks for, and what the world allows to happen to it.

use super::deeds::{Deed, Heard};
use super::faults::Fault;
use super::process::{Phase, Stage};
use super::time::MARGIN;
use super::world::{World, id_of};
use crate::model::connection::{State, Verdict};
use crate::refresh::Event;
use crate::refresh::next::{Next, may_send, next};
use crate::refresh::policy::Uncertain;

impl World {
    /// What a process can do now; what it would do in a good world comes first.
    pub(super) fn deeds(&self, p: usize) -> Vec<Deed> {
        let Some(flight) = self.processes[p].flight else {
            return self.deeds_on_ground(p);
        };
        match flight.phase {
            Phase::Begun => {
                let may = self.look(p, |row, m| may_send(row, id_of(flight.attempt), m));
                if may {
                    vec![Deed::Send, Deed::FailToSend]
                } else {
                    vec![Deed::StandBack]
                }
            }
            Phase::Sent => self.deeds_while_waiting(flight.attempt),
            Phase::Holding if flight.stalled => vec![Deed::Commit],
            Phase::Holding => vec![Deed::Commit, Deed::FailToCommit],
            Phase::Closing(outcome) if flight.stalled => vec![Deed::Close(outcome)],
            Phase::Closing(outcome) => vec![Deed::Close(outcome), Deed::FailToClose],
        }
    }

    fn deeds_while_waiting(&self, attempt: usize) -> Vec<Deed> {
        let Some(request) = self.request_of(attempt).map(|r| &self.requests[r]) else {
            return Vec::new();
        };
        if request.waiting.is_some() {
            return vec![Deed::Receive];
        }
        let mut deeds = Vec::new();
        if self.real >= request.deadline - MARGIN {
            deeds.push(Deed::TimeOut);
        }
        deeds.push(Deed::HearFalseAnswer);
        deeds
    }

    fn deeds_on_ground(&self, p: usize) -> Vec<Deed> {
        let machine = self.machine(p);
        let mut deeds: Vec<Deed> = (0..self.requests.len())
            .filter(|r| self.requests[*r].salvage == Some(machine))
            .filter(|r| self.can_be_drained(p, *r))
            .map(Deed::Drain)
            .collect();
        // Local salvage is drained before every step of resolution.
        if !deeds.is_empty() {
            return deeds;
        }
        let asked = self.look(p, next);
        match asked {
            Next::Refresh if self.attempts_left > 0 => deeds.push(Deed::Begin),
            Next::TakeOver => deeds.push(Deed::TakeOver),
            Next::Probe if !self.silent => deeds.extend(self.probes()),
            Next::GiveUpAnswer => deeds.push(Deed::GiveUpAnswer),
            Next::Verify if !self.silent => deeds.extend(VERIFY),
            Next::Rest(_) | Next::Refresh | Next::Probe | Next::Verify => {}
        }
        let offered = |c: super::process::Consent| c.by == p && c.stage == Stage::Offered;
        if asked != Next::Verify && !self.silent && self.consent.is_some_and(offered) {
            deeds.extend(VERIFY);
        }
        if asked == Next::Rest(None) {
            deeds.extend(self.decisions(p));
        }
        deeds.extend(self.deeds_out_of_turn(p, asked));
        deeds
    }

    fn probes(&self) -> [Deed; 2] {
        let lie = if self.introspection_accepts() {
            Heard::Noise
        } else {
            Heard::StaleCache
        };
        [Deed::Probe(Heard::Truth), Deed::Probe(lie)]
    }

    /// What an operator decides where the row waits for one.
    fn decisions(&self, p: usize) -> Vec<Deed> {
        let is_parked =
            self.start.uncertain == Uncertain::Park && self.row.state == State::Uncertain;
        let may_retry = is_parked && self.attempts_left > 0 && self.try_out(p, &Event::Retry);
        let may_give_up = is_parked && self.try_out(p, &Event::GiveUp);
        let retry = may_retry.then_some(Deed::Retry);
        retry
            .into_iter()
            .chain(may_give_up.then_some(Deed::GiveUp))
            .collect()
    }

    /// What a call's 401 or an operator's wish brings about, whatever the row asks for.
    fn deeds_out_of_turn(&self, p: usize, asked: Next) -> Vec<Deed> {
        let mut deeds = Vec::new();
        if self.row.state != State::Active {
            return deeds;
        }
        if self.row.verdict != Verdict::Refused && !self.silent {
            deeds.push(Deed::HearNoise);
        }
        let attempt = id_of(0);
        let may = |forced, fault| {
            self.budget.allows(fault)
                && self.attempts_left > 0
                && asked != Next::Refresh
                && self.try_out(p, &Event::Begin { attempt, forced })
        };
        if self.row.verdict == Verdict::Refused && may(true, Fault::Forced) {
            deeds.push(Deed::Force);
        }
        if may(false, Fault::Asked) {
            deeds.push(Deed::BeginEarly);
        }
        deeds
    }

    /// True if introspection with the access token held is accepted.
    pub(super) fn introspection_accepts(&self) -> bool {
        let is_first = self.row.generation.0 == 0 && self.row.epoch.0 == 0;
        let alive = !is_first || self.real < self.first_dies;
        alive && self.held().is_some_and(|token| self.pleo.accepts(token))
    }
}

const VERIFY: [Deed; 2] = [
    Deed::Verify {
        is_right_company: true,
    },
    Deed::Verify {
        is_right_company: false,
    },
];
