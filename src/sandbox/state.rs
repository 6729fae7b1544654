//! Everything the sandbox remembers between calls, under one lock (`server`) that is never held over an await.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::counters::{Counters, Rule};
use super::faults::Faults;
use super::grants::{Arrival, Grants};
use super::options::Options;
use super::seed::Dice;
use crate::clock::Timestamp;

/// A Pleo company that can consent.
#[derive(Clone, Debug)]
pub(super) struct Company {
    pub(super) id: String,
    pub(super) organisation_id: String,
    pub(super) name: &'static str,
}

/// The companies of a seed.
pub(super) fn companies(seed: u64) -> Vec<Company> {
    let organisation_id = Dice::new(seed, &["organisation"]).uuid();
    ["Acme Nordics ApS", "Birch & Sons Ltd", "Copper Kettle GmbH"]
        .into_iter()
        .map(|name| Company {
            id: Dice::new(seed, &["company", name]).uuid(),
            organisation_id: organisation_id.clone(),
            name,
        })
        .collect()
}

/// Whose limit a call counts against.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Payer {
    /// An authorisation.
    Authorisation(u64),
    /// An API key, by its place.
    Key(usize),
}

#[derive(Debug)]
struct Window {
    began: Timestamp,
    calls: u32,
}

const WINDOW: Duration = Duration::from_mins(1);

/// All that is remembered.
#[derive(Debug)]
pub(super) struct State {
    pub(super) grants: Grants,
    pub(super) faults: Faults,
    pub(super) counters: Counters,
    requests_per_minute: Option<u32>,
    windows: HashMap<Payer, Window>,
}

impl State {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            grants: Grants::new(options.access_ttl, options.refresh_ttl),
            faults: Faults::default(),
            counters: Counters::default(),
            requests_per_minute: options.requests_per_minute,
            windows: HashMap::new(),
        }
    }

    /// Counts one API call, or says how long the limit lasts.
    pub(super) fn spend(&mut self, payer: Payer, now: Timestamp) -> Result<(), Duration> {
        let Some(limit) = self.requests_per_minute else {
            return Ok(());
        };
        let fresh = Window {
            began: now,
            calls: 0,
        };
        let window = self.windows.entry(payer).or_insert(fresh);
        if now >= window.began + WINDOW {
            *window = Window {
                began: now,
                calls: 0,
            };
        }
        if window.calls >= limit {
            self.counters.rate_limited += 1;
            return Err(now.until(window.began + WINDOW));
        }
        window.calls += 1;
        Ok(())
    }

    /// Notes a refresh token at the door of the token endpoint.
    pub(super) fn arrive(&mut self, refresh: &str) -> Option<Arrival> {
        let arrival = self.grants.arrive(refresh)?;
        let counters = &mut self.counters;
        counters.refresh_token_presented_twice += u64::from(arrival.presented_before);
        counters.concurrent_refreshes = counters.concurrent_refreshes.max(arrival.in_flight);
        Some(arrival)
    }

    /// Counts a breach.
    pub(super) fn broke(&mut self, rule: Rule) {
        self.counters.broke(rule);
    }

    /// What `GET /_sandbox/state` shows: no token, nor a part of one.
    pub(super) fn show(&self, now: Timestamp) -> Value {
        let authorisations: Vec<Value> = (self.grants.iter())
            .map(|(id, authorisation)| {
                json!({
                    "id": id,
                    "company_id": authorisation.company_id,
                    "scopes": authorisation.scopes,
                    "generation": authorisation.generation,
                    "alive": authorisation.ended.is_none(),
                    "ended_because": authorisation.ended,
                    "access_expires_at": authorisation.access_expires.to_string(),
                    "refresh_calls": authorisation.refresh_calls,
                    "concurrent_refreshes": authorisation.most_in_flight,
                })
            })
            .collect();
        let mut shown = json!(self.counters);
        shown["authorisations"] = authorisations.into();
        shown["faults_waiting"] = self.faults.waiting().into();
        shown["time"] = now.to_string().into();
        shown
    }
}
