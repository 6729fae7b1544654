//! What people do: customers at Pleo, operators here, and whoever consents again.

use std::time::Duration;

use super::faults::Fault;
use super::ghost::Loss;
use super::pleo::Token;
use super::process::{Consent, Life, Stage};
use super::world::{World, first_row};
use crate::model::connection::{Access, Candidate, CredentialKind, Held, State};
use crate::refresh::{Event, Import, step};
use crate::secret::Secret;

/// One thing that a person does, or a process for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// The customer ends the authorisation at Pleo.
    Revoke,
    /// A pair of another authorisation is imported over the one in use.
    Import,
    Disconnect,
    /// The first row is put back from a backup.
    Restore,
    /// A consent begins in this process.
    Consent(usize),
    /// The code is exchanged; Pleo replaces the old pair, or leaves it alone.
    Exchange {
        replaces: bool,
    },
    /// It is not exchanged.
    Abandon,
    /// The pair is stored.
    Offer,
}

const CONSENT_TAKES: Duration = Duration::from_mins(1);

impl Act {
    pub(super) fn fault(self) -> Option<Fault> {
        match self {
            Self::Revoke => Some(Fault::Revoked),
            Self::Import => Some(Fault::Import),
            Self::Disconnect => Some(Fault::Disconnect),
            Self::Restore => Some(Fault::Restored),
            Self::Consent(_) => Some(Fault::Consent),
            Self::Exchange { .. } | Self::Abandon | Self::Offer => None,
        }
    }
}

impl World {
    /// What people can do now.
    pub(super) fn acts(&self) -> Vec<Act> {
        let mut acts = self.acts_of_consent();
        if self.may(Act::Revoke) && !self.held_has_ended() {
            acts.push(Act::Revoke);
        }
        let moved = self.row.epoch.0 == 0 && self.row.generation.0 > 0;
        let is_live = !matches!(self.row.state, State::Pending | State::Disconnected);
        if self.may(Act::Restore) && moved && is_live {
            acts.push(Act::Restore);
        }
        if let Some(p) = self.anybody() {
            if self.may(Act::Import) && self.try_out(p, &self.import()) {
                acts.push(Act::Import);
            }
            if self.may(Act::Disconnect) && self.try_out(p, &Event::Disconnect) {
                acts.push(Act::Disconnect);
            }
        }
        for p in 0..self.processes.len() {
            let awake = self.processes[p].life == Life::Awake && self.consent.is_none();
            let act = Act::Consent(p);
            if awake && self.may(act) && self.try_out(p, &self.begin_consent()) {
                acts.push(act);
            }
        }
        acts
    }

    fn may(&self, act: Act) -> bool {
        act.fault().is_none_or(|fault| self.budget.allows(fault))
    }

    /// What the consent does next, if its process is awake.
    pub(super) fn acts_of_consent(&self) -> Vec<Act> {
        let Some(consent) = self.consent else {
            return Vec::new();
        };
        if self.processes[consent.by].life != Life::Awake {
            return Vec::new();
        }
        let in_time = self.real < consent.until;
        match consent.stage {
            Stage::Begun if in_time && !self.silent => vec![
                Act::Abandon,
                Act::Exchange { replaces: true },
                Act::Exchange { replaces: false },
            ],
            Stage::Begun => vec![Act::Abandon],
            Stage::Exchanged(_) => vec![Act::Offer],
            Stage::Offered => Vec::new(),
        }
    }

    fn anybody(&self) -> Option<usize> {
        let awake = |p: &usize| self.processes[*p].life == Life::Awake;
        (0..self.processes.len()).find(awake)
    }

    /// True if the protocol allows this to that process now.
    pub(super) fn try_out(&self, p: usize, event: &Event) -> bool {
        self.look(p, |row, moment| step(row, event, moment)).is_ok()
    }

