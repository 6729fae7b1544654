//! What a process does: the real functions, called as the room `tokens` calls them.

use super::ghost::{Fate, Request};
use super::moves::{Move, outcome_of};
use super::process::{Flight, Life, Phase};
use super::world::{World, id_of};
use crate::model::connection::{Access, Outcome};
use crate::model::ids::{Epoch, Generation};
use crate::refresh::{Event, NewPair, PairSource, Refused, step};
use crate::secret::Secret;
use std::time::Duration;

/// One thing that a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// Writes the intent.
    Begin,
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
            Deed::Begin => return self.begin(p),
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
    fn must(&mut self, p: usize, event: &Event) -> Result<(), String> {
        let step = self
            .look(p, |row, moment| step(row, event, moment))
            .map_err(|refused| format!("asked for, then refused: {event:?}: {refused}"))?;
        self.adopt(step)
    }

    fn begin(&mut self, p: usize) -> Result<(), String> {
        self.check_begin()?;
        let attempt = self.begun;
        self.must(
            p,
            &Event::Begin {
                attempt: id_of(attempt),
                forced: false,
            },
        )?;
        self.begun += 1;
        self.processes[p].flight = Some(Flight {
            attempt,
            phase: Phase::Begun,
            stalled: false,
        });
        Ok(())
    }

    fn send(&mut self, p: usize) -> Result<(), String> {
        let attempt = self.attempt_of(p);
        self.check_send(attempt)?;
        let begun_at = self.row.attempts.last().map_or(self.now, |a| a.begun_at);
        let age = begun_at.until(self.now).min(Duration::from_secs(20));
        self.requests.push(Request {
            attempt,
            token: self.row.generation.0,
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
            Ok(step) => self.adopt(step),
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
        if !self.pleo.accepts(self.requests[r].token + 1) {
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
        Ok(self.adopt(step))
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

    /// True if a pair in the salvage folder can come out of it now, one way or another.
    pub(super) fn can_be_drained(&self, p: usize, r: usize) -> bool {
        let event = Event::Commit(Box::new(self.pair_of(r, PairSource::Salvage, false)));
        let tried = self.look(p, |row, moment| step(row, &event, moment));
        !matches!(tried, Err(Refused::Busy))
    }

    fn pair_of(&self, r: usize, source: PairSource, verified: bool) -> NewPair {
        let request = &self.requests[r];
        NewPair {
            attempt: id_of(request.attempt),
            epoch: Epoch(0),
            generation: Generation(request.token),
            access: Access {
                token: Secret::new("access"),
                since: self.now,
                expires_at: self.now + Duration::from_hours(1),
                life_known: true,
            },
            refresh: Some(Secret::new((request.token + 1).to_string())),
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

    /// What a process that is awake would do in a good world, if anything.
    pub(super) fn good_deed(&self, p: usize) -> Option<Deed> {
        if self.processes[p].life != Life::Awake {
            return None;
        }
        self.deeds(p)
            .into_iter()
            .find(|deed| Move::Do(p, *deed).fault().is_none())
    }

    /// True if that is done at once: a process that is awake does not dawdle, but for what the store or introspection
    /// may keep it waiting for.
    pub(super) fn is_urgent(&self, p: usize) -> bool {
        let stalled = self.processes[p].flight.is_some_and(|f| f.stalled);
        let silent = |deed| matches!(deed, Deed::Probe(_));
        !stalled && self.good_deed(p).is_some_and(|deed| !silent(deed))
    }
}
