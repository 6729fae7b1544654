//! `scopes suggest`: observe, see what callers do, adopt what is suggested, enforce.

use std::fs;
use std::process::Command;

use crate::harness::client::call;
use crate::harness::gateway::{Gateway, KEY, OFFICE_KEY, Setup};
use crate::harness::program::run;
use crate::harness::upstream::Upstream;
use crate::harness::{BINARY, SOON};

/// What callers do: method, path, key.
const CALLS: [(&str, &str, &str); 4] = [
    ("GET", "/v2/employees?name=x", KEY),
    ("GET", "/v2/employees", OFFICE_KEY),
    ("POST", "/v1/vendors%3Asearch", KEY),
    ("GET", "/v1/installations/me", OFFICE_KEY),
];

fn status(gateway: &Gateway, (method, path, key): (&str, &str, &str)) -> u16 {
    let headers = [("pleo-gateway-key", key), ("pleo-gateway-tenant", "acme")];
    call(gateway.base(), method, path, &headers, b"").status
}

#[test]
fn what_was_observed_becomes_a_configuration_that_allows_it_and_nothing_else() {
    let upstream = Upstream::fine();
    let mut setup = Setup::at(&upstream.origin());
    setup.proxy = "observe = true\n".into();
    setup.routes = "[[routes]]\npath = \"/{*rest}\"\nscopes = []\n".to_owned()
        + "[[routes]]\ncatalogue = \"vendors/*\"\ntimeout = \"20s\"\n";
    // Below what it does: observed, not enforced.
    setup.callers = setup.callers.replacen(
        "tenants = [\"acme\"]\n",
        "tenants = [\"acme\"]\nscopes = [\"export-jobs:read\"]\n",
        1,
    );
    let mut gateway = setup.start_with_acme();
    for asked in CALLS {
        assert_eq!(status(&gateway, asked), 200, "{asked:?}");
    }
    assert_eq!(status(&gateway, ("GET", "/v9/nothing", KEY)), 200);
    assert!(gateway.terminate().success());

    // Both of its logs in one file, as a service manager keeps them.
    let log = gateway.setup.folder().join("log");
    fs::write(&log, gateway.program.said()).unwrap();
    let suggested = gateway.cli(&["scopes", "suggest", "--log", log.to_str().unwrap()], "");
    assert_eq!(suggested.code, 0, "{}", suggested.err);
    assert!(
        suggested.err.contains("not of the access log"),
        "{}",
        suggested.err
    );
    let toml = suggested.out;
    for line in [
        "scopes = [\"users:read\", \"vendors:read\"]",
        "scopes = [\"users:read\"]",
        "catalogue = \"vendors/v1\"",
        "operations = [\"getClientInstallation\"]",
        "callers = [\"erp\", \"office\"]",
        "timeout = \"20s\"",
        // What the catalogue does not have keeps the wide route, and what is beside it is denied.
        "path = \"/{*rest}\"",
        "methods = [\"GET\"]",
        "deny = true",
    ] {
        assert!(toml.contains(&format!("\n{line}\n")), "{line} in {toml}");
    }

    // The wide route is the operator's to take out.
    let wide = toml.find("[[routes]]\nname = \"/{*rest}\"").unwrap();
    let after = wide + 1 + toml[wide + 1..].find("\n[[").unwrap();
    gateway.setup.callers = format!("{}{}", &toml[..wide], &toml[after..]);
    (gateway.setup.routes, gateway.setup.proxy) = (String::new(), String::new());
    gateway.setup.write();
    let checked = gateway.cli(&["check"], "");
    assert_eq!(checked.code, 0, "{}", checked.err);
    gateway.restart();
    for asked in CALLS {
        assert_eq!(status(&gateway, asked), 200, "{asked:?}");
    }
    for asked in [
        ("GET", "/v2/employees/7", KEY),
        ("POST", "/v1/vendors:search", OFFICE_KEY),
        ("GET", "/v1/installations/me", KEY),
        ("GET", "/v9/nothing", KEY),
    ] {
        assert_eq!(status(&gateway, asked), 403, "{asked:?}");
    }
}

