//! The promises. Each check runs at the step that could break it.

use super::ghost::{Fate, Loss, Request};
use super::process::Life;
use super::world::{GRACE, World, id_of};
use crate::model::connection::{Reason, State};
use crate::model::ledger::AuditKind;
use crate::refresh::{Refused, Step};

impl World {
    /// After a single refusal nothing begins before every answer was waited for (R5).
    pub(super) fn check_begin(&self) -> Result<(), String> {
        let token = self.row.generation.0;
        let refused = self.row.evidence.refused_at.is_some();
        let early = self
            .requests
            .iter()
            .filter(|r| r.token == token && self.real < r.deadline + GRACE)
            .any(|r| !self.is_stepped_over(r));
        if self.row.state == State::Uncertain && refused && early {
            return Err("begun after a refusal while the answer may still come".to_owned());
        }
        Ok(())
    }

    /// A token is presented only where no earlier presentation of it can still be applied, or be answered with a pair
    /// that somebody will bring (R4, R5). There is one sender at a time.
    pub(super) fn check_send(&mut self, attempt: usize) -> Result<(), String> {
        let token = self.row.generation.0;
        if self.proven {
            return Err("presented although evidence has proven it dead".to_owned());
        }
        let earlier = self.requests.iter().filter(|r| r.token == token);
        let mut silent_holder = false;
        let mut stepped_over = false;
        for request in earlier {
            if request.attempt == attempt {
                return Err("one attempt is sent twice".to_owned());
            }
            if self.real < request.deadline && self.is_stepped_over(request) {
                stepped_over = true;
                continue;
            }
            if self.real < request.deadline {
                return Err("presented before an earlier attempt's deadline".to_owned());
            }
            match request.fate {
                Fate::Travelling => return Err("presented while it can be applied".to_owned()),
                Fate::Applied if self.pair_is_held(request) => {
                    if self.real < request.deadline + GRACE {
                        return Err("presented while its answer can be adopted".to_owned());
                    }
                    silent_holder = true;
                }
                Fate::Applied if self.loss.is_none() => {
                    return Err("presented although it was applied and committed".to_owned());
                }
                Fate::Gone | Fate::Applied => {}
            }
        }
        let loss = match (silent_holder, stepped_over) {
            (true, _) => Some(Loss::SilentHolder),
            (_, true) => Some(Loss::StepOverTheDead),
            (false, false) => None,
        };
        self.loss = self.loss.or(loss);
        Ok(())
    }

    /// True if the store's clock is ahead and this request's owner is gone.
    fn is_stepped_over(&self, request: &Request) -> bool {
        let attempt = id_of(request.attempt);
        self.now > self.real
            && self
                .row
                .attempts
                .iter()
                .filter(|a| a.id == attempt)
                .any(|a| {
                    self.processes
                        .iter()
                        .all(|p| p.owner != a.owner || p.life == Life::Down)
                })
    }

    /// A pair that Pleo stands by is never turned away, unless the row has it already (R6).
    pub(super) fn check_thrown_away(&self, r: usize, refused: Refused) -> Result<(), String> {
        let pair = self.requests[r].token + 1;
        if self.pleo.accepts(pair) && self.row.generation.0 != pair {
            return Err(format!("a good pair was thrown away: {refused}"));
        }
        Ok(())
    }

    /// The row becomes what the step says.
    pub(super) fn adopt(&mut self, step: Step) -> Result<(), String> {
        if step.row.generation != self.row.generation {
            self.told = 0;
            self.proven = false;
        }
        let persons = step
            .audit
            .iter()
            .filter(|(kind, _)| *kind == AuditKind::ReauthorizationRequired)
            .count();
        let ended = step.row.state == State::ReauthorizationRequired
            && self.row.state != State::ReauthorizationRequired;
        if persons != usize::from(ended) {
            return Err("an end is told exactly once".to_owned());
        }
        self.row = step.row;
        self.proven |= self.row.evidence.applied;
        if ended {
            self.told += 1;
            self.check_end()?;
        }
        self.check_row()
    }

    /// A connection ends only because an answer was lost, or because who has it was silent for too long: that one is still
    /// taken when it comes.
    fn check_end(&self) -> Result<(), String> {
        let token = self.row.generation.0;
        let silent = |r: &Request| {
            r.token == token && self.pair_is_held(r) && self.real >= r.deadline + GRACE
        };
        if self.loss.is_none() && !self.requests.iter().any(silent) {
            return Err("a connection was given up although no answer was lost".to_owned());
        }
        if self.row.reason != Some(Reason::AnswerLost) {
            return Err(format!("a lost answer is called {:?}", self.row.reason));
        }
        if self.told > 1 {
            return Err("a lost answer is told twice".to_owned());
        }
        Ok(())
    }

    /// What is shown is what is durable, and the state fits the attempts.
    fn check_row(&self) -> Result<(), String> {
        let row = &self.row;
        let held = row.refresh_token().map(|t| t.expose().to_owned());
        let active = matches!(
            row.state,
            State::Active | State::Refreshing | State::Uncertain
        );
        if active && held != Some(row.generation.0.to_string()) {
            return Err("the pair held is not its generation's".to_owned());
        }
        if row.generation.0 > self.pleo.current {
            return Err("a pair that Pleo never gave".to_owned());
        }
        let open = row.attempts.iter().any(|a| a.outcome.is_none());
        if row.state == State::Active && open {
            return Err("active with an open attempt".to_owned());
        }
        Ok(())
    }
}
