//! A stand whose gateways reach the token endpoint through the relay. What goes wrong there is not here.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::relay::Relay;
use crate::stand::{Plan, Stand, bundle};

/// Within this a gateway notices that another process has put a new pair there.
const NOTICED: Duration = Duration::from_secs(15);

pub(super) struct Site {
    pub(super) stand: Stand,
    pub(super) relay: Relay,
    /// The authorisation of each tenant, and when it took the place of an earlier one.
    tenants: Mutex<BTreeMap<String, (u64, Option<Instant>)>>,
}

impl Site {
    pub(super) async fn new(plan: Plan<'_>) -> Self {
        let relay = Relay::open().await;
        let token_url = relay.token_url();
        let stand = Stand::new(Plan {
            token_url: Some(&token_url),
            ..plan
        })
        .await;
        relay.lead_to(stand.pleo.address);
        Self {
            stand,
            relay,
            tenants: Mutex::default(),
        }
    }

    /// Connects tenants, each to an authorisation of its own; `life` of the access token replaces what Pleo said.
    pub(super) fn connect(&self, names: &[&str], life: Option<u64>) {
        let lines: Vec<String> = (names.iter())
            .map(|name| self.line(name, life).to_string())
            .collect();
        let words = ["connections", "import", "--file", "-", "--replace"];
        let words = [&words[..], &["--allow-shared-company"]].concat();
        loop {
            let ended = self.stand.run(&words, &lines.join("\n"));
            // A store that stands still is waited for: by the command for some seconds, and by this.
            if ended.code != Some(69) {
                ended.fine();
                break;
            }
        }
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            if let Some((_, Some(again))) = tenants.get_mut(*name) {
                *again = Instant::now();
            }
        }
    }

    fn line(&self, tenant: &str, life: Option<u64>) -> Value {
        let minted = self.stand.mint();
        self.relay.books().know(&minted);
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        // Not before it is imported, which may take a while.
        let again =
            (tenants.contains_key(tenant)).then(|| Instant::now() + Duration::from_hours(1));
        tenants.insert(tenant.to_owned(), (minted.authorisation, again));
        let mut bundle = bundle(&minted, true);
        bundle["tenant"] = tenant.into();
        if let Some(life) = life {
            bundle["expires_in"] = life.into();
        }
        bundle
    }

    pub(super) fn id(&self, tenant: &str) -> u64 {
        self.connected(tenant).0
    }

    /// True while the tenant's pair is one whose successor was lost on its way, or was so a moment ago: that another
    /// process has put a new one there is noticed soon, not at once.
    pub(super) fn is_without_a_pair(&self, tenant: &str) -> bool {
        let (id, again) = self.connected(tenant);
        self.relay.account(id).lost > 0 || again.is_some_and(|at| at.elapsed() < NOTICED)
    }

    fn connected(&self, tenant: &str) -> (u64, Option<Instant>) {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)[tenant]
    }
}
