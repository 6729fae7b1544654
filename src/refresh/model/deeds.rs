//! What a process does: the real functions, called as the room `tokens` calls them.

use std::time::Duration;

use super::ghost::{Fate, Loss, Request};
use super::moves::outcome_of;
use super::process::{Flight, Phase};
use super::world::{WITHOUT_END, World, id_of};
use crate::model::connection::Outcome;
use crate::model::ids::{Epoch, Generation};
use crate::refresh::{Event, NewPair, PairSource, Refused, step};
use crate::secret::Secret;

/// One thing that a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// Writes the intent.
    Begin,
    /// Writes it because a 401 asked for it (R7).
    Force,
    /// Writes it because an operator asked for it.
    BeginEarly,
    /// Looks once more and sends.
    Send,
    /// The dial fails.
    FailToSend,
    /// May not send any more.
    StandBack,
    /// Reads the answer.
    Receive,
    /// Waits no longer.
    TimeOut,
    /// Reads a 503, or a reset.
    HearFalseAnswer,
    /// Puts the pair into the row.
    Commit,
    /// The store refuses: into salvage with it.
    FailToCommit,
    /// Writes how the attempt ended.
    Close(Outcome),
    /// The store refuses that.
    FailToClose,
    /// Puts a pair from the salvage folder into the row.
    Drain(usize),
    /// Moves a silent owner's attempt to uncertain.
    TakeOver,
    /// Asks introspection.
    Probe(Heard),
    /// A 401 makes it ask introspection, which refuses a good token.
    HearNoise,
    /// Says that the answer is lost.
    GiveUpAnswer,
    /// Asks Pleo about a consent's pair and decides.
    Verify { is_right_company: bool },
    /// An operator decides for it.
    Retry,
    /// An operator gives the answer up.
    GiveUp,
}

/// What introspection is heard to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Truth,
    Noise,
    StaleCache,
}

impl World {
    pub(super) fn carry_out(&mut self, p: usize, deed: Deed) -> Result<(), String> {
        match deed {
            Deed::Begin | Deed::BeginEarly => return self.begin(p, false),
            Deed::Force => return self.begin(p, true),
            Deed::Send => return self.send(p),
            Deed::FailToSend | Deed::StandBack => self.move_to(p, Phase::Closing(Outcome::NotSent)),
            Deed::Receive => self.receive(p),
            Deed::TimeOut | Deed::HearFalseAnswer => {
                self.move_to(p, Phase::Closing(Outcome::NoPair));
            }
            Deed::Commit => {
                let attempt = self.attempt_of(p);
                if self.commit(p, attempt, PairSource::Answer)? {
                    self.processes[p].flight = None;
                } else {
                    self.stall(p);
                }
            }
            Deed::FailToCommit => self.salvage(p),
            Deed::FailToClose => self.stall(p),
            Deed::Close(outcome) => return self.close(p, outcome),
            Deed::Drain(r) => {
                let attempt = self.requests[r].attempt;
                self.commit(p, attempt, PairSource::Salvage)?;
            }
            Deed::TakeOver => return self.must(p, &Event::Overdue),
            Deed::GiveUpAnswer => return self.must(p, &Event::GiveUpAnswer),
            Deed::Verify { is_right_company } => return self.verify(p, is_right_company),
            Deed::Retry => {
                self.loss = self.loss.or(Some(Loss::Operator));
                return self.must(p, &Event::Retry);
            }
            Deed::GiveUp => {
                self.loss = self.loss.or(Some(Loss::Operator));
                return self.must(p, &Event::GiveUp);
            }
            Deed::HearNoise => return self.probe(p, false),
            Deed::Probe(heard) => {
                let truth = self.introspection_accepts();
                return self.probe(p, truth == (heard == Heard::Truth));
            }
        }
        Ok(())
    }

    fn attempt_of(&self, p: usize) -> usize {
        self.processes[p].flight.map_or(usize::MAX, |f| f.attempt)
    }

    fn move_to(&mut self, p: usize, phase: Phase) {
        let attempt = self.attempt_of(p);
        self.processes[p].flight = Some(Flight {
            attempt,
            phase,
            stalled: false,
        });
    }

    fn stall(&mut self, p: usize) {
        if let Some(flight) = &mut self.processes[p].flight {
            flight.stalled = true;
        }
    }

    /// A step that `next` asked for: to refuse it would be to ask again for ever.
    pub(super) fn must(&mut self, p: usize, event: &Event) -> Result<(), String> {
        let step = self
            .look(p, |row, moment| step(row, event, moment))
            .map_err(|refused| format!("asked for, then refused: {event:?}: {refused}"))?;
        self.adopt(event, step)
    }

    fn begin(&mut self, p: usize, forced: bool) -> Result<(), String> {
        self.check_begin()?;
        let attempt = self.free_number().ok_or("a row that grows")?;
        for process in &mut self.processes {
            process.watched[attempt] = 0;
        }
        let id = id_of(attempt);
        self.must(
            p,
            &Event::Begin {
                attempt: id,
                forced,
            },
        )?;
        if self.attempts_left != WITHOUT_END {
            self.attempts_left -= 1;
        }
        self.processes[p].flight = Some(Flight {
            attempt,
            phase: Phase::Begun,
            stalled: false,
        });
        Ok(())
    }

