//! What can happen in a world, and how it happens where no process or person does it.

use super::deeds::{Deed, Heard};
use super::faults::Fault;
use super::ghost::{Fate, Loss, Request};
use super::people::Act;
use super::pleo::Answer;
use super::process::{Life, Phase, Stage};
use super::properties::REPLAYED;
use super::time::Pace;
use super::world::World;
use crate::model::connection::Outcome;

/// One thing that can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// A process does something.
    Do(usize, Deed),
    /// A person does.
    Act(Act),
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
    /// Pleo answers nothing any more.
    FallSilent,
    /// It does again.
    Speak,
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
            Self::Act(act) => act.fault(),
            Self::Crash(_) => Some(Fault::Crash),
            Self::Freeze(_) => Some(Fault::Freeze),
            Self::ArriveUnheard(_) => Some(Fault::LostAnswer),
            Self::Refuse(_) => Some(Fault::TooMany),
            Self::Drop(_) => Some(Fault::LostRequest),
            Self::FallSilent => Some(Fault::Silence),
            Self::Pass(Pace::StoreAway, _) => Some(Fault::StoreAway),
            Self::Pass(Pace::StoreOnly, _) => Some(Fault::ClockStep),
            Self::Do(_, deed) => deed.fault(),
            Self::Restart(_)
            | Self::Thaw(_)
            | Self::Arrive(_)
            | Self::Speak
            | Self::Pass(Pace::All, _) => None,
        }
    }
}

impl Deed {
    fn fault(self) -> Option<Fault> {
        match self {
            Self::FailToSend => Some(Fault::NotSent),
            Self::HearFalseAnswer => Some(Fault::FalseAnswer),
            Self::FailToCommit => Some(Fault::StoreAtCommit),
            Self::FailToClose => Some(Fault::StoreAtClose),
            Self::Probe(Heard::Noise) | Self::HearNoise => Some(Fault::Noise),
            Self::Probe(Heard::StaleCache) => Some(Fault::StaleCache),
            Self::Force => Some(Fault::Forced),
            Self::BeginEarly => Some(Fault::Asked),
            _ => None,
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
            if self.may_arrive(request) {
                moves.extend([
                    Move::Arrive(i),
                    Move::ArriveUnheard(i),
                    Move::Refuse(i),
                    Move::Drop(i),
                ]);
            }
        }
        moves.extend(self.acts().into_iter().map(Move::Act));
        moves.push(if self.silent {
            Move::Speak
        } else {
            Move::FallSilent
        });
        let spans = self.spans().len();
        let at_once = !self.start.dawdles && (0..self.processes.len()).any(|p| self.is_urgent(p));
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

    /// Pleo may come to a request that nobody waits for any more only where answers may be lost.
    pub(super) fn may_arrive(&self, request: &Request) -> bool {
        let heard = self.is_carried_out(request.attempt, Phase::Sent);
        request.fate == Fate::Travelling
            && !self.silent
            && (heard || self.start.budget.allows(Fault::LostAnswer))
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

    /// What a process that is awake, or a consent in one, would do in a good world, if anything.
    pub(super) fn good_move(&self, p: usize) -> Option<Move> {
        if self.processes[p].life != Life::Awake {
            return None;
        }
        let deeds = self.deeds(p).into_iter().map(|deed| Move::Do(p, deed));
        let acts = self.acts_of_consent().into_iter().map(Move::Act);
        let own = self.consent.is_some_and(|c| c.by == p);
        deeds
            .chain(acts.filter(|_| own))
            .find(|good| good.fault().is_none())
    }

    /// True if that is done at once: a process that is awake does not dawdle, but for what the store, Pleo or a person
    /// may keep it waiting for.
    fn is_urgent(&self, p: usize) -> bool {
        let stalled = self.processes[p].flight.is_some_and(|f| f.stalled);
        let may_wait = |good| {
            matches!(
                good,
                Move::Do(
                    _,
                    Deed::Probe(_) | Deed::Verify { .. } | Deed::Retry | Deed::GiveUp
                ) | Move::Act(Act::Abandon | Act::Exchange { .. })
            )
        };
        !stalled && self.good_move(p).is_some_and(|good| !may_wait(good))
    }

    /// It happens. `Err` if that breaks a promise.
    pub(super) fn make(&mut self, what: Move) -> Result<(), String> {
        if let Some(fault) = what.fault() {
            self.budget.spend(fault);
        }
        self.happen(what)?;
        self.forget_requests();
        self.check_visible()
    }

    pub(super) fn happen(&mut self, what: Move) -> Result<(), String> {
        match what {
            Move::Do(p, deed) => return self.carry_out(p, deed),
            Move::Act(act) => return self.act(act),
            Move::FallSilent => self.silent = true,
            Move::Speak => self.silent = false,
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

    pub(super) fn crash(&mut self, p: usize) {
        if self.consent.is_some_and(|c| c.by == p) {
            self.consent = None;
        }
        let process = &mut self.processes[p];
        process.life = Life::Down;
        let Some(flight) = process.flight.take() else {
            return;
        };
        let Some(r) = self.request_of(flight.attempt) else {
            return;
        };
        let request = &mut self.requests[r];
        let waited = matches!(request.waiting.take(), Some(Answer::Pair(_)));
        let held = flight.phase == Phase::Holding || waited;
        if held && request.salvage.is_none() {
            self.lose_answer(r);
        }
    }

    /// Nobody has the pair that this request brought. That matters if nobody has put it into the row before.
    fn lose_answer(&mut self, r: usize) {
        if self.is_of_held(&self.requests[r]) {
            self.loss = self.loss.or(Some(Loss::Answer));
        }
    }

    fn arrive(&mut self, r: usize, heard: bool) -> Result<(), String> {
        let token = self.requests[r].token;
        let was_ended = self.pleo.has_ended(token.grant);
        let answer = self.pleo.refresh(token);
        self.requests[r].fate = match answer {
            Answer::Pair(new) => Fate::Applied(new),
            Answer::Rejected | Answer::TooMany => Fate::Gone,
        };
        let is_heard = heard && self.answer(r, answer);
        if matches!(answer, Answer::Pair(_)) && !is_heard {
            self.lose_answer(r);
        }
        let matters = self.held().is_some_and(|held| held.grant == token.grant)
            || self.consent.is_some_and(|c| c.stage != Stage::Begun);
        if self.pleo.has_ended(token.grant) && !was_ended && matters && self.loss.is_none() {
            return Err(REPLAYED.to_owned());
        }
        Ok(())
    }

    /// The answer reaches its owner's socket, if that is still open.
    fn answer(&mut self, r: usize, answer: Answer) -> bool {
        let listens = self.is_carried_out(self.requests[r].attempt, Phase::Sent);
        if listens {
            self.requests[r].waiting = Some(answer);
        }
        listens
    }
}

/// How the owner names an answer without a pair.
pub(super) fn outcome_of(answer: Answer) -> Option<Outcome> {
    match answer {
        Answer::Pair(_) => None,
        Answer::Rejected => Some(Outcome::Rejected),
        Answer::TooMany => Some(Outcome::RefusedForNow),
    }
}
