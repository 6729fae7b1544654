//! The promises. Each has its name here and is checked at the step that could break it.

use super::ghost::{Fate, Loss, Request};
use super::process::{Phase, Stage};
use super::world::{GRACE, World, id_of};
use crate::model::connection::{Reason, State};
use crate::model::ledger::AuditKind;
use crate::refresh::policy::CANDIDATE_HOLDS;
use crate::refresh::{Event, Refused, Step};

pub(super) const ONE_SENDER: &str = "two senders of one token";
pub(super) const BEFORE_DEADLINE: &str = "presented before an earlier attempt's deadline";
pub(super) const AGAIN: &str = "a token was presented again that is known to be taken, or may be";
pub(super) const AFTER_REFUSAL: &str = "begun after a refusal while the answer may still come";
pub(super) const FORCED_TWICE: &str = "two forced refreshes of one generation were sent";
pub(super) const DURING_CONSENT: &str = "a token was presented while a consent replaces it";
pub(super) const IN_THE_AIR: &str = "a code was exchanged while an old token was in the air";
pub(super) const RESTORED: &str = "a token put back from a backup was presented";
pub(super) const REPLAYED: &str =
    "a replaced token ended the authorisation, and no answer was lost";
pub(super) const OUTAGE: &str = "a connection ended although no answer was lost: an outage of Pleo, \
     or a 401 that means nothing, has cost it";
pub(super) const REASON: &str = "the end of a connection is not called what it was";
pub(super) const ONCE: &str = "an end is not told exactly once";
pub(super) const DURABLE: &str = "a pair was seen before it was durable";
pub(super) const THROWN_AWAY: &str = "a late answer was thrown away";
pub(super) const STANDS: &str = "the row contradicts itself";
pub(super) const ENDS: &str = "it never comes to a good end";

/// A promise that is broken, and where.
pub(super) fn broken(promise: &str, how: impl std::fmt::Display) -> String {
    format!("{promise} ({how})")
}

/// True, or this promise is broken.
fn hold(promise: &str, holds: bool) -> Result<(), String> {
    holds.then_some(()).ok_or_else(|| promise.to_owned())
}

impl World {
    /// Nothing begins on a row that was put back, nor after a single refusal before every answer was waited for (R5).
    pub(super) fn check_begin(&self) -> Result<(), String> {
        hold(RESTORED, self.row.reason != Some(Reason::Restored))?;
        let refused = self.row.evidence.refused_at.is_some();
        let early = self
            .requests
            .iter()
            .filter(|r| self.is_of_held(r) && self.real < r.deadline + GRACE)
            .any(|r| r.fate != Fate::Gone && !self.is_stepped_over(r));
        let waits = self.row.state == State::Uncertain && refused && early;
        hold(AFTER_REFUSAL, !waits)
    }

    /// A token is presented only where no earlier presentation of it can still be applied, or be answered with a pair
    /// that somebody will bring (R4, R5). There is one sender at a time.
    pub(super) fn check_send(&mut self, attempt: usize) -> Result<(), String> {
        hold(RESTORED, self.row.reason != Some(Reason::Restored))?;
        let by_people = matches!(self.loss, Some(Loss::Consent | Loss::Revoked));
        hold(AGAIN, !self.proven || by_people)?;
        self.check_consent_is_over()?;
        let mut excuse = None;
        for request in self.requests.iter().filter(|r| self.is_of_held(r)) {
            hold(ONE_SENDER, request.attempt != attempt)?;
            if self.real < request.deadline {
                hold(BEFORE_DEADLINE, self.is_stepped_over(request))?;
                excuse = Some(Loss::StepOverTheDead);
                continue;
            }
            let is_sending = self.is_carried_out(request.attempt, Phase::Sent);
            hold(
                ONE_SENDER,
                !is_sending || request.waiting.is_some() || self.has_timed_out(request),
            )?;
            match request.fate {
                Fate::Travelling => return Err(broken(AGAIN, "it can still be applied")),
                Fate::Applied(_) if self.loss == Some(Loss::Operator) => {}
                Fate::Applied(_) if self.pair_is_held(request) => {
                    hold(AGAIN, self.real >= request.deadline + GRACE)?;
                    excuse = excuse.or(Some(Loss::SilentHolder));
                }
                Fate::Applied(_) => hold(AGAIN, self.loss.is_some())?,
                Fate::Gone => {}
            }
        }
        self.loss = self.loss.or(excuse);
        let dead = self.held().is_none_or(|token| !self.pleo.accepts(token));
        hold(AGAIN, !dead || self.loss.is_some())
    }

    /// An owner that stands still past its deadline has not closed its socket yet: it will find that out.
    fn has_timed_out(&self, request: &Request) -> bool {
        self.real >= request.deadline
    }

    /// R13: from before a code is exchanged until its pair is in use or declined, unless the consent takes too long.
    fn check_consent_is_over(&mut self) -> Result<(), String> {
        let pair_waits = self.row.candidate.is_some()
            && (self.row.consent_until).is_none_or(|until| self.now < until + CANDIDATE_HOLDS);
        hold(DURING_CONSENT, !pair_waits)?;
        let Some(consent) = self.consent else {
            return Ok(());
        };
        let in_time = self.real < consent.until && self.now == self.real;
        hold(DURING_CONSENT, !in_time)?;
        if consent.stage != Stage::Begun {
            self.loss = self.loss.or(Some(Loss::Consent));
        }
        Ok(())
    }

