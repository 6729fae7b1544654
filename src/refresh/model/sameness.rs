//! When two worlds are the same, so that the search ends: times count from now, attempts by their order, processes of a
//! machine and machines of the world in no order at all.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use super::ghost::Request;
use super::process::{Life, Process};
use super::world::{World, number_of};
use crate::clock::Timestamp;

/// Half seconds from now; what is past is past.
fn left(now: Timestamp, at: Timestamp) -> u128 {
    now.until(at).as_millis() / 500
}

impl World {
    /// Two worlds with the same fingerprint have the same future.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hash = DefaultHasher::new();
        self.hash_row(&mut hash);
        for request in &self.requests {
            self.hash_request(request, &mut hash);
        }
        self.machines().hash(&mut hash);
        if let Some(consent) = &self.consent {
            (consent.stage, left(self.real, consent.until)).hash(&mut hash);
        }
        left(self.real, self.first_dies).hash(&mut hash);
        left(self.real, self.now).hash(&mut hash);
        (&self.pleo, self.silent, self.attempts_left).hash(&mut hash);
        (self.budget, self.loss, self.proven, self.told, self.forced).hash(&mut hash);
        hash.finish()
    }

    fn hash_row(&self, hash: &mut DefaultHasher) {
        let now = self.now;
        let since = |at: Option<Timestamp>| at.map(|at| at.until(now).as_millis().min(5000));
        let row = &self.row;
        (row.state, row.reason, row.generation, row.epoch).hash(hash);
        (row.failures.min(10), row.verdict as u8).hash(hash);
        row.evidence.applied.hash(hash);
        since(row.evidence.accepted_at).hash(hash);
        since(row.evidence.refused_at).hash(hash);
        row.next_try_at.map(|at| left(now, at)).hash(hash);
        row.access().map(|a| left(now, a.expires_at)).hash(hash);
        row.consent_until.map(|at| left(now, at)).hash(hash);
        let candidate = row.candidate.as_ref().map(|c| c.refresh.expose());
        (self.held(), candidate).hash(hash);
        for attempt in &row.attempts {
            let outcome = attempt.outcome.map(|o| o as u8);
            (outcome, attempt.oracle, attempt.forced).hash(hash);
            (left(now, attempt.deadline), left(now, attempt.adopt_until)).hash(hash);
        }
    }

    fn hash_request(&self, request: &Request, hash: &mut DefaultHasher) {
        self.place_of(request.attempt).hash(hash);
        (request.token, request.held_as, request.fate).hash(hash);
        (request.waiting, request.salvage.is_some()).hash(hash);
        left(self.real, request.deadline + super::world::GRACE).hash(hash);
    }

    /// An attempt by its place: in the row, else among the requests, else nowhere.
    fn place_of(&self, attempt: usize) -> usize {
        let row = &self.row.attempts;
        let in_row = row.iter().position(|a| number_of(a.id) == attempt);
        let beside = || self.request_of(attempt).map(|r| row.len() + r);
        in_row.or_else(beside).unwrap_or(usize::MAX)
    }

    fn machines(&self) -> Vec<u64> {
        let count = self.start.machines.iter().max().map_or(0, |most| most + 1);
        let mut machines: Vec<u64> = (0..count).map(|m| self.hash_of_machine(m)).collect();
        machines.sort_unstable();
        machines
    }

    fn hash_of_machine(&self, machine: usize) -> u64 {
        let mut processes: Vec<u64> = (0..self.processes.len())
            .filter(|p| self.machine(*p) == machine)
            .map(|p| self.hash_of_process(p))
            .collect();
        processes.sort_unstable();
        let mut hash = DefaultHasher::new();
        processes.hash(&mut hash);
        for request in &self.requests {
            (request.salvage == Some(machine)).hash(&mut hash);
        }
        hash.finish()
    }

    fn hash_of_process(&self, p: usize) -> u64 {
        let mut hash = DefaultHasher::new();
        let process = &self.processes[p];
        process.life.hash(&mut hash);
        if let Some(flight) = process.flight {
            let place = self.place_of(flight.attempt);
            (place, flight.phase.number(), flight.stalled).hash(&mut hash);
        }
        for attempt in &self.row.attempts {
            let is_own = Process::slot_of(&attempt.owner) == p;
            (is_own, is_own && self.is_gone(&attempt.owner)).hash(&mut hash);
            if process.life != Life::Down {
                process.watched[number_of(attempt.id)].hash(&mut hash);
            }
        }
        for request in &self.requests {
            let is_own = Process::slot_of(&request.by) == p;
            (is_own && self.is_gone(&request.by)).hash(&mut hash);
        }
        self.consent.is_some_and(|c| c.by == p).hash(&mut hash);
        hash.finish()
    }
}
