//! The sixteen traces that broke earlier wordings of the rules (design.md section 3, docs/refresh.md), each walked step by
//! step and survived. Each also shows what the old wording would have done at that moment, and which promise that breaks.

mod early;
mod late;

use std::time::Duration;

use super::deeds::{Deed, Heard};
use super::faults::Budget;
use super::ghost::Fate;
use super::moves::{Move, Until};
use super::people::Act;
use super::process::{Flight, Phase};
use super::time::Pace;
use super::world::{Start, World, id_of};
use crate::model::connection::{Attempt, Outcome, Reason, State, Verdict};
use crate::refresh::policy::Uncertain;

const A: usize = 0;
const B: usize = 1;
const PROBE: Deed = Deed::Probe(Heard::Truth);

/// A walk through one world. Every step must be one that the search would offer too.
struct Walk(World);

impl Walk {
    /// Two processes on one machine or on two, the access token of the row lives for so many seconds.
    fn new(life_left: u64, machines: &'static [usize]) -> Self {
        Self(World::new(Start {
            life_left,
            verdict: Verdict::Accepted,
            machines,
            uncertain: Uncertain::Resolve,
            attempts: 4,
            dawdles: true,
            budget: Budget::plenty(),
        }))
    }

    /// On two machines.
    fn apart(life_left: u64) -> Self {
        Self::new(life_left, &[0, 1])
    }

    fn go(&mut self, what: Move) -> &mut Self {
        let offered = self.0.moves();
        assert!(offered.contains(&what), "{what:?} is not in {offered:?}");
        self.0.make(what).unwrap();
        self
    }

    fn does(&mut self, p: usize, deeds: &[Deed]) -> &mut Self {
        for deed in deeds {
            self.go(Move::Do(p, *deed));
        }
        self
    }

    fn acts(&mut self, acts: &[Act]) -> &mut Self {
        for act in acts {
            self.go(Move::Act(*act));
        }
        self
    }

    fn pass(&mut self) -> &mut Self {
        self.go(Move::Pass(Pace::All, Until::Next))
    }

    /// Lets time pass until this process may do that.
    fn wait_for(&mut self, p: usize, deed: Deed) -> &mut Self {
        while !self.0.deeds(p).contains(&deed) {
            self.pass();
        }
        self
    }

    /// Lets time pass until this process may do that, and does it.
    fn comes_to(&mut self, p: usize, deed: Deed) -> &mut Self {
        self.wait_for(p, deed).does(p, &[deed])
    }

    /// Lets time pass; until then nobody begins an attempt.
    fn pass_without_begin(&mut self, until: Duration) -> &mut Self {
        let end = self.0.real + until;
        while self.0.real < end && !self.0.spans().is_empty() {
            self.nobody_begins();
            self.pass();
        }
        self
    }

    fn nobody_begins(&mut self) -> &mut Self {
        for p in [A, B] {
            assert!(!self.0.deeds(p).contains(&Deed::Begin), "{:#?}", self.0.row);
        }
        self
    }

    /// Sent, nothing heard: closed without a pair.
    fn is_unanswered(&mut self, p: usize) -> &mut Self {
        self.does(p, &[Deed::HearFalseAnswer, Deed::Close(Outcome::NoPair)])
    }

    /// The first request of all: sent, and applied by Pleo.
    fn is_applied(&mut self, p: usize) -> &mut Self {
        self.does(p, &[Deed::Begin, Deed::Send]).go(Move::Arrive(0))
    }

    /// Begun, sent and answered with a pair that is durable then.
    fn succeeds(&mut self, p: usize) -> &mut Self {
        self.does(p, &[Deed::Begin, Deed::Send]);
        let last = self.0.requests.len() - 1;
        self.go(Move::Arrive(last))
            .does(p, &[Deed::Receive, Deed::Commit])
    }

    /// Asks introspection, however often it takes until that decides.
    fn probes(&mut self, p: usize, times: usize) -> &mut Self {
        for _ in 0..times {
            self.comes_to(p, PROBE);
        }
        self
    }

    /// The same moment under the old wording.
    fn otherwise(&self, change: impl FnOnce(&mut World)) -> Self {
        let mut world = self.0.clone();
        change(&mut world);
        Self(world)
    }

    /// If this process presented the token held now, the authorisation would end.
    fn presenting_is_fatal(&mut self, p: usize) -> &mut Self {
        let mut pleo = self.0.pleo.clone();
        let token = self.0.held().unwrap();
        let travelling = (self.0.requests.iter()).filter(|r| r.fate == Fate::Travelling);
        let presented = [token].into_iter().chain(travelling.map(|r| r.token));
        for token in presented {
            pleo.refresh(token);
        }
        assert!(pleo.has_ended(token.grant), "process {p} may well present");
        self
    }

    /// And the search would say so.
    fn presenting_breaks(&mut self, p: usize, promise: &str) -> &mut Self {
        let told = self.0.clone().present_blindly(p).unwrap_err();
        assert!(told.starts_with(promise), "{told}");
        self.presenting_is_fatal(p)
    }

    /// If this were done, that promise would be broken.
    fn breaks(&self, what: Move, promise: &str) -> &Self {
        let told = self.0.clone().make(what).unwrap_err();
        assert!(told.starts_with(promise), "{told}");
        self
    }

    /// The connection lives with a pair that Pleo stands by.
    fn survives(&self) {
        assert_eq!(self.0.row.state, State::Active);
        assert!(self.0.row.generation.0 > 0 || self.0.row.epoch.0 > 0);
        assert!(self.0.pleo.accepts(self.0.held().unwrap()));
        assert_eq!(self.0.loss, None);
    }

    /// The answer was lost, nothing was presented again, and that is what is said.
    fn says_that_the_answer_is_lost(&self) {
        assert_eq!(self.0.row.state, State::ReauthorizationRequired);
        assert_eq!(self.0.row.reason, Some(Reason::AnswerLost));
        assert!(!self.0.pleo.has_ended(0));
        assert_eq!(self.0.requests.len().max(1), 1);
    }
}

impl World {
    /// Begins and sends without asking the rules.
    fn present_blindly(&mut self, p: usize) -> Result<(), String> {
        self.check_begin()?;
        let number = self.free_number().unwrap();
        self.row.attempts.push(Attempt {
            id: id_of(number),
            owner: self.processes[p].owner.clone(),
            begun_at: self.now,
            deadline: self.now + Duration::from_secs(25),
            adopt_until: self.now + Duration::from_secs(145),
            forced: false,
            oracle: false,
            outcome: None,
        });
        self.processes[p].flight = Some(Flight {
            attempt: number,
            phase: Phase::Begun,
            stalled: false,
        });
        self.send(p)
    }
}
