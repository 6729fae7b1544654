//! The operators' door, and what is recorded of a call: health, metrics, the connections' API, the access log.

use serde_json::Value;

use crate::harness::client::{Answer, call};
use crate::harness::gateway::{Gateway, Setup};
use crate::harness::sandbox::Sandbox;
use crate::harness::upstream::Upstream;

const ACCESS_LOG: [&str; 18] = [
    "time",
    "request_id",
    "trace_id",
    "caller",
    "tenant",
    "route",
    "method",
    "path_template",
    "operation",
    "status",
    "error",
    "bytes_in",
    "bytes_out",
    "duration_ms",
    "upstream_ms",
    "overhead_ms",
    "generation",
    "replayed",
];

/// An operator's call.
fn ask(gateway: &Gateway, method: &str, target: &str) -> Answer {
    let file = gateway.setup.folder().join("data/admin.token");
    let token = std::fs::read_to_string(file).unwrap();
    let bearer = format!("Bearer {}", token.trim());
    call(
        &gateway.admin,
        method,
        target,
        &[("authorization", &bearer)],
        b"",
    )
}

/// Requirement 94: links are made by operators only.
/// Requirement 118: operators have a listener of their own, and say who they are.
#[test]
fn health_and_metrics_are_open_and_all_else_needs_the_token() {
    let gateway = Setup::at(&Upstream::fine().origin()).start();
    for open in [
        "/livez",
        "/readyz",
        "/readyz?verbose",
        "/startupz",
        "/metrics",
    ] {
        call(&gateway.admin, "GET", open, &[], b"").expect(200);
    }
    let verbose = call(&gateway.admin, "GET", "/readyz?verbose", &[], b"").text();
    for check in ["configuration", "store", "keys", "not draining"] {
        assert!(verbose.contains(&format!("[+] {check}\n")), "{verbose}");
    }
    for closed in [
        "/v1/connections",
        "/v1/connections/acme",
        "/-/reload",
        "/openapi.json",
        "/nothing",
    ] {
        call(&gateway.admin, "GET", closed, &[], b"").expect(401);
        let wrong = [("authorization", "Bearer wrong-canary")];
        call(&gateway.admin, "GET", closed, &wrong, b"").expect(401);
    }
    let file = gateway.setup.folder().join("data/admin.token");
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn operators_see_and_end_connections_over_http() {
    let sandbox = Sandbox::start("15m");
    let minted = sandbox.mint();
    let gateway = Setup::with(&sandbox).start_connected(&[("acme", &minted)]);
    let list = ask(&gateway, "GET", "/v1/connections").expect(200).json();
    assert_eq!(list["connections"][0], gateway.connection("acme"));
    let refreshed = ask(&gateway, "POST", "/v1/connections/acme/refresh")
        .expect(200)
        .json();
    assert_eq!(refreshed["generation"], 1);
    ask(&gateway, "POST", "/v1/connections/acme/verify").expect(200);
    assert!(
        ask(&gateway, "GET", "/v1/connections/acme/history")
            .expect(200)
            .text()
            .contains("\"ok\"")
    );
    ask(
        &gateway,
        "POST",
        "/v1/connections/acme/disconnect?force=true",
    )
    .expect(422);
    let uninstall = "/v1/connections/acme/disconnect?uninstall=true";
    ask(&gateway, "POST", uninstall).expect(200);
    assert_eq!(sandbox.state()["authorisations"][0]["alive"], false);
    gateway.get("/v3/export-jobs").refused(503, "not-connected");
    ask(&gateway, "GET", "/v1/connections/nobody").expect(404);
    sandbox.assert_no_rule_was_broken();
}

#[test]
fn the_operators_door_describes_what_it_answers() {
    let sandbox = Sandbox::start("15m");
    let gateway = Setup::with(&sandbox).start_connected(&[("acme", &sandbox.mint())]);
    let document = ask(&gateway, "GET", "/openapi.json").expect(200).json();
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().keys();
        methods.map(move |method| {
            (
                method.to_ascii_uppercase(),
                path.replace("{tenant}", "nobody"),
            )
        })
    });
    let operations: Vec<_> = operations.collect();
    assert_eq!(operations.len(), 15, "{operations:?}");
    for (method, path) in operations {
        let answer = ask(&gateway, &method, &path);
        assert!(![401, 405, 500].contains(&answer.status), "{method} {path}");
        assert!(!answer.text().contains("no such page"), "{method} {path}");
    }
    let members =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    let list = ask(&gateway, "GET", "/v1/connections").json();
    for (schema, found) in [
        ("Connections", &list),
        ("Connection", &list["connections"][0]),
        (
            "LedgerLine",
            &ask(&gateway, "GET", "/v1/connections/acme/history").json()[0],
        ),
        (
            "Link",
            &ask(&gateway, "POST", "/v1/connections/acme/link").json(),
        ),
        (
            "Problem",
            &ask(&gateway, "GET", "/v1/connections/none").json(),
        ),
    ] {
        let described = &document["components"]["schemas"][schema]["properties"];
        assert_eq!(members(described), members(found), "{schema}");
    }
}

