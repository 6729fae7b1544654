//! What callers rely on: a legacy call goes through whole, and only as it may; who calls, for whom, and where to.

use serde_json::json;

use crate::harness::client::call;
use crate::harness::gateway::{Gateway, KEY, OFFICE_KEY, Setup};
use crate::harness::sandbox::{Minted, Sandbox};
use crate::harness::upstream::Upstream;

#[test]
fn a_legacy_call_goes_through() {
    let sandbox = Sandbox::start("15m");
    let minted = sandbox.mint();
    let gateway = Setup::with(&sandbox).start_connected(&[("acme", &minted)]);
    let company = &minted.company;

    let jobs = gateway.get(&format!("/v3/export-jobs?company_id={company}&limit=2"));
    assert!(jobs.expect(200).json()["data"].is_array());

    let search = format!(":search?company_id={company}");
    let plain = gateway
        .call("POST", &format!("/v1/vendors{search}"), b"{}")
        .expect(200)
        .json();
    let search = search.replace(':', "%3A");
    let encoded = gateway
        .call("POST", &format!("/v1/vendors{search}"), b"{}")
        .expect(200)
        .json();
    assert_eq!(encoded, plain);

    let vendor = plain["data"][0]["id"].as_str().unwrap();
    let archived = gateway.call("POST", &format!("/v1/vendors/{vendor}:archive"), b"");
    assert!(archived.status < 300, "{}", archived.text());

    sandbox.assert_no_rule_was_broken();
    assert_eq!(sandbox.count("unknown_routes"), 0);
}

#[test]
fn a_caller_is_known_by_its_key_however_it_is_sent() {
    let upstream = Upstream::fine();
    let gateway = Gateway::before(&upstream);
    let get = |headers: &[(&str, &str)]| call(gateway.base(), "GET", "/v2/employees", headers, b"");
    for good in [
        ("authorization", "Bearer erp-canary"),
        ("authorization", "bearer erp-canary"),
        ("authorization", "Basic YW55b25lOmVycC1jYW5hcnk="), // anyone:erp-canary
        ("authorization", "Basic ZXJwLWNhbmFyeTo="),         // erp-canary:
        ("pleo-gateway-key", "erp-canary"),
    ] {
        get(&[good]).expect(200);
    }
    for bad in [
        vec![],
        vec![("authorization", "Bearer wrong-canary")],
        vec![("authorization", "Basic !!!-canary")],
        vec![("authorization", "Digest erp-canary")],
        vec![("pleo-gateway-key", "")],
        vec![
            ("authorization", "Bearer erp-canary"),
            ("pleo-gateway-key", "wrong-canary"),
        ],
        vec![
            ("authorization", "Bearer erp-canary"),
            ("pleo-gateway-key", OFFICE_KEY),
        ],
        vec![
            ("authorization", "Bearer erp-canary"),
            ("authorization", "Bearer wrong-canary"),
        ],
    ] {
        let answer = get(&bad).refused(401, "caller-unknown");
        assert!(answer.header("www-authenticate").is_some(), "{bad:?}");
    }
    assert_eq!(upstream.seen().len(), 5);
}

#[test]
fn the_tenant_is_found_by_each_of_its_five_sources() {
    let upstream = Upstream::fine();
    let mut setup = Setup::at(&upstream.origin());
    setup
        .doors
        .push_str("[[listen]]\naddress = \"127.0.0.1:0\"\ntenant = \"beta\"\n");
    setup.proxy = "tenant_host = \"{tenant}.pleo.test\"".to_owned();
    let mut beta = Minted::made_up();
    beta.pair["access_token"] = "beta-canary".into();
    beta.pair["company_id"] = "company-2".into();
    let gateway = setup.start_connected(&[("acme", &Minted::made_up()), ("beta", &beta)]);
    let key = ("pleo-gateway-key", OFFICE_KEY);
    let sources = [
        (gateway.callers[1].as_str(), "/v2/employees", vec![key]),
        (gateway.base(), "/tenants/beta/v2/employees", vec![key]),
        (
            gateway.base(),
            "/v2/employees",
            vec![key, ("host", "beta.pleo.test")],
        ),
        (
            gateway.base(),
            "/v2/employees",
            vec![key, ("pleo-gateway-tenant", "beta")],
        ),
        (
            gateway.base(),
            "/v2/employees",
            vec![("pleo-gateway-key", KEY)],
        ),
    ];
    for (base, target, headers) in &sources {
        call(base, "GET", target, headers, b"").expect(200);
    }
    let seen = upstream.seen();
    let bearers: Vec<_> = seen
        .iter()
        .filter_map(|seen| seen.head.field("authorization"))
        .collect();
    let beta = "Bearer beta-canary";
    assert_eq!(bearers, [beta, beta, beta, beta, "Bearer access-canary"]);
    assert!(seen.iter().all(|seen| seen.head.word(1) == "/v2/employees"));
}

