//! `explain` foretells what the running gateway does, and sends nothing; what else programs ask of the binary itself.

use std::process::Command;

use serde_json::Value;

use crate::harness::gateway::{KEY, OFFICE_KEY, Setup, caller};
use crate::harness::program::{Output, run};
use crate::harness::sandbox::Minted;
use crate::harness::upstream::Upstream;
use crate::harness::{BINARY, SOON};

fn json_of(output: &Output) -> Value {
    assert_eq!(output.code, 0, "{}", output.err);
    serde_json::from_str(&output.out).unwrap()
}

#[test]
fn explain_and_the_running_gateway_agree_and_explain_sends_nothing() {
    let upstream = Upstream::fine();
    let mut setup = Setup::at(&upstream.origin());
    setup
        .callers
        .push_str(&caller("reader", "reader-key", r#"["acme"]"#));
    setup.callers.push_str("scopes = [\"vendors:read\"]\n");
    let gateway = setup.start_connected(&[("acme", &Minted::made_up())]);
    for (name, key, tenant, method, target, is_forwarded) in [
        ("erp", KEY, "acme", "GET", "/v2/employees?x=1", true),
        ("erp", KEY, "acme", "POST", "/v1/vendors%3Asearch", true),
        ("erp", KEY, "acme", "GET", "/v9/nothing", false),
        ("erp", KEY, "acme", "GET", "/v2/employees/%2e%2e", false),
        ("erp", KEY, "acme", "POST", "/v3/export-jobs", false),
        ("erp", KEY, "beta", "GET", "/v2/employees", false),
        ("office", OFFICE_KEY, "beta", "GET", "/v2/employees", false),
        ("office", OFFICE_KEY, "acme", "GET", "/v2/employees", true),
        (
            "reader",
            "reader-key",
            "acme",
            "GET",
            "/v2/employees",
            false,
        ),
        (
            "reader",
            "reader-key",
            "acme",
            "POST",
            "/v1/vendors:search",
            true,
        ),
    ] {
        let asked = [
            "explain", "--caller", name, "--tenant", tenant, "--json", method, target,
        ];
        let before = upstream.seen().len();
        let explained = json_of(&gateway.cli(&asked, ""));
        assert_eq!(upstream.seen().len(), before, "explain sent something");
        let verdict = if is_forwarded { "forwarded" } else { "refused" };
        assert_eq!(explained["verdict"], verdict, "{asked:?}: {explained:#}");
        let headers = [("pleo-gateway-key", key), ("pleo-gateway-tenant", tenant)];
        let answer = crate::harness::client::call(gateway.base(), method, target, &headers, b"");
        assert_eq!(
            answer.status == 200,
            is_forwarded,
            "{asked:?}: {}",
            answer.text()
        );
    }
    let ended = gateway.cli(&["connections", "disconnect", "acme"], "");
    assert_eq!(ended.code, 0, "{}", ended.err);
    let asked = [
        "explain",
        "--caller",
        "erp",
        "--json",
        "GET",
        "/v2/employees",
    ];
    let explained = json_of(&gateway.cli(&asked, ""));
    assert_eq!(explained["verdict"], "refused", "{explained:#}");
}

#[test]
fn an_explanation_names_what_is_missing() {
    let setup = Setup::at("http://127.0.0.1:1");
    setup.write();
    setup.import("acme", &Minted::made_up());
    let asked = ["explain", "--caller", "erp", "POST", "/v3/export-jobs"];
    let told = setup.cli(&asked, "");
    assert_eq!(told.code, 0, "{}", told.err);
    for word in [
        "refused",
        "export-jobs:write",
        "createExportJobV3",
        "acme",
        "erp",
    ] {
        assert!(told.out.contains(word), "{word} in {}", told.out);
    }
    let unknown = setup.cli(
        &["explain", "--caller", "nobody", "GET", "/v2/employees"],
        "",
    );
    assert_eq!(unknown.code, 64);
    assert!(unknown.err.contains("erp"), "{}", unknown.err);
}

#[test]
fn editors_shells_and_readers_of_manuals_get_what_they_ask_for() {
    let said = |arguments: &[&str]| {
        let output = run(Command::new(BINARY).args(arguments), "", SOON);
        assert_eq!(output.code, 0, "{arguments:?}: {}", output.err);
        output.out
    };
    let schema: Value = serde_json::from_str(&said(&["schema"])).unwrap();
    assert!(schema["properties"]["pleo"].is_object(), "{schema:#}");
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            said(&["completions", shell]).contains("connections"),
            "{shell}"
        );
    }
    assert!(said(&["man"]).contains(".TH pleo-gateway"));
}
