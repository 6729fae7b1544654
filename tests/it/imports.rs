//! Tokens that operators bring: one pair or many, and what is refused.

use std::fs;

use serde_json::{Value, json};

use crate::harness::gateway::Setup;
use crate::harness::sandbox::{Minted, Sandbox};
use crate::harness::upstream::Upstream;

#[test]
fn an_active_connection_is_replaced_only_when_that_is_said() {
    let sandbox = Sandbox::start("15m");
    let (setup, first, second) = (Setup::written(&sandbox), sandbox.mint(), sandbox.mint());
    setup.import("acme", &first);
    let pair = second.pair.to_string();
    setup
        .cli(&["connections", "import", "acme"], &pair)
        .ends(65, &["--replace"]);
    assert_eq!(sandbox.count("token_calls"), 0);
    setup
        .cli(&["connections", "import", "acme", "--replace"], &pair)
        .ends(0, &[]);
    setup
        .cli(&["connections", "verify", "acme"], "")
        .ends(0, &[]);
    let other = json!({"company": sandbox.companies()[0]});
    let shared = sandbox.mint_with(&other).pair.to_string();
    setup
        .cli(&["connections", "import", "beta"], &shared)
        .ends(65, &["acme", "--allow-shared-company"]);
    setup
        .cli(
            &["connections", "import", "beta", "--allow-shared-company"],
            &shared,
        )
        .ends(0, &[]);
}

#[test]
fn a_refresh_token_that_another_holds_or_that_was_presented_is_not_taken() {
    let sandbox = Sandbox::start("15m");
    let setup = Setup::written(&sandbox);
    let mut bundle = sandbox.mint().pair;
    bundle.as_object_mut().unwrap().remove("company_id");
    let bundle = bundle.to_string();
    let import = |tenant: &str, how: &[&str]| {
        let words = [&["connections", "import", tenant], how].concat();
        setup.cli(&words, &bundle)
    };
    import("acme", &[]).ends(0, &[]);
    import("beta", &["--allow-shared-company"]).ends(65, &["acme", "connections link"]);
    import("acme", &["--replace"]).ends(0, &[]);
    setup
        .cli(&["connections", "refresh", "acme"], "")
        .ends(0, &[]);
    for tenant in ["acme", "beta"] {
        import(tenant, &["--replace"]).ends(65, &["presented", "connections link"]);
    }
    assert_eq!(sandbox.count("token_calls"), 1);
    setup
        .cli(&["connections", "verify", "acme"], "")
        .ends(0, &[]);
    setup
        .cli(&["connections", "list", "--json"], "")
        .ends(0, &["\"acme\""]);
}

/// Nor is it taken by the tenant that holds it still, where nobody knows what came of it.
#[test]
fn an_uncertain_token_is_not_brought_once_more() {
    let sandbox = Sandbox::start("15m");
    let mut setup = Setup::with(&sandbox);
    setup.more = "[refresh]\ntimeout = \"2s\"\n".into();
    setup.write();
    let bundle = json!({"refresh_token": sandbox.mint().pair["refresh_token"]}).to_string();
    let import = ["connections", "import", "acme", "--replace"];
    setup.cli(&import, &bundle).ends(0, &[]);
    sandbox.fault(&json!({"endpoint": "token", "kind": "drop_after"}));
    setup
        .cli(&["connections", "refresh", "acme"], "")
        .ends(75, &[]);
    // It waits until the attempt is past its deadline.
    setup.cli(&import, &bundle).ends(65, &["presented"]);
    assert_eq!(sandbox.count("token_calls"), 1);
}

#[test]
fn input_that_cannot_be_used_is_65_and_never_repeated() {
    let sandbox = Sandbox::start("15m");
    let setup = Setup::written(&sandbox);
    for bad in [
        "",
        "canary",
        "{\"access_token\":\"an-access-canary\"}",
        "{\"refresh_token\":\"\"}",
        "[\"canary\"]",
        "{\"refresh_token\":\"a-refresh-canary\",\"extra\":1}",
        "{\"refresh_token\":{\"canary\":1}}",
    ] {
        let output = setup.cli(&["connections", "import", "acme"], bad);
        output.ends(65, &[]);
        assert!(!output.err.contains("canary"), "{}", output.err);
    }
    setup
        .cli(&["connections", "list", "--json"], "")
        .ends(0, &["[]"]);
}

