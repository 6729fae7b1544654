//! The listeners of operators and browsers (requirements 94, 117, 118): looking changes nothing, a store that hangs keeps
//! nobody, and what was asked for is carried out whoever goes away.

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};
use serde_json::json;

use crate::harness::client::{Answer, call};
use crate::harness::eventually;
use crate::harness::gateway::{Gateway, Setup};
use crate::harness::sandbox::{Minted, Sandbox};
use crate::harness::upstream::Upstream;

fn ask(
    gateway: &Gateway,
    method: &str,
    target: &str,
    more: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let file = gateway.setup.folder().join("data/admin.token");
    let bearer = format!("Bearer {}", std::fs::read_to_string(file).unwrap().trim());
    let fields = [&[("authorization", bearer.as_str())], more].concat();
    call(&gateway.admin, method, target, &fields, body)
}

fn database(gateway: &Gateway) -> Connection {
    let file = gateway.setup.folder().join("data/gateway.db");
    Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap()
}

/// Every row of the store.
fn kept(gateway: &Gateway) -> Vec<String> {
    let database = database(gateway);
    let names = "select name from sqlite_master where type = 'table' order by name";
    let mut names = database.prepare(names).unwrap();
    let names = names.query_map([], |row| row.get(0)).unwrap();
    let names: Vec<String> = names.map(Result::unwrap).collect();
    let rows = |name: &String| {
        let mut rows = database.prepare(&format!("select * from {name}")).unwrap();
        let width = rows.column_count();
        let rows = rows.query_map([], |row| {
            let values: Result<Vec<Value>, _> = (0..width).map(|place| row.get(place)).collect();
            values.map(|values| format!("{name} {values:?}"))
        });
        rows.unwrap().map(Result::unwrap).collect::<Vec<_>>()
    };
    names.iter().flat_map(rows).collect()
}

/// A link for a browser, its path; none if it was not issued.
fn try_link(gateway: &Gateway, tenant: &str) -> Option<String> {
    let target = format!("/v1/connections/{tenant}/link");
    let issued = ask(gateway, "POST", &target, &[], b"");
    let issued = (issued.status == 200).then(|| issued.json())?;
    let url = issued["url"].as_str().unwrap();
    Some(url[url.find("/connect/").unwrap()..].to_owned())
}

/// Requirement 118: nothing that is looked at changes, at the operators' listener or at that of browsers, whatever a request
/// says that it would rather be. Requirement 94: a consent is not begun by looking.
#[test]
fn looking_changes_nothing() {
    let upstream = Upstream::fine();
    let gateway = Gateway::before(&upstream);
    let link = try_link(&gateway, "beta").unwrap();
    let (before, loaded) = (kept(&gateway), loaded(&gateway));
    assert!(before.len() > 3, "{before:?}");
    let overrides = [
        ("x-http-method-override", "POST"),
        ("x-method-override", "POST"),
        ("x-http-method", "DELETE"),
    ];
    let verbs = [
        "link",
        "import",
        "key",
        "refresh",
        "verify",
        "disconnect",
        "resolve",
        "history",
    ];
    let of_connections = verbs
        .iter()
        .map(|verb| format!("/v1/connections/acme/{verb}"));
    let others = [
        "/",
        "/livez",
        "/readyz?verbose",
        "/startupz",
        "/metrics",
        "/-/reload",
        "/v1/connections",
        "/v1/connections/acme",
        "/openapi.json",
    ];
    let bundle = Minted::made_up().pair.to_string();
    for target in of_connections.chain(others.map(str::to_owned)) {
        for method in ["GET", "HEAD", "OPTIONS"] {
            for query in ["", "?_method=POST&replace=true"] {
                let target = format!("{target}{query}");
                ask(&gateway, method, &target, &overrides, bundle.as_bytes());
            }
        }
    }
    let callback = "/oauth/callback?code=x&state=y";
    for target in [
        link.as_str(),
        callback,
        "/oauth/callback",
        "/",
        "/connect/x",
    ] {
        for method in ["GET", "HEAD", "OPTIONS"] {
            call(
                &gateway.connect,
                method,
                target,
                &overrides,
                bundle.as_bytes(),
            );
        }
    }
    assert_eq!(kept(&gateway), before);
    assert_eq!(
        self::loaded(&gateway),
        loaded,
        "the configuration was read again"
    );
    assert!(upstream.seen().is_empty());
    // What they say that they would rather be does change something.
    ask(
        &gateway,
        "POST",
        "/v1/connections/acme/disconnect",
        &[],
        b"",
    )
    .expect(200);
    assert_ne!(kept(&gateway), before);
}

/// When the configuration was last read.
fn loaded(gateway: &Gateway) -> String {
    let metrics = gateway.metrics();
    let line = metrics
        .lines()
        .find(|line| line.starts_with("pleo_gateway_config_last_reload_timestamp"));
    line.unwrap().to_owned()
}

/// Requirement 117: `request_timeout` holds at the desk too: whoever asks for what needs a store that hangs is let go, and
/// others are served meanwhile.
#[test]
fn a_store_that_hangs_keeps_nobody_at_the_desk() {
    let mut setup = Setup::at(&Upstream::fine().origin());
    // Much less than the store waits: 5 s.
    setup.limits = "request_timeout = \"1s\"".into();
    let gateway = setup.start_with_acme();
    // A busy machine may need a second for what is asked: then it is asked again.
    let link = eventually("a link", || try_link(&gateway, "beta"));
    let lock = database(&gateway);
    lock.execute_batch("begin immediate").unwrap();
    let made = ask(&gateway, "POST", "/v1/connections/gamma/link", &[], b"");
    let begun = call(&gateway.connect, "POST", &link, &[], b"");
    for answer in [made, begun] {
        // The store's own answer would come later, and have words.
        assert_eq!(answer.expect(503).text(), "");
    }
    for target in ["/livez", "/v1/connections"] {
        eventually(target, || {
            (ask(&gateway, "GET", target, &[], b"").status == 200).then_some(())
        });
    }
    drop(lock);
    eventually("the store", || {
        let begun = call(&gateway.connect, "POST", &link, &[], b"");
        (begun.status == 303).then_some(())
    });
}

/// What an operator asked for is carried out, also if nobody waits for it any more.
#[test]
fn a_wish_is_carried_out_whoever_goes_away() {
    let sandbox = Sandbox::start("15m");
    let (minted, brought) = (sandbox.mint(), sandbox.mint());
    let mut setup = Setup::with(&sandbox);
    // Enough to begin with it, and too little to see its end.
    setup.limits = "request_timeout = \"4s\"".into();
    let gateway = setup.start_connected(&[("acme", &minted)]);
    sandbox.fault(&json!({"endpoint": "introspect", "count": 1, "kind": "delay", "delay": "8s"}));
    let target = "/v1/connections/beta/import?verify&allow_shared_company";
    let body = brought.pair.to_string();
    ask(&gateway, "POST", target, &[], body.as_bytes()).expect(503);
    eventually("the import", || {
        let shown = ask(&gateway, "GET", "/v1/connections/beta", &[], b"");
        (shown.status == 200 && shown.json()["state"] == "active").then_some(())
    });
}