#[test]
fn what_was_refused_is_named_with_its_request_and_taken_in_if_asked_for() {
    let upstream = Upstream::fine();
    let mut setup = Setup::at(&upstream.origin());
    setup.routes = "[[routes]]\ncatalogue = \"employees/v2\"\ncallers = [\"office\"]\n".into();
    let mut gateway = setup.start_with_acme();
    let refused = [
        ("GET", "/v2/employees", KEY),
        ("POST", "/v1/vendors:search", KEY),
        ("GET", "/v9/path-canary", KEY),
    ];
    for asked in refused {
        assert_eq!(status(&gateway, asked), 403, "{asked:?}");
    }
    assert!(gateway.terminate().success());
    let log = gateway.program.said();
    let suggest = |more: &[&str]| {
        let suggested = gateway.cli(&[&["scopes", "suggest"], more].concat(), &log);
        assert_eq!(suggested.code, 0, "{}", suggested.err);
        suggested.out
    };
    let said = suggest(&[]);
    for part in [
        "# erp: searchEmployees (GET /v2/employees), 1×",
        "# erp: a path that is not known, 1×",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(
        !said.contains("\n[[routes]]") && !said.contains("canary"),
        "{said}"
    );
    let taken = suggest(&["--refused"]);
    for part in ["catalogue = \"employees/v2\"", "catalogue = \"vendors/v1\""] {
        assert!(taken.contains(part), "{part} in {taken}");
    }
}

#[test]
fn what_is_no_access_log_of_this_gateway_is_told_apart() {
    let setup = Setup::at("http://127.0.0.1:1");
    setup.write();
    let line = |caller: &str| {
        format!(
            r#"{{"request_id":"r","method":"GET","status":200,"caller":"{caller}","route":"a","path_template":"/a"}}"#
        )
    };
    for (log, part) in [
        (String::new(), "- is empty"),
        ("no JSON\n".to_owned(), "has no line of the access log"),
        (
            "{\"level\":\"INFO\"}".to_owned(),
            "has no line of the access log",
        ),
        (line("crm"), "the log has: crm"),
    ] {
        let said = setup.cli(&["scopes", "suggest"], &log);
        assert_eq!(said.code, 65, "{}", said.err);
        assert!(said.err.contains(part), "{part} in {}", said.err);
    }
    let said = setup.cli(&["scopes", "suggest", "--log", "none"], "");
    assert_eq!(said.code, 74, "{}", said.err);
    // A name from the log does not become a line of the file.
    let hostile = format!("{}\n{}", line("erp"), line("x\\n[[routes]]\\npath = 1"));
    let said = setup.cli(&["scopes", "suggest"], &hostile);
    assert!(!said.out.contains("\npath = 1"), "{}", said.out);
}

#[test]
fn a_configuration_that_comes_through_a_pipe_is_read_once() {
    let setup = Setup::at("http://127.0.0.1:1");
    let begin = "version = 1\n[[listen]]\naddress = \"127.0.0.1:0\"\n";
    let text = [begin, &setup.callers, &setup.routes].concat();
    let log = setup.folder().join("log");
    let line = r#"{"request_id":"r","method":"GET","status":200,"caller":"erp","route":"searchEmployees","path_template":"/v2/employees","operation":"searchEmployees"}"#;
    fs::write(&log, line).unwrap();
    let log = log.to_str().unwrap();
    let suggest = ["scopes", "suggest", "--log", log, "-c", "/dev/stdin"];
    let said = run(
        Command::new(BINARY)
            .args(suggest)
            .current_dir(setup.folder()),
        &text,
        SOON,
    );
    assert_eq!(said.code, 0, "{}", said.err);
    for part in ["[[callers]]", "operations = [\"searchEmployees\"]"] {
        assert!(said.out.contains(part), "{part} in {}", said.out);
    }
}