#[test]
fn good_lines_are_imported_whatever_the_others_are() {
    let sandbox = Sandbox::start("15m");
    let setup = Setup::written(&sandbox);
    let companies = sandbox.companies();
    let line = |tenant: &str, company: &str| {
        let mut pair = sandbox.mint_with(&json!({"company": company})).pair;
        pair["tenant"] = tenant.into();
        pair.to_string()
    };
    let lines = [
        line("acme", &companies[0]),
        "{\"tenant\":\"bad\",\"refresh_token\":".to_owned(),
        String::new(),
        line("beta", &companies[1]),
        "{\"refresh_token\":\"x-canary\"}".to_owned(),
        line("gamma", &companies[2]),
    ]
    .join("\n");
    let file = setup.folder().join("pairs.jsonl");
    let no_text = b"{\"tenant\":\"delta\",\"refresh_token\":\"a-canary\xff\"}\n".as_slice();
    fs::write(&file, [no_text, lines.as_bytes()].concat()).unwrap();
    let file = file.display().to_string();
    setup
        .cli(&["connections", "import", "--file", &file], "")
        .ends(
            65,
            &["line 1", "line 3", "line 6", "3 imported", "3 failed"],
        );
    let list = setup.cli(&["connections", "list", "--json"], "").json();
    let tenants: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["tenant"].as_str().unwrap())
        .collect();
    assert_eq!(tenants, ["acme", "beta", "gamma"]);
    let again = setup.cli(
        &[
            "connections",
            "import",
            "--file",
            "-",
            "--replace",
            "--json",
        ],
        &lines,
    );
    again.ends(65, &[]);
    let report: Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!([&report["imported"], &report["failed"]], [3, 2]);
    assert_eq!(report["failures"][1]["line"], 5);
    setup
        .cli(&["connections", "import", "--file", "/nonexistent/x"], "")
        .ends(74, &["/nonexistent/x"]);
}

#[test]
fn a_company_that_is_pinned_is_the_only_one_accepted() {
    let sandbox = Sandbox::start("15m");
    let mut setup = Setup::with(&sandbox);
    let companies = sandbox.companies();
    setup.more = format!(
        "[[tenants]]\nname = \"acme\"\ncompany_id = \"{}\"\n",
        companies[1]
    );
    setup.write();
    let wrong = sandbox.mint().pair.to_string();
    setup
        .cli(&["connections", "import", "acme"], &wrong)
        .ends(65, &[&companies[0], &companies[1]]);
    let right = sandbox.mint_with(&json!({"company": companies[1]}));
    let mut said_wrong = right.pair.clone();
    said_wrong["company_id"] = companies[2].as_str().into();
    for (tenant, how) in [("acme", "--replace"), ("beta", "--verify")] {
        let import = ["connections", "import", tenant, how];
        let wrong = setup.cli(&import, &said_wrong.to_string());
        wrong.ends(65, &[&companies[1], &companies[2]]);
    }
    setup.import("acme", &right);
}

#[test]
fn what_an_import_leaves_out_is_learned_before_the_first_call_that_depends_on_it() {
    let sandbox = Sandbox::start("15m");
    let minted = sandbox.mint();
    let bare = json!({"refresh_token": minted.pair["refresh_token"]}).to_string();
    let mut setup = Setup::with(&sandbox);
    setup.routes = "[[routes]]\nmethods = [\"GET\"]\npath = \"/v3/export-jobs\"\n\
                    scopes = [\"export-jobs:read\"]\ncompany = \"query:company_id\"\n"
        .to_owned();
    let gateway = setup.start();
    let imported = gateway.cli(&["connections", "import", "acme"], &bare);
    assert_eq!(imported.code, 0, "{}", imported.err);
    let target = |company: &str| format!("/v3/export-jobs?company_id={company}");
    let other = gateway.get(&target(&sandbox.companies()[1]));
    other.refused(400, "bad-request");
    gateway.get(&target(&minted.company)).expect(200);
    let row = gateway.connection("acme");
    assert_eq!(row["company_id"], minted.company.as_str());
    assert!(
        row["scopes"]
            .as_array()
            .is_some_and(|scopes| !scopes.is_empty()),
        "{row}"
    );
    sandbox.assert_no_rule_was_broken();
}

#[test]
fn rows_of_another_provider_are_not_connected_and_nothing_of_them_is_sent() {
    let upstream = Upstream::fine();
    let setup = Setup::at(&upstream.origin());
    setup.write();
    setup.import("acme", &Minted::made_up());
    let text = setup
        .text()
        .replace("client_id      = \"sandbox\"", "client_id      = \"other\"");
    fs::write(setup.file(), &text).unwrap();
    let list = setup.cli(&["connections", "list", "--json"], "");
    assert_eq!(list.json(), json!([]));
    let gateway = setup.start_as_written();
    gateway.get("/v2/employees").refused(503, "not-connected");
    assert!(upstream.seen().is_empty());
}
