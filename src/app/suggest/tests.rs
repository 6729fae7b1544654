//! What is suggested, by example: a file, a log, and the tables that come of them.

use std::path::Path;

mod never_more;

use super::*;
use crate::config::{Environment, Settings, parse};

const BEGIN: &str = r#"version = 1
[[listen]]
address = "127.0.0.1:8080"
[[callers]]
name = "erp"
key_sha256 = ["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
tenants = ["acme"]
rate = "300/min"
[[callers]]
name = "office"
key_sha256 = ["60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"]
tenants = ["acme", "beta"]
"#;

fn settings(text: &str) -> Settings {
    parse(
        Path::new("/etc/gateway.toml"),
        text,
        &Environment::of_process(),
    )
    .unwrap()
}

/// A line for every `caller operation route template error`; `-` is null.
fn observed(calls: &[&str]) -> Observed {
    let line = |call: &&str| {
        let words: Vec<serde_json::Value> = (call.split(' '))
            .map(|word| {
                if word == "-" {
                    serde_json::Value::Null
                } else {
                    word.into()
                }
            })
            .collect();
        let [caller, operation, route, template, error] = &words[..] else {
            panic!("{call}");
        };
        let known = operation
            .as_str()
            .and_then(|name| catalogue::builtin().operation(name));
        let method = known.map_or("GET", |operation| operation.method.as_str());
        let line = serde_json::json!({
            "request_id": "r-1", "status": 200, "method": method, "caller": caller, "operation": operation,
            "route": route, "path_template": template, "error": error,
        });
        format!("{line}\n")
    };
    let log: String = calls.iter().map(line).collect();
    Observed::read(log.as_bytes()).unwrap()
}

fn suggest(routes: &str, calls: &[&str], refused: bool) -> Suggestion {
    let text = format!("{BEGIN}{routes}");
    let (settings, file) = (settings(&text), toml::from_str(&text).unwrap());
    let suggestion =
        Suggestion::of((&settings.snapshot, &file), &observed(calls), refused).unwrap();
    // Whatever is suggested can be pasted.
    let begin = "version = 1\n[[listen]]\naddress = \"127.0.0.1:8080\"\n";
    let pasted = self::settings(&format!("{begin}{suggestion}"));
    assert!(!pasted.snapshot.routes.iter().any(|route| route.observe));
    suggestion
}

/// The suggested routes as text.
fn routes(suggestion: &Suggestion) -> String {
    let text = suggestion.to_string();
    let begin = text.find("[[routes]]").unwrap_or(text.len());
    text[begin..].to_owned()
}

#[test]
fn operations_of_a_family_are_imported_together_for_those_who_used_them() {
    let suggestion = suggest(
        "[[routes]]\ncatalogue = \"*\"\nobserve = true\ntimeout = \"30s\"\n",
        &[
            "erp createExportJobV3 createExportJobV3 /v3/export-jobs -",
            "erp searchEmployees searchEmployees /v2/employees -",
            "office searchEmployees searchEmployees /v2/employees scope-missing",
            "erp getEmployee getEmployee /v2/employees/{employeeId} rate-limited",
        ],
        false,
    );
    assert_eq!(
        suggestion.to_string(),
        r#"
[[callers]]
name = "erp"
scopes = ["export-jobs:write", "users:read"]
key_sha256 = ["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
rate = "300/min"
tenants = ["acme"]

[[callers]]
name = "office"
scopes = ["users:read"]
key_sha256 = ["60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"]
tenants = ["acme", "beta"]

[[routes]]
catalogue = "employees/v2"
operations = ["getEmployee"]
callers = ["erp"]
timeout = "30s"

[[routes]]
catalogue = "employees/v2"
operations = ["searchEmployees"]
callers = ["erp", "office"]
timeout = "30s"

[[routes]]
catalogue = "export/v3"
operations = ["createExportJobV3"]
callers = ["erp"]
timeout = "30s"
"#
    );
    assert_eq!(suggestion.remarks, [""; 0]);
}

#[test]
fn a_route_that_is_wider_than_its_use_gives_way_to_the_catalogue_and_others_stay() {
    let suggestion = suggest(
        r#"
[[routes]]
path = "/{*rest}"
scopes = []
max_in_flight = 3
[[routes]]
name = "me"
path = "/v2/employees/me"
scopes = ["users:read"]
observe = true
[[routes]]
name = "new"
methods = ["GET", "POST"]
path = "/v9/new"
scopes = ["new:read"]
"#,
        &[
            "erp getEmployee me /v2/employees/me -",
            "office getEmployee /{*rest} /{*rest} -",
            "erp - new /v9/new -",
            "erp - /{*rest} /{*rest} -",
        ],
        false,
    );
    assert_eq!(
        routes(&suggestion),
        r#"[[routes]]
name = "/{*rest}"
methods = ["GET"]
path = "/{*rest}"
scopes = []
callers = ["erp"]
max_in_flight = 3

[[routes]]
catalogue = "employees/v2"
operations = ["getEmployee"]
callers = ["office"]
max_in_flight = 3

[[routes]]
name = "me"
methods = ["GET"]
path = "/v2/employees/me"
scopes = ["users:read"]
callers = ["erp"]

[[routes]]
name = "new"
methods = ["GET"]
path = "/v9/new"
scopes = ["new:read"]
callers = ["erp"]
"#
    );
}

#[test]
fn what_nobody_used_is_denied_where_a_wider_route_would_allow_it() {
    let suggestion = suggest(
        r#"
[[routes]]
name = "new-api"
path = "/v4/{*rest}"
scopes = []
[[routes]]
name = "salaries"
path = "/v4/salaries/{id}"
scopes = ["users:read"]
callers = ["office"]
[[routes]]
name = "jobs"
path = "/v4/jobs"
methods = ["POST"]
scopes = []
[[routes]]
catalogue = "vendors/v1"
[[routes]]
path = "/v1/{*rest}"
scopes = []
"#,
        &[
            "erp - new-api /v4/{*rest} -",
            "office - /v1/{*rest} /v1/{*rest} -",
        ],
        false,
    );
    assert_eq!(
        routes(&suggestion),
        r#"[[routes]]
name = "new-api"
methods = ["GET"]
path = "/v4/{*rest}"
scopes = []
callers = ["erp"]

# Not used by these callers, and open to them by new-api if it was not denied
[[routes]]
name = "salaries"
methods = ["GET"]
path = "/v4/salaries/{id}"
callers = ["erp"]
deny = true

[[routes]]
name = "/v1/{*rest}"
methods = ["GET"]
path = "/v1/{*rest}"
scopes = []
callers = ["office"]

# Not used by these callers, and open to them by /v1/{*rest} if it was not denied
[[routes]]
catalogue = "*"
operations = ["getCsvImportJobV1", "getCsvImportJobErrorsV1", "getVendorById"]
callers = ["office"]
deny = true
"#
    );
}

/// A `deny` would refuse what was used within it.
#[test]
fn what_nobody_used_stays_as_it_is_where_something_within_it_was_used() {
    let suggestion = suggest(
        r#"
[[routes]]
name = "me"
path = "/v4/people/me"
scopes = []
[[routes]]
name = "people"
path = "/v4/people/{id}"
scopes = ["users:read"]
callers = ["office"]
[[routes]]
name = "new-api"
path = "/v4/{*rest}"
scopes = []
"#,
        &["erp - me /v4/people/me -", "erp - new-api /v4/{*rest} -"],
        false,
    );
    let part = r#"
# Not used; without it, new-api would allow more than it does
[[routes]]
name = "people"
methods = ["GET"]
path = "/v4/people/{id}"
scopes = ["users:read"]
callers = ["office"]
"#;
    let said = suggestion.to_string();
    assert!(said.contains(part), "{said}");
}

#[test]
fn a_call_that_the_configuration_refuses_by_now_is_taken_in_only_if_asked_for() {
    let file = "[[routes]]\nname = \"a\"\npath = \"/a\"\nscopes = []\ncallers = [\"office\"]\n";
    let strict = suggest(file, &["erp - a /a -"], false);
    assert!(
        strict.remarks[0].contains("refuses it by now"),
        "{strict:?}"
    );
    assert_eq!(routes(&strict), "");
    assert!(routes(&suggest(file, &["erp - a /a -"], true)).contains("\"erp\""));
}

#[test]
fn what_was_refused_is_taken_in_only_if_asked_for_and_what_is_denied_never() {
    let file = r#"
[[routes]]
catalogue = "employees/v2"
callers = ["erp"]
[[routes]]
name = "no-tags"
path = "/v0/{*rest}"
deny = true
"#;
    let calls = [
        "erp searchEmployees searchEmployees /v2/employees -",
        "office searchEmployees searchEmployees /v2/employees route-denied",
        "erp deleteClientInstallation - - route-denied",
        "erp - - - route-denied",
        "erp - no-tags /v0/{*rest} route-denied",
        "gone searchEmployees searchEmployees /v2/employees -",
    ];
    let strict = suggest(file, &calls, false);
    assert!(!routes(&strict).contains("office"), "{strict}");
    assert!(routes(&strict).contains("deny = true"), "{strict}");
    let refused = suggest(file, &calls, true);
    let taken = routes(&refused);
    for part in [
        r#"callers = ["erp", "office"]"#,
        r#"name = "deleteClientInstallation""#,
        r#"path = "/v1/installations/me""#,
        "deny = true",
    ] {
        assert!(taken.contains(part), "{part} in {taken}");
    }
    let said = |suggestion: &Suggestion| suggestion.remarks.join("\n");
    for part in ["it was refused; --refused", "office: nothing"] {
        assert!(said(&strict).contains(part), "{}", said(&strict));
        assert!(!said(&refused).contains(part), "{}", said(&refused));
    }
    for part in [
        "erp: a path that is not known, 1×, first in request r-1: it means no route",
        "erp: route no-tags, 1×, first in request r-1: a route denies it",
        "gone: searchEmployees (GET /v2/employees), 1×, first in request r-1: there is no such caller",
    ] {
        assert!(said(&refused).contains(part), "{}", said(&refused));
    }
}

#[test]
fn a_log_of_another_configuration_is_told_by_its_callers_and_routes() {
    let text = format!("{BEGIN}[[routes]]\ncatalogue = \"employees/v2\"\n");
    let (settings, file) = (settings(&text), toml::from_str(&text).unwrap());
    let calls = observed(&["crm searchEmployees searchEmployees /v2/employees -"]);
    let error = Suggestion::of((&settings.snapshot, &file), &calls, false).unwrap_err();
    assert!(error.to_string().ends_with("the log has: crm"), "{error}");
    let suggestion = suggest(
        "[[routes]]\nname = \"new\"\npath = \"/v9/new\"\nscopes = []\n",
        &[
            "erp - new /v9/{older} -",
            "erp searchTagsV1 gone /v1/{*rest} -",
        ],
        false,
    );
    let said = suggestion.remarks.join("\n");
    assert!(
        said.contains("route new, 1×, first in request r-1: there is no such route"),
        "{said}"
    );
    assert!(said.contains("left out, as nobody used it: new"), "{said}");
}
