//! What settings come out: defaults, derived values, overrides by the environment.

use std::path::Path;
use std::time::Duration;

use super::super::{Address, Database, PleoEnvironment, Problems, SecretSource, parse};
use super::{SOUND, environment, read, read_with};
use crate::model::limits::Limits;
use crate::secret::Secret;

#[test]
fn the_sandbox_needs_nothing() {
    let settings = read(SOUND).unwrap();
    assert_eq!(settings.pleo.environment, PleoEnvironment::Sandbox);
    assert_eq!(settings.pleo.client_id, "sandbox");
    assert_eq!(settings.pleo.client_secret, Secret::new("sandbox-secret"));
    let redirect = settings.pleo.redirect_uri.as_str();
    assert_eq!(redirect, "http://127.0.0.1:8081/oauth/callback");
    assert_eq!(settings.connect.public_url, "http://127.0.0.1:8081");
    assert!(settings.proxy.allow_private_upstream);
    assert!(settings.warnings.is_empty(), "{}", settings.warnings);
}

#[test]
fn the_defaults_of_the_table_are_those_of_the_model() {
    assert_eq!(read(SOUND).unwrap().snapshot.limits, Limits::default());
}

#[test]
fn paths_are_relative_to_the_file_and_the_store_keeps_together() {
    let store = read(SOUND).unwrap().store;
    let sqlite = Database::Sqlite("/etc/gateway/data/gateway.db".into());
    assert_eq!(store.database, sqlite);
    let key = SecretSource::File("/etc/gateway/data/sealing.key".into());
    assert_eq!(store.sealing_keys, [key]);
    let text = format!("{SOUND}[store]\nsqlite = \"/var/lib/gateway/x.db\"");
    let store = read(&text).unwrap().store;
    assert_eq!(store.salvage, Path::new("/var/lib/gateway/salvage"));
    assert_eq!(store.high_water, Path::new("/var/lib/gateway/high-water"));
}

#[test]
fn doors_know_who_may_come_and_by_which_name() {
    let text = format!(
        "{SOUND}[[listen]]\naddress = \"unix:s\"\ntenant = \"demo\"\nhosts = [\"Pleo.Internal.:80\"]"
    );
    let settings = read(&text).unwrap();
    let [first, second] = &settings.snapshot.doors[..] else {
        panic!("two doors");
    };
    assert!(first.local && second.local);
    assert_eq!(
        first.hosts,
        ["localhost", "127.0.0.1", "[::1]", "127.0.0.1:8080"]
    );
    assert_eq!(second.hosts, ["pleo.internal:80"]);
    assert_eq!(second.tenant.as_ref().map(AsRef::as_ref), Some("demo"));
    assert_eq!(
        settings.listens[1].address,
        Address::Unix("/etc/gateway/s".into())
    );
    assert_eq!(settings.listens[1].mode, 0o600);
    assert_eq!(settings.snapshot.public_url, "http://127.0.0.1:8080");
}

#[test]
fn the_public_url_of_connect_makes_the_redirect_uri() {
    let text = format!(
        "{SOUND}[connect]\npublic_url = \"https://gateway.example.com\"\nlisten = \"0.0.0.0:81\""
    );
    let settings = read(&text).unwrap();
    let redirect = settings.pleo.redirect_uri.as_str();
    assert_eq!(redirect, "https://gateway.example.com/oauth/callback");
    assert_eq!(settings.connect.public_url, "https://gateway.example.com");
}

#[test]
fn a_tenant_is_found_between_two_parts_of_the_host() {
    let text = format!("{SOUND}[proxy]\ntenant_host = \"{{tenant}}.Pleo.internal.\"");
    let expected = Some((String::new(), ".pleo.internal".to_owned()));
    assert_eq!(read(&text).unwrap().snapshot.tenant_host, expected);
}

#[test]
fn denying_a_family_denies_its_dangerous_operations_too() {
    let routes = |catalogue, deny| {
        let text = format!("{SOUND}[[routes]]\ncatalogue = \"{catalogue}\"\ndeny = {deny}");
        read(&text).unwrap().snapshot.routes.iter().count()
    };
    assert!(routes("*", true) > routes("*", false));
    assert!(routes("webhook-subscriptions/v1", true) > 0);
    assert!(routes("installations/*", true) > routes("installations/v1", false));
}

