//! `explain` predicts what the running gateway does, and sends nothing; and what else programs ask of the binary itself.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::client::call;
use crate::harness::gateway::{Gateway, KEY, OFFICE_KEY, Setup, caller};
use crate::harness::program::run;
use crate::harness::sandbox::Minted;
use crate::harness::upstream::Upstream;
use crate::harness::{BINARY, SOON};
use crate::stand::dice::Dice;
use crate::stand::is_long;

#[test]
fn explain_and_the_running_gateway_agree_and_explain_sends_nothing() {
    let upstream = Upstream::fine();
    let mut setup = Setup::at(&upstream.origin());
    setup
        .callers
        .push_str(&caller("reader", "reader-canary", r#"["acme"]"#));
    setup.callers.push_str("scopes = [\"vendors:read\"]\n");
    let gateway = setup.start_with_acme();
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
            "reader-canary",
            "acme",
            "GET",
            "/v2/employees",
            false,
        ),
        (
            "reader",
            "reader-canary",
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
        let explained = gateway.cli(&asked, "").json();
        assert_eq!(upstream.seen().len(), before, "explain sent something");
        let verdict = if is_forwarded { "forwarded" } else { "refused" };
        assert_eq!(explained["verdict"], verdict, "{asked:?}: {explained:#}");
        let headers = [("pleo-gateway-key", key), ("pleo-gateway-tenant", tenant)];
        let answer = call(gateway.base(), method, target, &headers, b"");
        assert_eq!(
            answer.status == 200,
            is_forwarded,
            "{asked:?}: {}",
            answer.text()
        );
        assert_eq!(explained["error"].as_str(), answer.code(), "{asked:?}");
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
    let explained = gateway.cli(&asked, "").json();
    assert_eq!(explained["verdict"], "refused", "{explained:#}");
}

/// What is denied, for some callers only, tied to a company, or observed.
const RULES: &str = r#"
[[routes]]
catalogue = "*"
[[routes]]
name = "no-deletes"
methods = ["DELETE"]
path = "/v1/{*rest}"
deny = true
[[routes]]
name = "jobs"
methods = ["GET"]
path = "/v3/export-jobs"
scopes = ["export-jobs:read"]
company = "query:company_id"
[[routes]]
name = "mine"
path = "/v2/employees/{id}"
scopes = ["users:read"]
callers = ["office"]
[[routes]]
name = "observed"
path = "/x/{*rest}"
scopes = ["nobody:has"]
observe = true
"#;
const PATHS: [&str; 14] = [
    "/v2/employees",
    "/v2/employees/7",
    "/v2/employees/%37%2D",
    "/v2/employees/",
    "/V2/employees",
    "/v1/vendors/7",
    "/v1/vendors:search",
    "/v1/vendors%3Asearch",
    "/v3/export-jobs",
    "/v3/export-jobs/7",
    "/x/anything/at/all",
    "/v1//vendors",
    "/v1/%2e%2e/x",
    "/v9/nothing",
];
const QUERIES: [&str; 5] = [
    "",
    "?company_id=company-1",
    "?company_id=other",
    "?company_id=company-1&company_id=other",
    "?access_token=x",
];
const CALLERS: [(&str, &str); 3] = [
    ("erp", KEY),
    ("office", OFFICE_KEY),
    ("reader", "reader-canary"),
];

#[test]
fn long_explain_foretells_hundreds_of_random_requests_to_the_running_gateway() {
    let upstream = Upstream::fine();
    let mut setup = Setup::at(&upstream.origin());
    setup.routes = RULES.to_owned();
    let reader = caller("reader", "reader-canary", r#"["acme", "beta"]"#);
    setup.callers += &reader;
    setup.callers += "scopes = [\"vendors:read\"]\n";
    let gateway = setup.start_with_acme();
    let mut dice = Dice::new();
    println!("seed {}", dice.seed());
    let (mut forwarded, rounds) = (0, if is_long() { 5000 } else { 200 });
    for _ in 0..rounds {
        let mut any = |count: usize| usize::try_from(dice.below(count as u64)).unwrap();
        let (name, key) = CALLERS[any(CALLERS.len())];
        let tenant = ["acme", "acme", "acme", "beta", "gamma", "No"][any(6)];
        let prefix = ["", "", "/tenants/acme", "/tenants/beta"][any(4)];
        let path = [prefix, PATHS[any(PATHS.len())], QUERIES[any(QUERIES.len())]].concat();
        let method = ["GET", "GET", "POST", "DELETE", "PUT"][any(5)];
        let mut asked = vec!["explain", "--json", "--caller", name];
        let mut fields = vec![("pleo-gateway-key", key)];
        if any(4) > 0 {
            asked.extend(["--tenant", tenant]);
            fields.push(("pleo-gateway-tenant", tenant));
        }
        asked.extend([method, &path]);
        let explained = gateway.cli(&asked, "").json();
        let before = upstream.seen().len();
        let answer = call(gateway.base(), method, &path, &fields, b"");
        let sent = upstream.seen().len() - before;
        let is_forwarded = explained["verdict"] == "forwarded";
        let told = format!(
            "{asked:?}: {explained:#}\n{}: {}",
            answer.status,
            answer.text()
        );
        assert_eq!(is_forwarded, answer.status == 200, "{told}");
        assert_eq!(explained["error"].as_str(), answer.code(), "{told}");
        assert_eq!(usize::from(is_forwarded), sent, "{told}");
        if is_forwarded {
            let target = upstream.seen().pop().unwrap().head.word(1).to_owned();
            let foretold = explained["target"].as_str().unwrap();
            assert!(foretold.ends_with(&target), "{target}: {told}");
            forwarded += 1;
        }
    }
    println!("{rounds} requests, {forwarded} of them forwarded");
    assert!(forwarded > 0, "none of {rounds} was forwarded");
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

/// A door pinned to `beta`, an open one, and a unix socket, which alone knows the caller `local`; with their addresses.
fn three_doors(upstream: &Upstream) -> (Gateway, [String; 3]) {
    let mut setup = Setup::at(&upstream.origin());
    let [pinned, open] = [0; 2].map(|_| format!("127.0.0.1:{}", crate::harness::free_port()));
    let unix = format!("unix:{}", setup.folder().join("door.sock").display());
    setup.proxy = "tenant_host = \"{tenant}.pleo.internal\"\n".into();
    setup.doors = format!(
        "[[listen]]\naddress = \"{pinned}\"\ntenant = \"beta\"\n\
         [[listen]]\naddress = \"{open}\"\n[[listen]]\naddress = \"unix:door.sock\"\n"
    );
    let uid = rustix::process::geteuid().as_raw().to_string();
    let local = "[[callers]]\nname = \"local\"\nunix_uid = [UID]\ntenants = [\"acme\"]\n";
    setup.callers += &local.replace("UID", &uid);
    let gateway = setup.start_with_acme();
    (gateway, [pinned, open, unix])
}

#[test]
fn explain_looks_through_the_door_that_serves_the_caller_and_the_tenant() {
    let upstream = Upstream::fine();
    let (gateway, [pinned, open, unix]) = three_doors(&upstream);
    let by_host = "http://acme.pleo.internal/v2/employees";
    let path = "/v2/employees";
    let (acme, yes, no) = (Some("acme"), "forwarded", "refused");
    for (asked, target, door, tenant, verdict) in [
        (&["office", "--tenant", "acme"][..], path, &open, acme, yes),
        (&["office"], path, &pinned, Some("beta"), no),
        (&["office", "--door", &open], by_host, &open, acme, yes),
        (&["erp"], path, &open, acme, yes),
        (&["erp", "--door", &pinned], path, &pinned, None, no),
        (&["local"], path, &unix, acme, yes),
        (
            &["local", "--door", "unix:door.sock"],
            path,
            &unix,
            acme,
            yes,
        ),
        (&["local", "--door", &unix], path, &unix, acme, yes),
        (&["local", "--door", &open], path, &open, None, no),
    ] {
        let asked = [&["explain", "--json", "--caller"], asked, &["GET", target]].concat();
        let explained = gateway.cli(&asked, "").json();
        let told = (&explained["door"], explained["tenant"].as_str());
        assert_eq!(told, (&json!(door), tenant), "{asked:?}: {explained:#}");
        assert_eq!(explained["verdict"], verdict, "{asked:?}: {explained:#}");
    }
    let told = gateway.cli(&["explain", "--caller", "office", "GET", path], "");
    let door = format!("{pinned}, pinned to beta");
    assert!(told.out.contains(&door), "{}", told.out);
    let nowhere = ["explain", "--caller", "erp", "--door", "x", "GET", path];
    let told = gateway.cli(&nowhere, "");
    assert!(told.code == 64 && told.err.contains(&open), "{}", told.err);

    // And so it is.
    for (door, key, code) in [
        (0, Some(OFFICE_KEY), Some("not-connected")),
        (0, Some(KEY), Some("tenant-forbidden")),
        (1, Some(KEY), None),
        (1, None, Some("caller-unknown")),
        (2, None, None),
    ] {
        let fields: Vec<_> = key
            .map(|key| ("pleo-gateway-key", key))
            .into_iter()
            .collect();
        let answer = call(&gateway.callers[door], "GET", path, &fields, b"");
        assert_eq!(answer.code(), code, "{door} {key:?}");
    }
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
    let page = said(&["man"]);
    for part in [".TH pleo-gateway", "connections link", ".SH EXIT STATUS"] {
        assert!(page.contains(part), "{part} in {page}");
    }
}

#[test]
fn a_path_without_its_slash_is_a_mistake_of_the_command_line() {
    let setup = Setup::at("http://127.0.0.1:1");
    setup.write();
    for (path, meant) in [
        ("vendors", "/vendors"),
        ("v1/vendors?x=http://y", "/v1/vendors?x=http://y"),
    ] {
        let said = setup.cli(&["explain", "GET", path, "--caller", "erp"], "");
        assert_eq!(said.code, 64, "{}", said.err);
        let words = format!("a path begins with '/': write {meant}");
        assert!(said.err.contains(&words), "{}", said.err);
    }
}
