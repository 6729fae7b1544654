//! What operators do to connections from the command line, with and without a running gateway.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::eventually;
use crate::harness::gateway::Setup;
use crate::harness::program::Output;
use crate::harness::sandbox::{Minted, Sandbox};

const FIELDS: [&str; 12] = [
    "tenant",
    "state",
    "credential",
    "company_id",
    "scopes",
    "generation",
    "epoch",
    "access_expires_at",
    "refreshed_at",
    "consented_at",
    "reason",
    "next_refresh_at",
];
const HISTORY: [&str; 9] = [
    "at",
    "epoch",
    "generation",
    "attempt",
    "replica",
    "phase",
    "outcome",
    "access_fingerprint",
    "refresh_fingerprint",
];

fn keys(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

/// Fails if a token of this pair is in what was said.
#[track_caller]
fn no_token(minted: &Minted, output: &Output) {
    for name in ["access_token", "refresh_token"] {
        let token = minted.pair[name].as_str().unwrap();
        let said = format!("{}{}", output.out, output.err);
        assert!(
            !said.contains(token) && !said.contains(&token[..12]),
            "{name} was shown"
        );
    }
}

#[test]
fn an_import_is_listed_exactly_as_the_contract_says() {
    let sandbox = Sandbox::start("15m");
    let (setup, minted) = (Setup::written(&sandbox), sandbox.mint());
    setup
        .cli(&["connections", "list", "--json"], "")
        .ends(0, &["[]"]);
    setup.import("acme", &minted);
    let output = setup.cli(&["connections", "list", "--json"], "");
    no_token(&minted, &output);
    let list = output.json();
    assert_eq!(list.as_array().unwrap().len(), 1);
    let row = &list[0];
    assert_eq!(keys(row), FIELDS.into_iter().collect());
    assert_eq!(row["tenant"], "acme");
    assert_eq!(row["state"], "active");
    assert_eq!(row["credential"], "oauth");
    assert_eq!(row["company_id"], minted.company.as_str());
    assert!(
        row["scopes"]
            .as_array()
            .is_some_and(|scopes| scopes.len() > 3)
    );
    assert_eq!(row["generation"], 0);
    assert!(row["access_expires_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(row["reason"], Value::Null);
    let shown = setup.cli(&["connections", "show", "acme", "--json"], "");
    assert_eq!(&shown.json(), row);
    no_token(&minted, &setup.cli(&["connections", "list"], ""));
    setup
        .cli(&["connections", "show", "beta"], "")
        .ends(69, &["beta"]);
}

#[test]
fn verify_asks_pleo_and_compares() {
    let sandbox = Sandbox::start("15m");
    let setup = Setup::written(&sandbox);
    let minted = sandbox.mint();
    setup.import("acme", &minted);
    setup
        .cli(&["connections", "verify", "acme", "--json"], "")
        .ends(0, &[&minted.company]);
    let mut lying = sandbox.mint();
    lying.pair["company_id"] = sandbox.companies()[1].clone().into();
    setup.import("beta", &lying);
    setup
        .cli(&["connections", "verify", "beta"], "")
        .ends(65, &["company"]);
    let refused = setup.cli(
        &["connections", "import", "gamma", "--verify"],
        &json!({"access_token": "x-canary", "refresh_token": "y-canary"}).to_string(),
    );
    refused.ends(69, &[]);
    sandbox.revoke(&minted);
    assert_ne!(setup.cli(&["connections", "verify", "acme"], "").code, 0);
    setup
        .cli(&["connections", "verify", "nobody"], "")
        .ends(69, &["nobody"]);
}

#[test]
fn a_refresh_by_hand_is_noticed_by_the_running_gateway_and_told_in_the_history() {
    let sandbox = Sandbox::start("15m");
    let minted = sandbox.mint();
    let gateway = Setup::with(&sandbox).start_connected(&[("acme", &minted)]);
    let target = format!("/v3/export-jobs?company_id={}", minted.company);
    gateway.get(&target).expect(200);
    let output = gateway.cli(&["connections", "refresh", "acme", "--json"], "");
    no_token(&minted, &output);
    assert_eq!(output.json()["generation"], 1);
    // the old token is dead: whoever has not noticed pays with one refused call, and never with a second refresh
    gateway.get(&target).expect(200);
    assert_eq!(sandbox.count("refreshes"), 1);

    let output = gateway.cli(&["connections", "history", "acme", "--json"], "");
    no_token(&minted, &output);
    let history = output.json();
    let history = history.as_array().unwrap();
    assert!(
        history
            .iter()
            .all(|row| keys(row) == HISTORY.into_iter().collect()),
        "{history:#?}"
    );
    assert!(
        history.iter().any(|row| row["outcome"] == "ok"),
        "{history:#?}"
    );
    let times: Vec<_> = history
        .iter()
        .map(|row| row["at"].as_str().unwrap())
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    sandbox.assert_no_rule_was_broken();
}

#[test]
fn a_refresh_that_pleo_refuses_needs_a_person_and_one_that_fails_for_now_may_be_tried_again() {
    let sandbox = Sandbox::start("15m");
    let setup = Setup::written(&sandbox);
    let minted = sandbox.mint();
    setup.import("acme", &minted);
    sandbox.fault(&json!({"endpoint": "token", "kind": "status", "status": 429}));
    setup
        .cli(&["connections", "refresh", "acme"], "")
        .ends(75, &[]);
    let other = sandbox.mint_with(&json!({"company": sandbox.companies()[1]}));
    setup.import("beta", &other);
    sandbox.revoke(&other);
    setup
        .cli(&["connections", "refresh", "beta"], "")
        .ends(69, &["consent"]);
    let row = setup
        .cli(&["connections", "show", "beta", "--json"], "")
        .json();
    assert_eq!(
        (&row["state"], &row["reason"]),
        (&json!("reauthorization_required"), &json!("revoked"))
    );
    setup
        .cli(&["connections", "refresh", "nobody"], "")
        .ends(69, &["nobody"]);
}

#[test]
fn a_running_gateway_notices_a_disconnect_within_a_second() {
    let sandbox = Sandbox::start("15m");
    let minted = sandbox.mint();
    let gateway = Setup::with(&sandbox).start_connected(&[("acme", &minted)]);
    let target = format!("/v3/export-jobs?company_id={}", minted.company);
    let notices = |status: u16| {
        let begun = Instant::now();
        eventually("the gateway to notice", || {
            (gateway.get(&target).status == status).then_some(())
        });
        begun.elapsed()
    };
    let disconnected = || {
        gateway
            .cli(&["connections", "disconnect", "acme"], "")
            .ends(0, &[]);
        notices(503)
    };
    let connected = || {
        let again = sandbox.mint().pair.to_string();
        gateway
            .cli(&["connections", "import", "acme"], &again)
            .ends(0, &[]);
        notices(200);
    };
    gateway.get(&target).expect(200);
    // A machine that stands still for a second does not do so each time.
    let mut waited = vec![disconnected()];
    while waited.last() > Some(&Duration::from_millis(1500)) {
        assert!(waited.len() < 3, "{waited:?}");
        connected();
        waited.push(disconnected());
    }
    gateway.get(&target).refused(503, "not-connected");
    let row = gateway.connection("acme");
    assert_eq!(
        (&row["state"], &row["reason"]),
        (&json!("disconnected"), &json!("disconnected"))
    );
    assert_eq!(row["access_expires_at"], Value::Null);

    // and that it is connected again
    connected();
}

/// Requirement 93: Pleo has no other way to revoke.
#[test]
fn uninstalling_tells_pleo_first() {
    let sandbox = Sandbox::start("15m");
    let setup = Setup::written(&sandbox);
    setup.import("acme", &sandbox.mint());
    setup
        .cli(&["connections", "disconnect", "acme", "--uninstall"], "")
        .ends(0, &[]);
    let state = sandbox.state();
    assert_eq!(state["authorisations"][0]["alive"], false, "{state:#}");
}