    pub(super) fn send(&mut self, p: usize) -> Result<(), String> {
        let attempt = self.attempt_of(p);
        let token = self.held().ok_or("nothing to present")?;
        self.check_send(attempt)?;
        self.check_forced(attempt)?;
        let begun_at = self.row.attempts.last().map_or(self.now, |a| a.begun_at);
        let age = begun_at.until(self.now).min(Duration::from_secs(20));
        self.requests.push(Request {
            attempt,
            by: self.processes[p].owner.clone(),
            token,
            held_as: (self.row.epoch.0, self.row.generation.0),
            deadline: self.real + Duration::from_secs(25) - age,
            fate: Fate::Travelling,
            waiting: None,
            salvage: None,
        });
        self.move_to(p, Phase::Sent);
        Ok(())
    }

    fn receive(&mut self, p: usize) {
        let attempt = self.attempt_of(p);
        let answer = self
            .request_of(attempt)
            .and_then(|r| self.requests[r].waiting.take());
        let phase = answer
            .and_then(outcome_of)
            .map_or(Phase::Holding, Phase::Closing);
        self.move_to(p, phase);
    }

    fn salvage(&mut self, p: usize) {
        let machine = self.machine(p);
        if let Some(r) = self.request_of(self.attempt_of(p)) {
            self.requests[r].salvage = Some(machine);
        }
        self.stall(p);
    }

    fn close(&mut self, p: usize, outcome: Outcome) -> Result<(), String> {
        let event = Event::Close {
            attempt: id_of(self.attempt_of(p)),
            outcome,
            retry_at: None,
        };
        self.processes[p].flight = None;
        match self.look(p, |row, moment| step(row, &event, moment)) {
            Ok(step) => self.adopt(&event, step),
            Err(Refused::Superseded) => Ok(()),
            Err(refused) => Err(format!("an owner may not close its attempt: {refused}")),
        }
    }

    /// True if the pair needs nobody's care any more.
    fn commit(&mut self, p: usize, attempt: usize, source: PairSource) -> Result<bool, String> {
        let Some(r) = self.request_of(attempt) else {
            return Err("a pair without a request".to_owned());
        };
        match self.try_commit(p, r, source, false) {
            Err(Refused::Unverified) => {}
            other => return self.after_commit(r, p, other),
        }
        let brought = self.requests[r].brought();
        if !brought.is_some_and(|token| self.pleo.accepts(token)) {
            self.requests[r].salvage = None;
            return Ok(true);
        }
        let verified = self.try_commit(p, r, source, true);
        if verified == Err(Refused::Unverified) {
            return Err("a verified pair counts as unverified".to_owned());
        }
        self.after_commit(r, p, verified)
    }

    fn try_commit(
        &mut self,
        p: usize,
        r: usize,
        source: PairSource,
        verified: bool,
    ) -> Result<Result<(), String>, Refused> {
        let event = Event::Commit(Box::new(self.pair_of(r, source, verified)));
        let step = self.look(p, |row, moment| step(row, &event, moment))?;
        Ok(self.adopt(&event, step))
    }

    fn after_commit(
        &mut self,
        r: usize,
        p: usize,
        result: Result<Result<(), String>, Refused>,
    ) -> Result<bool, String> {
        match result {
            Ok(adopted) => {
                self.requests[r].salvage = None;
                adopted.map(|()| true)
            }
            Err(Refused::Busy) => {
                self.requests[r].salvage = Some(self.machine(p));
                Ok(false)
            }
            Err(refused) => {
                self.check_thrown_away(r, refused)?;
                self.requests[r].salvage = None;
                Ok(true)
            }
        }
    }

    /// True if a pair in the salvage folder can come out of it now, one way or another. One that is newer than the row
    /// stays: the row was put back from a backup.
    pub(super) fn can_be_drained(&self, p: usize, r: usize) -> bool {
        if self.requests[r].held_as > (self.row.epoch.0, self.row.generation.0) {
            return false;
        }
        let event = Event::Commit(Box::new(self.pair_of(r, PairSource::Salvage, false)));
        let tried = self.look(p, |row, moment| step(row, &event, moment));
        !matches!(tried, Err(Refused::Busy))
    }

    fn pair_of(&self, r: usize, source: PairSource, verified: bool) -> NewPair {
        let request = &self.requests[r];
        let (epoch, generation) = request.held_as;
        NewPair {
            attempt: id_of(request.attempt),
            epoch: Epoch(epoch),
            generation: Generation(generation),
            access: self.new_access(),
            refresh: request.brought().map(|token| Secret::new(token.text())),
            scopes: None,
            verified,
            source,
        }
    }

    fn probe(&mut self, p: usize, accepted: bool) -> Result<(), String> {
        let event = Event::Probed {
            epoch: self.row.epoch,
            generation: self.row.generation,
            sent_at: self.now,
            accepted,
        };
        self.must(p, &event)
    }
}
