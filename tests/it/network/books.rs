//! The relay's books, by authorisation: whose request it was, what was to become of it, and what did.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use pleo_gateway::sandbox::Minted;
use tokio::time::Instant;

use super::fate::Fate;
use super::relay::{Mix, brought, presented};

/// Once a byte has left, a token is not presented again for the call's timeout and this. The call's timeout runs from
/// before the intent, so that between two arrivals this much is certain (design.md R2, R4).
const LEAST_BETWEEN: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct Books {
    owners: HashMap<String, u64>,
    orders: HashMap<u64, VecDeque<Fate>>,
    pub(super) mix: Option<Mix>,
    accounts: HashMap<u64, Account>,
    /// How often each fate was met.
    pub(super) met: BTreeMap<&'static str, u64>,
    /// Forwarded, and nobody has said yet that it was dealt with.
    unsettled: BTreeSet<u64>,
    at_the_gate: i64,
}

/// What happened to the requests of one authorisation.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    /// Requests that came.
    pub(super) arrivals: u64,
    /// Refreshes that Pleo applied.
    pub(super) applied: u64,
    /// Of those, whose answer did not arrive whole.
    pub(super) lost: u64,
    /// Requests that came with the token of the one before, too soon after it.
    pub(super) pressed: u64,
    last: Option<(String, Instant)>,
}

impl Books {
    /// From now on requests with this pair's token are this authorisation's.
    pub(super) fn know(&mut self, minted: &Minted) {
        let token = minted.refresh_token.expose().to_owned();
        self.owners.insert(token, minted.authorisation);
    }

    /// What becomes of the next request of an authorisation that has no order yet.
    pub(super) fn order(&mut self, authorisation: u64, fate: Fate) {
        let orders = self.orders.entry(authorisation).or_default();
        orders.push_back(fate);
    }

    pub(super) fn account(&self, authorisation: u64) -> Account {
        self.accounts
            .get(&authorisation)
            .cloned()
            .unwrap_or_default()
    }

    pub(super) fn total(&self, what: impl Fn(&Account) -> u64) -> u64 {
        self.accounts.values().map(what).sum()
    }

    pub(super) fn arrive(&mut self, request: &[u8]) -> (u64, Fate) {
        let token = presented(request).unwrap();
        let authorisation = self.owners[&token];
        let now = Instant::now();
        let account = self.accounts.entry(authorisation).or_default();
        account.arrivals += 1;
        if let Some((last, at)) = &account.last
            && *last == token
            && now < *at + LEAST_BETWEEN
        {
            account.pressed += 1;
        }
        account.last = Some((token, now));
        let ordered = (self.orders.get_mut(&authorisation)).and_then(VecDeque::pop_front);
        let fate = ordered.unwrap_or_else(|| self.mix.as_mut().map_or(Fate::FINE, Mix::draw));
        *self.met.entry(fate.name).or_default() += 1;
        (authorisation, fate)
    }

    pub(super) fn forward(&mut self, authorisation: u64) {
        self.unsettled.insert(authorisation);
    }

    pub(super) fn answered(&mut self, authorisation: u64, answer: &[u8], fate: Fate) {
        let Some(token) = brought(answer) else { return };
        self.owners.insert(token, authorisation);
        let account = self.accounts.entry(authorisation).or_default();
        account.applied += 1;
        account.lost += u64::from(fate.loses());
    }

    /// The gateway has dealt with what came of the last request.
    pub(super) fn settle(&mut self, authorisation: u64) {
        self.unsettled.remove(&authorisation);
    }

    pub(super) fn unsettled(&self) -> usize {
        self.unsettled.len()
    }

    pub(super) fn stop_at_the_gate(&mut self, more: i64) {
        self.at_the_gate += more;
    }

    pub(super) fn at_the_gate(&self) -> i64 {
        self.at_the_gate
    }
}
