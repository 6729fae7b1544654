//! The sandbox as a process of its own, ordered around over its control API.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::BINARY;
use super::client::call_pleo;
use super::program::{Program, Stream};

/// A running sandbox; it ends with the test.
pub(crate) struct Sandbox {
    pub(crate) origin: String,
    _program: Program,
}

/// A pair as if a customer had consented.
#[derive(Clone, Debug)]
pub(crate) struct Minted {
    /// What `connections import` reads.
    pub(crate) pair: Value,
    /// Where `DELETE` ends it.
    pub(crate) place: String,
    pub(crate) company: String,
}

impl Minted {
    /// Without an access token: the first use refreshes.
    pub(crate) fn without_access(mut self) -> Self {
        self.pair.as_object_mut().unwrap().remove("access_token");
        self
    }

    /// A pair that no sandbox knows: an upstream of the test's own takes any.
    pub(crate) fn made_up() -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let refresh = format!("{}-refresh-canary", MADE.fetch_add(1, Ordering::Relaxed));
        let pair = json!({
            "access_token": "access-canary", "refresh_token": refresh, "expires_in": 3600,
            "scope": "export-jobs:read users:read vendors:read vendors:write", "company_id": "company-1",
        });
        Self {
            pair,
            place: String::new(),
            company: "company-1".to_owned(),
        }
    }
}

impl Sandbox {
    /// With access tokens that live so long, such as `15m`.
    pub(crate) fn start(access_ttl: &str) -> Self {
        Self::with(&["--access-ttl", access_ttl])
    }

    /// With these words of the command line.
    pub(crate) fn with(words: &[&str]) -> Self {
        let mut command = Command::new(BINARY);
        command.args(["sandbox", "--listen", "127.0.0.1:0"]);
        command.args(words);
        let program = Program::start(&mut command);
        let origin = program.wait_for("the sandbox's address", |stream, line| {
            let address = line.strip_prefix("sandbox listening on ")?;
            (stream == Stream::Out).then(|| address.to_owned())
        });
        Self {
            origin,
            _program: program,
        }
    }

    /// A pair for the first company, with every scope.
    pub(crate) fn mint(&self) -> Minted {
        self.mint_with(&json!({}))
    }

    /// As `mint`, but Pleo knows nothing of the access token any more.
    pub(crate) fn mint_with_dead_access(&self) -> Minted {
        let dead = self.mint();
        self.revoke(&dead);
        let mut minted = self.mint();
        minted.pair["access_token"] = dead.pair["access_token"].clone();
        minted
    }

    /// A pair for a company (id or name), with scopes, with a life: what is not said is as in `mint`.
    pub(crate) fn mint_with(&self, order: &Value) -> Minted {
        let body = order.to_string();
        let target = "/_sandbox/authorisations";
        let made = call_pleo(&self.origin, "POST", target, &[], body.as_bytes()).expect(201);
        let pair = made.json();
        Minted {
            place: made.header("location").unwrap().to_owned(),
            company: pair["company_id"].as_str().unwrap().to_owned(),
            pair,
        }
    }

    /// The ids of the companies that can consent.
    pub(crate) fn companies(&self) -> Vec<String> {
        let list = self.order("GET", "/_sandbox/companies", &json!({}));
        let ids = list.as_array().unwrap().iter();
        ids.map(|company| company["id"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Orders a fault (contract.md section 8).
    pub(crate) fn fault(&self, fault: &Value) {
        self.order("POST", "/_sandbox/faults", fault);
    }

    /// Ends what was ordered: who is delayed waits no more.
    pub(crate) fn call_off(&self) {
        self.order("DELETE", "/_sandbox/faults", &json!({}));
    }

    /// What the sandbox has seen.
    pub(crate) fn state(&self) -> Value {
        self.order("GET", "/_sandbox/state", &json!({}))
    }

    /// One of its counts.
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.state()[name].as_u64().unwrap()
    }

    /// Ends an authorisation, as a customer would.
    pub(crate) fn revoke(&self, minted: &Minted) {
        self.order("DELETE", &minted.place, &json!({}));
    }

    /// Fails if a rule of OAuth or of Pleo was broken, or a refresh token presented twice.
    #[track_caller]
    pub(crate) fn assert_no_rule_was_broken(&self) {
        let state = self.state();
        assert_eq!(state["refresh_token_presented_twice"], 0, "{state:#}");
        let broken = state["rules_broken"].as_object().unwrap();
        assert!(broken.values().all(|count| *count == 0), "{broken:#?}");
    }

    fn order(&self, method: &str, target: &str, order: &Value) -> Value {
        let body = if method == "POST" {
            order.to_string()
        } else {
            String::new()
        };
        call_pleo(&self.origin, method, target, &[], body.as_bytes())
            .expect(200)
            .json()
    }
}
