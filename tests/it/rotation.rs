//! `keys rotate`: every stored secret is sealed anew under the first key, at any pace, and nothing is lost. Also whatever
//! else is written to the audit without a call.

use std::fs;

use http::Method;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::stand::{Ended, Plan, READ, SOON, Stand, until};

const OLD: &str = "sealing_keys = [{ file = \"data/sealing.key\" }]";
const BOTH: &str = "sealing_keys = [{ file = \"data/new.key\" }, { file = \"data/sealing.key\" }]";
const ADDED: &str = "sealing_keys = [{ file = \"data/sealing.key\" }, { file = \"data/new.key\" }]";
const NEW: &str = "sealing_keys = [{ file = \"data/new.key\" }]";

/// Names the sealing keys in the configuration.
fn with_keys(stand: &Stand, keys: &str) {
    let text = fs::read_to_string(stand.config()).unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.starts_with("sealing_keys"));
    let text = lines.fold(String::new(), |text, line| text + line + "\n");
    fs::write(
        stand.config(),
        text.replace("[store]\n", &format!("[store]\n{keys}\n")),
    )
    .unwrap();
}

fn rotate(stand: &Stand) -> Ended {
    stand.run(&["keys", "rotate", "--json"], "")
}

fn connect_many(stand: &Stand, count: usize) {
    let lines: Vec<String> = (0..count)
        .map(|number| {
            let mut line = stand.line(&format!("tenant-{number}"));
            line["company_id"] = format!("company-{number}").into();
            line.to_string()
        })
        .collect();
    let words = ["connections", "import", "--file", "-"];
    stand.run(&words, &lines.join("\n")).fine();
}

fn database(stand: &Stand) -> Connection {
    Connection::open(stand.home().join("data/gateway.db")).unwrap()
}

/// How many rows each key seals, fewest first.
fn sealed_by(stand: &Stand) -> Vec<i64> {
    let database = database(stand);
    let sql = "select count(*) from connections group by sealed_by order by 1";
    let mut counts = database.prepare(sql).unwrap();
    let counts = counts.query_map([], |row| row.get(0)).unwrap();
    counts.map(Result::unwrap).collect()
}

fn audit(stand: &Stand) -> Vec<(String, String)> {
    let database = database(stand);
    let mut lines = database
        .prepare("select tenant, what from audit order by number")
        .unwrap();
    let lines = lines.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    lines.unwrap().map(Result::unwrap).collect()
}

/// Kills a rotation that has sealed some rows anew; it may have been quicker.
async fn kill_in_the_middle(stand: &Stand) {
    let mut child = stand.command(&["keys", "rotate"]).spawn().unwrap();
    until("some rows are sealed anew", SOON, async || {
        let is_over = child.try_wait().unwrap().is_some();
        (is_over || sealed_by(stand).len() == 2).then_some(())
    })
    .await;
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Requirement 110.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_that_is_killed_is_finished_by_the_next_and_the_old_key_can_go() {
    let stand = Stand::new(Plan::default()).await;
    connect_many(&stand, 400);
    let history = ["connections", "history", "tenant-7", "--json"];
    let before = stand.run(&history, "").fine().json();
    with_keys(&stand, BOTH);
    stand.run(&["keys", "new"], "").fine();
    let mut tries = 0;
    while sealed_by(&stand).len() < 2 {
        assert!(tries < 5, "it was never killed in the middle");
        if tries > 0 {
            // It was done before this machine had killed it.
            with_keys(&stand, ADDED);
            rotate(&stand).fine();
            with_keys(&stand, BOTH);
        }
        tries += 1;
        kill_in_the_middle(&stand).await;
    }
    assert_eq!(
        stand
            .run(&["connections", "list"], "")
            .fine()
            .stdout
            .lines()
            .count(),
        400
    );

    let report = rotate(&stand).fine().json();
    let (resealed, already) = (&report["resealed"], &report["already"]);
    assert_eq!(resealed.as_u64().unwrap() + already.as_u64().unwrap(), 400);
    assert!(already.as_u64().unwrap() > 0, "{report}");
    assert_eq!(report["failed"], json!([]));
    assert_eq!(sealed_by(&stand), [400]);
    let again = rotate(&stand).fine();
    let is_audit = |line: &str| line.contains("\"audit\"") && line.contains("key_rotated");
    assert!(again.stderr.lines().any(is_audit), "{again:?}");
    let again = again.json();
    assert_eq!(
        (&again["resealed"], &again["already"]),
        (&json!(0), &json!(400))
    );
    let rotated = (String::new(), "key_rotated".to_owned());
    assert!(audit(&stand).contains(&rotated));

    with_keys(&stand, NEW);
    fs::remove_file(stand.home().join("data/sealing.key")).unwrap();
    let list = stand.run(&["connections", "list", "--json"], "").fine();
    assert_eq!(list.json().as_array().unwrap().len(), 400);
    assert_eq!(
        stand.run(&history, "").fine().json(),
        before,
        "the same fingerprints"
    );
}

/// Requirement 113.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_cannot_be_opened_is_told_by_name_and_stops_no_other() {
    let stand = Stand::new(Plan::default()).await;
    connect_many(&stand, 3);
    let sql = "update connections set state = 'pending' where tenant = 'tenant-1'";
    database(&stand).execute(sql, []).unwrap();
    with_keys(&stand, BOTH);
    stand.run(&["keys", "new"], "").fine();
    let ended = rotate(&stand);
    assert_eq!(ended.code, Some(65), "{ended:?}");
    let report: Value = ended.json();
    assert_eq!(report["resealed"], 2);
    assert_eq!(report["failed"][0]["name"], "the row of tenant tenant-1");
    assert!(ended.stderr.contains("tenant-1"));
}