#[test]
fn variables_override_the_file_by_the_type_of_their_key() {
    let vars = [
        ("PLEO_GATEWAY_PLEO__CLIENT_ID", "from env"),
        ("PLEO_GATEWAY_REFRESH__AHEAD", "90s"),
        ("PLEO_GATEWAY_REFRESH__CONCURRENCY", "3"),
        ("PLEO_GATEWAY_LIMITS__REPLAY_BUFFER", "65537"),
        ("PLEO_GATEWAY_LOG__ACCESS", "false"),
        ("PLEO_GATEWAY_STORE__SEALING_KEYS", "[{ env = \"KEY\" }]"),
        ("KEY", "canary"),
        ("PLEO_GATEWAY_PORT", "tcp://10.0.0.1:80"),
    ];
    let text = format!("{SOUND}[refresh]\nahead = \"1m\"");
    let settings = read_with(&text, &vars).unwrap();
    assert_eq!(settings.pleo.client_id, "from env");
    assert_eq!(settings.refresh.ahead, Duration::from_secs(90));
    assert_eq!(settings.refresh.concurrency.get(), 3);
    assert_eq!(settings.snapshot.limits.replay_buffer, 65537);
    assert!(!settings.snapshot.access_log);
    let key = SecretSource::Given(Secret::new("canary"));
    assert_eq!(settings.store.sealing_keys, [key]);
}

#[test]
fn variables_that_mean_nothing_or_the_wrong_thing_are_named() {
    for (variable, value, message, remedy) in [
        (
            "PLEO_GATEWAY_PLEO__CLIENTID",
            "x",
            "names no key",
            "PLEO_GATEWAY_PLEO__CLIENT_ID?",
        ),
        (
            "PLEO_GATEWAY_CONNECT__TLS__CERT_FILE",
            "x",
            "names no key",
            "set PLEO_GATEWAY_CONNECT__TLS to the whole of it, such as { cert_file = ",
        ),
        (
            "PLEO_GATEWAY_PLEO__CLIENT_SECRET_FILE",
            "x",
            "names no key",
            "set PLEO_GATEWAY_PLEO__CLIENT_SECRET to the whole of it, such as { file = ",
        ),
        (
            "PLEO_GATEWAY_LOG__COLOUR_OF_LINES",
            "x",
            "names no key",
            "known after PLEO_GATEWAY_LOG__: FORMAT, LEVEL, ACCESS",
        ),
        (
            "PLEO_GATEWAY_XXXXXX__YYYYYY",
            "x",
            "names no key",
            "<SECTION>__<KEY>",
        ),
        (
            "PLEO_GATEWAY_CALLERS__NAME",
            "x",
            "names no key",
            "in the file",
        ),
        (
            "PLEO_GATEWAY_REFRESH__AHEAD",
            "3",
            "cannot be \"3\"",
            "one unit",
        ),
        (
            "PLEO_GATEWAY_REFRESH__CONCURRENCY",
            "x y",
            "cannot be read",
            "in TOML",
        ),
        (
            "PLEO_GATEWAY_LIMITS__MAX_STREAMS",
            "0",
            "out of bounds",
            "from 1",
        ),
        (
            "PLEO_GATEWAY_LOG__ACCESS",
            "1",
            "found a whole number",
            "true or false",
        ),
    ] {
        let problems = read_with(SOUND, &[(variable, value)]).unwrap_err();
        let problem = problems.iter().next().unwrap();
        assert_eq!(problem.variable.as_deref(), Some(variable));
        assert_eq!(problem.line, None);
        assert!(problem.message.contains(message), "{problem}");
        assert!(problem.remedy.contains(remedy), "{problem}");
        assert!(problems.render(false).contains(variable));
    }
}

#[test]
fn the_log_level_comes_from_the_nearest_source() {
    let text = format!("{SOUND}[log]\nlevel = \"warn\"");
    let level = |vars: &[(&str, &str)]| read_with(&text, vars).unwrap().log.level;
    assert_eq!(level(&[]), "warn");
    assert_eq!(level(&[("RUST_LOG", "debug")]), "debug");
    let both = [("RUST_LOG", "debug"), ("PLEO_GATEWAY_LOG__LEVEL", "error")];
    assert_eq!(level(&both), "error");
}

#[test]
fn what_may_not_be_meant_is_a_warning_with_its_place() {
    let text = format!("{SOUND}[admin]\nlisten = \"0.0.0.0:9090\"\n[[routes]]\npath = \"/a\"");
    let settings = read(&text).unwrap();
    let keys: Vec<_> = settings
        .warnings
        .iter()
        .map(|w| (w.line, w.key.as_str()))
        .collect();
    assert_eq!(
        keys,
        [(Some(9), "admin.listen"), (Some(10), "routes[0].scopes")]
    );
    assert!(!settings.admin.serves_everything());
    assert!(
        settings
            .warnings
            .render(false)
            .contains("warning: admin.listen")
    );
}

#[test]
fn a_wildcard_that_perhaps_means_many_certificates_is_a_warning() {
    let text = "[[callers]]\nname = \"a\"\nclient_cert = [\"dns:*.internal\"]\ntenants = [\"t\"]";
    let warnings = read(&format!("{SOUND}{text}")).unwrap().warnings;
    assert!(
        warnings.to_string().contains("this very name"),
        "{warnings}"
    );
}

#[test]
fn what_deserves_a_second_look_is_said_beside_what_is_wrong() {
    let text = format!("{SOUND}[limits]\nx = 1\n[refresh]\nahead = \"5m\"");
    let broken = parse(Path::new("gateway.toml"), &text, &environment(&[])).unwrap_err();
    let keys = |problems: &Problems| -> Vec<String> {
        problems.iter().map(|problem| problem.key.clone()).collect()
    };
    assert_eq!(keys(&broken.problems), ["limits.x"]);
    assert_eq!(keys(&broken.warnings), ["refresh.ahead"]);
}