#[test]
fn tenants_that_disagree_or_are_not_said_are_refused_and_foreign_ones_look_unknown() {
    let upstream = Upstream::fine();
    let gateway = Gateway::before(&upstream);
    let ask = |key: &str, target: &str, tenant: Option<&str>| {
        let mut headers = vec![("pleo-gateway-key", key), ("x-request-id", "same")];
        headers.extend(tenant.map(|tenant| ("pleo-gateway-tenant", tenant)));
        call(gateway.base(), "GET", target, &headers, b"")
    };
    ask(OFFICE_KEY, "/v2/employees", None).refused(400, "bad-request");
    ask(OFFICE_KEY, "/tenants/acme/v2/employees", Some("beta")).refused(400, "bad-request");
    let foreign = ask(KEY, "/v2/employees", Some("beta")).refused(403, "tenant-forbidden");
    let unknown = ask(KEY, "/v2/employees", Some("nobody")).refused(403, "tenant-forbidden");
    assert_eq!(foreign.text(), unknown.text());
    ask(OFFICE_KEY, "/v2/employees", Some("beta")).refused(503, "not-connected");
    assert!(upstream.seen().is_empty());
}

#[test]
fn ambiguous_paths_are_refused() {
    let upstream = Upstream::fine();
    let gateway = Gateway::before(&upstream);
    for target in [
        "/v2/employees/%2e%2e/x",
        "/v2/../v2/employees",
        "/v2//employees",
        "/v2/employees/a%2Fb",
        "/v2/employees/a%5cb",
        "/v2/employees/a\\b",
        "/v2/employees/%00",
        "/v2/employees/%zz",
        "/v2/employees/%0a",
        "/v2/./employees",
    ] {
        gateway.get(target).refused(400, "bad-request");
    }
    assert!(upstream.seen().is_empty());
}

#[test]
fn routes_and_scopes_are_checked_before_anything_is_sent() {
    let upstream = Upstream::fine();
    let mut setup = Setup::at(&upstream.origin());
    let reader = crate::harness::gateway::caller("reader", "reader-canary", r#"["acme"]"#);
    setup.callers.push_str(&reader);
    setup.callers.push_str("scopes = [\"vendors:read\"]\n");
    setup.routes = r#"
[[routes]]
catalogue = "vendors/v1"
[[routes]]
catalogue = "employees/v2"
[[routes]]
catalogue = "export/v3"
[[routes]]
name = "no-deletes"
methods = ["DELETE"]
path = "/{*rest}"
deny = true
[[routes]]
name = "office-only"
methods = ["GET"]
path = "/v1/office"
scopes = []
callers = ["office"]
[[routes]]
name = "own-company"
methods = ["GET"]
path = "/v1/own"
scopes = []
company = "query:company_id"
"#
    .to_owned();
    let gateway = setup.start_with_acme();
    gateway.get("/v1/nothing").refused(403, "route-denied");
    gateway.get("/v2/employees/").refused(403, "route-denied");
    gateway
        .call("DELETE", "/v1/vendors/7", b"")
        .refused(403, "route-denied");
    gateway.get("/v1/office").refused(403, "route-denied");
    gateway
        .get("/v1/own?company_id=other")
        .refused(400, "bad-request");
    gateway.get("/v1/own").refused(400, "bad-request");
    let missing = gateway
        .call("POST", "/v3/export-jobs", b"{}")
        .refused(403, "scope-missing");
    assert_eq!(
        missing.json()["missing_scopes"],
        json!(["export-jobs:write"])
    );
    let key = [("pleo-gateway-key", "reader-canary")];
    let above = call(gateway.base(), "POST", "/v1/vendors", &key, b"{}");
    let above = above.refused(403, "scope-forbidden");
    assert_eq!(above.json()["missing_scopes"], json!(["vendors:write"]));
    assert!(upstream.seen().is_empty());

    gateway.get("/v1/own?company_id=company-1").expect(200);
    let office = [
        ("pleo-gateway-key", OFFICE_KEY),
        ("pleo-gateway-tenant", "acme"),
    ];
    call(gateway.base(), "GET", "/v1/office", &office, b"").expect(200);
    call(gateway.base(), "POST", "/v1/vendors:search", &key, b"{}").expect(200);
    assert_eq!(upstream.seen().len(), 3);
}

#[test]
fn one_refresh_serves_everyone_who_waits() {
    let sandbox = Sandbox::start("15m");
    let minted = sandbox.mint().without_access();
    let gateway = Setup::with(&sandbox).start_connected(&[("acme", &minted)]);
    let target = format!("/v3/export-jobs?company_id={}", minted.company);
    std::thread::scope(|threads| {
        let calls: Vec<_> = (0..20)
            .map(|_| threads.spawn(|| gateway.get(&target)))
            .collect();
        for call in calls {
            call.join().unwrap().expect(200);
        }
    });
    assert_eq!(sandbox.count("refreshes"), 1);
    sandbox.assert_no_rule_was_broken();
    assert_eq!(gateway.connection("acme")["generation"], 1);
}

#[test]
fn a_token_that_pleo_killed_is_replaced_and_the_call_answered() {
    let sandbox = Sandbox::start("15m");
    let minted = sandbox.mint_with_dead_access();
    let gateway = Setup::with(&sandbox).start_connected(&[("acme", &minted)]);
    let target = format!("/v3/export-jobs?company_id={}", minted.company);
    for _ in 0..2 {
        gateway.get(&target).expect(200);
    }
    assert_eq!(gateway.connection("acme")["generation"], 1);
    sandbox.assert_no_rule_was_broken();
}