/// Requirement 110.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_shuts_no_running_gateway_out() {
    let stand = Stand::new(Plan::default()).await;
    stand.connect("acme");
    let serving = stand.serve("old").await;
    with_keys(&stand, BOTH);
    stand.run(&["keys", "new"], "").fine();
    let refused = rotate(&stand);
    assert_eq!(refused.code, Some(78), "{refused:?}");
    assert!(refused.stderr.contains("restart"), "{refused:?}");
    assert_eq!(sealed_by(&stand), [1]);
    let path = "/v1/connections/acme/refresh";
    assert_eq!(serving.operate(Method::POST, path).await.status, 200);
    assert!(serving.stop().await.success());

    with_keys(&stand, ADDED);
    stand.run(&["connections", "list"], "").fine();
    let serving = stand.serve("both").await;
    with_keys(&stand, BOTH);
    let kept = rotate(&stand);
    assert_eq!(kept.json()["resealed"], 1);
    // It holds the new key, and goes on sealing with the old one: that one cannot go.
    assert_eq!(kept.code, Some(75), "{kept:?}");
    assert!(kept.stderr.contains("keep the old keys"), "{kept:?}");
    let process = format!("process {} ", serving.pid().as_raw_nonzero());
    assert!(kept.stderr.contains(&process), "{kept:?}");
    assert_eq!(serving.get("acme", READ).await.status, 200);
    assert_eq!(serving.operate(Method::POST, path).await.status, 200);
    assert!(serving.stop().await.success());

    let serving = stand.serve("new").await;
    assert_eq!(rotate(&stand).fine().json()["resealed"], 1);
    with_keys(&stand, NEW);
    stand.run(&["connections", "verify", "acme"], "").fine();
    assert!(serving.stop().await.success());
}

/// Who starts with a key that another running process does not hold would shut that one out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_with_a_key_that_another_process_lacks_is_warned_of() {
    let stand = Stand::new(Plan::default()).await;
    stand.connect("acme");
    let serving = stand.serve("old").await;
    with_keys(&stand, BOTH);
    stand.run(&["keys", "new"], "").fine();
    let list = stand.run(&["connections", "list"], "").fine();
    let process = format!("process {} ", serving.pid().as_raw_nonzero());
    for words in [&process, "cannot open what this one writes", "sealing_keys"] {
        assert!(list.stderr.contains(words), "{words}: {list:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_and_reloads_are_in_the_audit_and_its_log() {
    let stand = Stand::new(Plan::default()).await;
    with_keys(&stand, OLD);
    let serving = stand.serve("gateway").await;
    let path = "/v1/connections/acme/link";
    assert_eq!(serving.operate(Method::POST, path).await.status, 200);
    assert_eq!(serving.operate(Method::POST, "/-/reload").await.status, 200);
    let lines = until("the reload is in the audit", SOON, async || {
        let lines = audit(&stand);
        lines
            .iter()
            .any(|line| line.1 == "configuration_reloaded")
            .then_some(lines)
    })
    .await;
    assert!(lines.contains(&("acme".to_owned(), "linked".to_owned())));
    assert!(serving.stop().await.success());
    let log = fs::read_to_string(stand.home().join("gateway.stderr")).unwrap();
    for what in ["linked", "configuration_reloaded"] {
        let is_said = |line: &str| {
            line.contains("\"target\":\"audit\"") && line.contains(&format!("\"{what}\""))
        };
        assert!(log.lines().any(is_said), "{what} in {log}");
    }
}