#[test]
fn traces_go_where_the_file_says_or_else_where_the_variables_say() {
    const IN_FILE: &str = "[telemetry]\notlp_endpoint = \"https://a.example/otlp/\"";
    const ALL: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://b.example:4318");
    const OWN: (&str, &str) = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c.example/x");
    for (text, variables, url) in [
        ("", &[][..], None),
        ("", &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")], None),
        ("", &[ALL], Some("http://b.example:4318/v1/traces")),
        ("", &[ALL, OWN], Some("http://c.example/x")),
        (
            IN_FILE,
            &[ALL, OWN],
            Some("https://a.example/otlp/v1/traces"),
        ),
        (IN_FILE, &[("OTEL_SDK_DISABLED", "TRUE")], None),
        (IN_FILE, &[("OTEL_TRACES_EXPORTER", "none")], None),
    ] {
        let settings = read_with(&format!("{SOUND}{text}"), variables).unwrap();
        let found = settings.telemetry.traces.as_ref().map(url::Url::as_str);
        assert_eq!(found, url, "{text} {variables:?}");
        assert!(settings.warnings.is_empty(), "{}", settings.warnings);
    }
}

#[test]
fn what_has_no_effect_is_a_warning() {
    for (text, variables, key, message) in [
        (
            "",
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318")][..],
            "",
            "no traces are sent",
        ),
        (
            "[telemetry]\notlp_endpoint = \"http://127.0.0.1:4317\"",
            &[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
            "",
            "by http/protobuf all the same",
        ),
        (
            "[telemetry]\notlp_endpoint = \"http://127.0.0.1:4318\"",
            &[("OTEL_TRACES_EXPORTER", "zipkin")],
            "",
            "no traces are sent",
        ),
        (
            "[telemetry]\notlp_endpoint = \"http://127.0.0.1:4318\"",
            &[("OTEL_EXPORTER_OTLP_TIMEOUT", "10s")],
            "",
            "no number of milliseconds",
        ),
        ("", &[("RUST_LOG", "loud")], "", "is no filter"),
        (
            "[[listen]]\naddress = \"127.0.0.1:1\"\ntenant = \"nobodys\"",
            &[],
            "listen[1].tenant",
            "no caller may call for \"nobodys\"",
        ),
        (
            "[[routes]]\npath = \"/a\"\ndeny = true\nobserve = true",
            &[],
            "routes[0].observe",
            "a deny route",
        ),
        (
            "[[routes]]\npath = \"/v1/vendors/*\"\ndeny = true",
            &[],
            "routes[0].path",
            "\"*\" is matched as it is written",
        ),
        (
            "[[routes]]\npath = \"/v0/tags/:id\"\ndeny = true",
            &[],
            "routes[0].path",
            "\":id\" is matched as it is written",
        ),
        (
            "[[routes]]\ncatalogue = \"export/v3\"\ncallers = [\"local\"]\n[[routes]]\ncatalogue = \"export/*\"",
            &[],
            "routes[1].catalogue",
            "for its own callers only",
        ),
        (
            "[[routes]]\npath = \"/a\"\nscopes = [\"exprt-jobs:read\"]",
            &[],
            "routes[0].scopes[0]",
            "needs \"exprt-jobs:read\"",
        ),
    ] {
        let warnings = read_with(&format!("{SOUND}{text}"), variables)
            .unwrap()
            .warnings;
        let found: Vec<_> = warnings.iter().collect();
        let [warning] = found[..] else {
            panic!("{text}: {warnings}");
        };
        assert_eq!(warning.key, key, "{warning}");
        assert!(warning.message.contains(message), "{warning}");
        assert_eq!(
            warning.variable.as_deref(),
            variables.first().map(|(name, _)| *name)
        );
    }
    // What Pleo may have and the catalogue does not, and what denies and says no more.
    let fine = "[[routes]]\npath = \"/a\"\nscopes = [\"made-up:read\"]\n[[routes]]\npath = \"/v1/vendors:search\"\ndeny = true\n[[routes]]\npath = \"/v1/vendors/{id}:archive\"\ndeny = true";
    let settings = read(&format!("{SOUND}{fine}")).unwrap();
    assert!(settings.warnings.is_empty(), "{}", settings.warnings);
}

#[test]
fn a_catalogue_entry_may_name_the_operations_that_it_means() {
    let text = format!(
        "{SOUND}[[routes]]\ncatalogue = \"*\"\noperations = [\"searchEmployees\", \"createExportJobV3\"]"
    );
    let settings = read(&text).unwrap();
    let mut names: Vec<&str> = (settings.snapshot.routes.iter())
        .map(|route| route.name.as_ref())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["createExportJobV3", "searchEmployees"]);
}