    /// They do it.
    pub(super) fn act(&mut self, act: Act) -> Result<(), String> {
        match act {
            Act::Revoke => {
                self.pleo.revoke();
                self.loss = self.loss.or(Some(Loss::Revoked));
            }
            Act::Import => {
                let by = self.anybody().unwrap_or(0);
                let event = self.import();
                self.pleo.grant();
                return self.must(by, &event);
            }
            Act::Disconnect => {
                let by = self.anybody().unwrap_or(0);
                return self.must(by, &Event::Disconnect);
            }
            Act::Restore => {
                let seen = (self.row.epoch, self.row.generation);
                self.row = first_row(&self.start);
                self.loss = Some(Loss::Restored);
                (self.told, self.proven, self.forced) = (0, false, false);
                return self.must(0, &Event::Restored { seen });
            }
            Act::Consent(by) => {
                let event = self.begin_consent();
                self.must(by, &event)?;
                self.consent = Some(Consent {
                    by,
                    until: self.real + CONSENT_TAKES,
                    stage: Stage::Begun,
                });
            }
            Act::Exchange { replaces } => return self.exchange(replaces),
            Act::Abandon => return self.end_consent(),
            Act::Offer => return self.offer(),
        }
        Ok(())
    }

    fn begin_consent(&self) -> Event {
        Event::BeginConsent {
            until: self.now + CONSENT_TAKES,
        }
    }

    fn import(&self) -> Event {
        let token = Token {
            grant: self.pleo.latest() + 1,
            pair: 0,
        };
        Event::Import(Box::new(Import {
            credential: CredentialKind::Oauth,
            held: Held::Pair {
                access: Some(self.new_access()),
                refresh: Secret::new(token.text()),
            },
            company: None,
            scopes: None,
            allow_shared_company: false,
            replace: true,
        }))
    }

    /// An access token that lives for an hour from now.
    pub(super) fn new_access(&self) -> Access {
        Access {
            token: Secret::new("access"),
            since: self.now,
            expires_at: self.now + Duration::from_hours(1),
            life_known: true,
        }
    }

    fn exchange(&mut self, replaces: bool) -> Result<(), String> {
        self.check_exchange()?;
        let got = if replaces {
            self.pleo.consent_again()
        } else {
            self.pleo.grant()
        };
        let has_replaced = got.pair > 0;
        if has_replaced {
            self.loss = self.loss.or(Some(Loss::Consent));
        }
        if let Some(consent) = &mut self.consent {
            consent.stage = Stage::Exchanged(got);
        }
        Ok(())
    }

    /// A connection that was ended or replaced meanwhile does not want the pair any more.
    fn offer(&mut self) -> Result<(), String> {
        let Some(Consent {
            by,
            until,
            stage: Stage::Exchanged(got),
        }) = self.consent
        else {
            return Err("nothing to offer".to_owned());
        };
        let offer = Event::Offer(Box::new(Candidate {
            access: self.new_access(),
            refresh: Secret::new(got.text()),
            scopes: None,
            expected_company: None,
            allow_shared_company: false,
            who: "browser".to_owned(),
        }));
        if !self.try_out(by, &offer) {
            self.consent = None;
            return Ok(());
        }
        let stage = Stage::Offered;
        self.consent = Some(Consent { by, until, stage });
        self.must(by, &offer)
    }

    /// An operator may have ended its time meanwhile: then there is nothing to end.
    fn end_consent(&mut self) -> Result<(), String> {
        let by = self.consent.take().map_or(0, |consent| consent.by);
        let until = self.row.consent_until.unwrap_or(self.now);
        self.must(by, &Event::Abandon { until })
    }

    /// Introspection with the candidate is answered, and its company compared.
    pub(super) fn verify(&mut self, p: usize, is_right_company: bool) -> Result<(), String> {
        let candidate = self.row.candidate.as_ref();
        let token = candidate.and_then(|c| Token::read(c.refresh.expose()));
        let stands = token.is_some_and(|token| self.pleo.accepts(token));
        if self.consent.is_some_and(|c| c.stage == Stage::Offered) {
            self.consent = None;
        }
        if !stands || !is_right_company {
            let until = self.row.consent_until;
            return self.must(p, &Event::Decline { until });
        }
        let company = None;
        let scopes = None;
        self.must(p, &Event::Accept { company, scopes })
    }
}