    /// A code is exchanged only when no request of the old authorisation can be applied any more: it would count as the
    /// replay of a replaced token (R13). Where the store's clock has stepped over the consent's minute, nobody knows.
    pub(super) fn check_exchange(&self) -> Result<(), String> {
        hold(IN_THE_AIR, self.now > self.real || !self.is_in_the_air())
    }

    fn is_in_the_air(&self) -> bool {
        self.requests
            .iter()
            .any(|r| r.fate == Fate::Travelling && r.token.grant == self.pleo.latest())
    }

    /// At most one forced refresh is sent per generation (R7).
    pub(super) fn check_forced(&mut self, attempt: usize) -> Result<(), String> {
        let id = id_of(attempt);
        if self.row.attempts.iter().any(|a| a.id == id && a.forced) {
            hold(FORCED_TWICE, !self.forced)?;
            self.forced = true;
        }
        Ok(())
    }

    /// True if the store's clock is ahead and this request's owner is gone.
    fn is_stepped_over(&self, request: &Request) -> bool {
        self.now > self.real && self.is_gone(&request.by)
    }

    /// A pair that Pleo stands by is never turned away, unless the row has it already (R6), or its epoch is over (R13).
    pub(super) fn check_thrown_away(&self, r: usize, refused: Refused) -> Result<(), String> {
        let request = &self.requests[r];
        let good = request.brought().filter(|token| self.pleo.accepts(*token));
        let is_lost = good.is_some()
            && request.held_as.0 == self.row.epoch.0
            && self.held() != good
            && self.loss != Some(Loss::Restored);
        if is_lost {
            return Err(broken(THROWN_AWAY, refused));
        }
        Ok(())
    }

    /// The row becomes what the step says.
    pub(super) fn adopt(&mut self, event: &Event, step: Step) -> Result<(), String> {
        let brings = matches!(
            event,
            Event::Commit(_) | Event::Accept { .. } | Event::Import(_)
        );
        let before = self.held();
        let ended = step.row.state == State::ReauthorizationRequired
            && self.row.state != State::ReauthorizationRequired;
        let moved = (step.row.epoch, step.row.generation) != (self.row.epoch, self.row.generation);
        let is_new_epoch = step.row.epoch != self.row.epoch;
        let kinds = step.audit.iter().map(|(kind, _)| *kind);
        let persons = kinds
            .filter(|kind| *kind == AuditKind::ReauthorizationRequired)
            .count();
        hold(ONCE, persons == usize::from(ended))?;
        if ended {
            self.told += 1;
            self.check_end(&step)?;
        }
        self.row = step.row;
        hold(
            DURABLE,
            brings || self.held().is_none() || self.held() == before,
        )?;
        if moved {
            (self.told, self.proven, self.forced) = (0, false, false);
        }
        if is_new_epoch {
            // Of a consent that took so long that an attempt was sent meanwhile (residual).
            self.loss = self.is_in_the_air().then_some(Loss::Consent);
        }
        self.proven |= self.row.evidence.applied;
        self.check_row()
    }

    /// A connection ends only because an answer was lost, or because who has it was silent for too long (that one is still
    /// taken when it comes), or because people ended it; and that is what is said.
    fn check_end(&self, step: &Step) -> Result<(), String> {
        let silent = |r: &Request| {
            self.is_of_held(r) && self.pair_is_held(r) && self.real >= r.deadline + GRACE
        };
        let is_lost = self.requests.iter().any(silent);
        hold(OUTAGE, self.loss.is_some() || is_lost)?;
        let fits = match step.row.reason {
            Some(Reason::AnswerLost) => self.loss != Some(Loss::Restored),
            Some(Reason::Revoked) => matches!(self.loss, Some(Loss::Revoked | Loss::Consent)),
            Some(Reason::Restored) => self.loss == Some(Loss::Restored),
            _ => false,
        };
        if !fits {
            let words = format!("{:?} is called {:?}", self.loss, step.row.reason);
            return Err(broken(REASON, words));
        }
        hold(ONCE, self.told == 1)
    }

    /// The state fits the pair and the attempts.
    fn check_row(&self) -> Result<(), String> {
        let row = &self.row;
        let live = matches!(
            row.state,
            State::Active | State::Refreshing | State::Uncertain
        );
        let open = row.attempts.iter().any(|a| a.outcome.is_none());
        let rests = row.state == State::Active;
        hold(STANDS, live == self.held().is_some() && !(rests && open))
    }

    /// What a process serves from memory (R6) lies in salvage, or in the row, or is no good any more (R3).
    pub(super) fn check_visible(&self) -> Result<(), String> {
        for (p, process) in self.processes.iter().enumerate() {
            let unstored = process
                .flight
                .filter(|f| f.stalled && f.phase == Phase::Holding);
            let Some(r) = unstored.and_then(|f| self.request_of(f.attempt)) else {
                continue;
            };
            let request = &self.requests[r];
            let is_durable = request.salvage == Some(self.machine(p))
                || request.held_as < (self.row.epoch.0, self.row.generation.0)
                || request
                    .brought()
                    .is_none_or(|token| !self.pleo.accepts(token))
                || self.held().is_none();
            hold(DURABLE, is_durable)?;
        }
        Ok(())
    }
}
