//! What can happen next in a world. How it happens is in `deeds` (processes) and here (everything else).

use super::faults::Fault;
use super::ghost::{Fate, Loss};
use super::pleo::Answer;
use super::process::{Life, Phase};
use super::time::{MARGIN, Pace};
use super::world::World;
use crate::model::connection::{Outcome, State, Verdict};
use crate::refresh::next::{Next, may_send, next};

use super::deeds::{Deed, Heard};
use super::world::id_of;

/// One thing that can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// A process does something.
    Do(usize, Deed),
    Crash(usize),
    Restart(usize),
    Freeze(usize),
    Thaw(usize),
    /// Pleo comes to this request.
    Arrive(usize),
    /// The same, and the answer is lost.
    ArriveUnheard(usize),
    /// Pleo has had too many.
    Refuse(usize),
    /// This request never arrives.
    Drop(usize),
    /// Time passes, to the next moment or to the last that anybody can name.
    Pass(Pace, Until),
}

/// How far time passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    Next,
    Last,
}

impl Move {
    /// What it costs.
    pub(super) fn fault(self) -> Option<Fault> {
        match self {
            Self::Crash(_) => Some(Fault::Crash),
            Self::Freeze(_) => Some(Fault::Freeze),
            Self::ArriveUnheard(_) => Some(Fault::LostAnswer),
            Self::Refuse(_) => Some(Fault::TooMany),
            Self::Drop(_) => Some(Fault::LostRequest),
            Self::Pass(Pace::StoreAway, _) => Some(Fault::StoreAway),
            Self::Pass(Pace::StoreOnly, _) => Some(Fault::ClockStep),
            Self::Do(_, Deed::FailToSend) => Some(Fault::NotSent),
            Self::Do(_, Deed::HearFalseAnswer) => Some(Fault::FalseAnswer),
            Self::Do(_, Deed::FailToCommit) => Some(Fault::StoreAtCommit),
            Self::Do(_, Deed::FailToClose) => Some(Fault::StoreAtClose),
            Self::Do(_, Deed::Probe(Heard::Noise) | Deed::HearNoise) => Some(Fault::Noise),
            Self::Do(_, Deed::Probe(Heard::StaleCache)) => Some(Fault::StaleCache),
            Self::Do(_, _)
            | Self::Restart(_)
            | Self::Thaw(_)
            | Self::Arrive(_)
            | Self::Pass(Pace::All, _) => None,
        }
    }
}

impl World {
    /// Everything that can happen now.
    pub(super) fn moves(&self) -> Vec<Move> {
        let mut moves = Vec::new();
        for p in 0..self.processes.len() {
            self.moves_of_process(p, &mut moves);
        }
        for (i, request) in self.requests.iter().enumerate() {
            if request.fate == Fate::Travelling {
                moves.extend([
                    Move::Arrive(i),
                    Move::ArriveUnheard(i),
                    Move::Refuse(i),
                    Move::Drop(i),
                ]);
            }
        }
        let spans = self.spans().len();
        let at_once = !self.dawdles && (0..self.processes.len()).any(|p| self.is_urgent(p));
        for pace in [Pace::All, Pace::StoreAway, Pace::StoreOnly] {
            if spans > 0 && (pace != Pace::All || !at_once) {
                moves.push(Move::Pass(pace, Until::Next));
            }
            if spans > 1 && pace != Pace::All {
                moves.push(Move::Pass(pace, Until::Last));
            }
        }
        moves.retain(|m| m.fault().is_none_or(|fault| self.budget.allows(fault)));
        moves
    }

    fn moves_of_process(&self, p: usize, moves: &mut Vec<Move>) {
        match self.processes[p].life {
            Life::Down => moves.push(Move::Restart(p)),
            Life::Frozen => moves.extend([Move::Thaw(p), Move::Crash(p)]),
            Life::Awake => {
                moves.extend([Move::Crash(p), Move::Freeze(p)]);
                let deeds = self.deeds(p);
                moves.extend(deeds.into_iter().map(|deed| Move::Do(p, deed)));
            }
        }
    }