#[test]
fn calls_are_counted_by_route_and_never_by_what_a_caller_wrote() {
    let upstream = Upstream::fine();
    let gateway = Gateway::before(&upstream);
    gateway.get("/v2/employees?canary=1").expect(200);
    gateway.get("/canary").refused(403, "route-denied");
    gateway
        .call("BREW", "/v2/employees", b"")
        .refused(403, "route-denied");
    let metrics = gateway.metrics();
    let counted = |words: &[&str]| {
        let mut lines = metrics
            .lines()
            .filter(|line| line.starts_with("pleo_gateway_requests_total{"));
        lines.any(|line| words.iter().all(|word| line.contains(word)))
    };
    assert!(
        counted(&[
            "route=\"searchEmployees\"",
            "method=\"GET\"",
            "status=\"200\""
        ]),
        "{metrics}"
    );
    assert!(
        counted(&["error=\"route-denied\"", "status=\"403\""]),
        "{metrics}"
    );
    for name in [
        "request_duration_seconds",
        "upstream_duration_seconds",
        "overhead_seconds",
        "in_flight",
        "token_lookups_total",
        "connections{",
        "config_last_reload_successful",
        "build_info{",
    ] {
        assert!(
            metrics.contains(&format!("\npleo_gateway_{name}")),
            "{name} in {metrics}"
        );
    }
    assert!(metrics.ends_with("# EOF\n"));
    assert!(
        !metrics.contains("canary") && !metrics.contains("BREW"),
        "{metrics}"
    );
}

#[test]
fn the_access_log_has_one_line_per_request_without_what_is_personal() {
    let upstream = Upstream::fine();
    let gateway = Gateway::before(&upstream);
    let headers = [("x-request-id", "line-1"), ("x-own", "header-canary")];
    let target = "/v2/employees/path-canary?name=query-canary";
    gateway.call_with("GET", target, &headers, b"").expect(200);
    let line: Value = gateway.program.wait_for("the access log", |_, line| {
        let line: Value = serde_json::from_str(line).ok()?;
        (line["request_id"] == "line-1").then_some(line)
    });
    let names: Vec<&str> = line
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut expected = ACCESS_LOG.to_vec();
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert_eq!(line["path_template"], "/v2/employees/{employeeId}");
    assert_eq!(line["operation"], "getEmployee");
    assert_eq!(
        (&line["caller"], &line["tenant"]),
        (&"erp".into(), &"acme".into())
    );
    assert_eq!(
        (line["status"].as_u64(), line["bytes_out"].as_u64()),
        (Some(200), Some(11))
    );
    let said = gateway.program.said();
    for canary in [
        "path-canary",
        "query-canary",
        "header-canary",
        "access-canary",
        "refresh-canary",
    ] {
        assert!(!said.contains(canary), "{canary} in {said}");
    }
}