    /// What a process that is awake can do now; what it would do in a good world comes first.
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
        match self.look(p, next) {
            Next::Refresh if self.begun < self.most_attempts => deeds.push(Deed::Begin),
            Next::TakeOver => deeds.push(Deed::TakeOver),
            Next::Probe => {
                let truth = self.introspection_accepts();
                let lie = if truth {
                    Heard::Noise
                } else {
                    Heard::StaleCache
                };
                deeds.extend([Deed::Probe(Heard::Truth), Deed::Probe(lie)]);
            }
            Next::GiveUpAnswer => deeds.push(Deed::GiveUpAnswer),
            Next::Refresh | Next::Rest(_) | Next::Verify => {}
        }
        if self.row.state == State::Active && self.row.verdict != Verdict::Refused {
            deeds.push(Deed::HearNoise);
        }
        deeds
    }

    /// True if introspection with the access token held is accepted.
    pub(super) fn introspection_accepts(&self) -> bool {
        let alive = self.row.generation.0 > 0 || self.real < self.first_dies;
        alive && self.pleo.accepts(self.row.generation.0)
    }

    /// It happens. `Err` if that breaks a promise.
    pub(super) fn make(&mut self, what: Move) -> Result<(), String> {
        if let Some(fault) = what.fault() {
            self.budget.spend(fault);
        }
        match what {
            Move::Do(p, deed) => return self.carry_out(p, deed),
            Move::Crash(p) => self.crash(p),
            Move::Restart(p) => self.processes[p] = self.processes[p].again(),
            Move::Freeze(p) => self.processes[p].life = Life::Frozen,
            Move::Thaw(p) => self.processes[p].life = Life::Awake,
            Move::Arrive(r) => return self.arrive(r, true),
            Move::ArriveUnheard(r) => return self.arrive(r, false),
            Move::Refuse(r) => {
                self.requests[r].fate = Fate::Gone;
                self.answer(r, Answer::TooMany);
            }
            Move::Drop(r) => self.requests[r].fate = Fate::Gone,
            Move::Pass(pace, until) => {
                let spans = self.spans();
                let span = match until {
                    Until::Next => spans.first(),
                    Until::Last => spans.last(),
                };
                self.pass(span.copied().unwrap_or_default(), pace);
            }
        }
        Ok(())
    }

    fn crash(&mut self, p: usize) {
        let process = &mut self.processes[p];
        process.life = Life::Down;
        let Some(flight) = process.flight.take() else {
            return;
        };
        if let Some(r) = self.request_of(flight.attempt) {
            let request = &mut self.requests[r];
            let held = flight.phase == Phase::Holding || request.waiting == Some(Answer::Pair);
            request.waiting = None;
            if held && request.salvage.is_none() {
                self.loss = Some(Loss::Answer);
            }
        }
    }

    fn arrive(&mut self, r: usize, heard: bool) -> Result<(), String> {
        self.requests[r].fate = Fate::Gone;
        let was_ended = self.pleo.ended;
        let answer = self.pleo.refresh(self.requests[r].token);
        if answer == Answer::Pair {
            self.requests[r].fate = Fate::Applied;
        }
        let taken = heard && self.answer(r, answer);
        if answer == Answer::Pair && !taken {
            self.loss = Some(Loss::Answer);
        }
        if self.pleo.ended && !was_ended && self.loss.is_none() {
            return Err("the authorisation ended although no answer was lost".to_owned());
        }
        Ok(())
    }

    /// The answer reaches its owner's socket, if that is still open.
    fn answer(&mut self, r: usize, answer: Answer) -> bool {
        let request = &mut self.requests[r];
        let listens = self.processes.iter().any(|p| {
            p.flight
                .is_some_and(|f| f.attempt == request.attempt && f.phase == Phase::Sent)
        });
        if listens {
            request.waiting = Some(answer);
        }
        listens
    }
}

/// How the owner names an answer without a pair.
pub(super) fn outcome_of(answer: Answer) -> Option<Outcome> {
    match answer {
        Answer::Pair => None,
        Answer::Rejected => Some(Outcome::Rejected),
        Answer::TooMany => Some(Outcome::RefusedForNow),
    }
}
