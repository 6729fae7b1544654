//! A database restored from a backup (design.md R14): noticed, never presented, and reported.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use http::Method;
use rusqlite::Connection;
use serde_json::Value;

use crate::salvage::pair_in_hand;
use crate::stand::cluster::Cluster;
use crate::stand::serving::Serving;
use crate::stand::{Plan, READ, SOON, Stand, Store, bundle, until};

/// Two answers of Pleo, 5 s apart, on a machine that does other things too.
const DECIDED: Duration = Duration::from_secs(40);

fn database(stand: &Stand) -> PathBuf {
    stand.home().join("data/gateway.db")
}

/// Copies the database as it is now, as `.backup` does.
fn back_up(stand: &Stand) -> PathBuf {
    let copy = stand.home().join("backup.db");
    let database = Connection::open(database(stand)).unwrap();
    database.busy_timeout(SOON).unwrap();
    let into = format!("vacuum into '{}'", copy.display());
    database.execute_batch(&into).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();
    copy
}

/// Puts a copy in the place of the database; the marks stay.
fn put_back(stand: &Stand, copy: &PathBuf) {
    for beside in ["-wal", "-shm"] {
        // There is none after an orderly end.
        let _ = fs::remove_file(stand.home().join(format!("data/gateway.db{beside}")));
    }
    fs::rename(copy, database(stand)).unwrap();
}

async fn refresh(serving: &Serving) {
    let path = "/v1/connections/acme/refresh";
    let done = serving.operate(Method::POST, path).await;
    assert_eq!(done.status, 200, "{:?}", done.body);
}

async fn comes_to(serving: &Serving, state: &str) -> Value {
    until(&format!("acme is {state}"), DECIDED, async || {
        let row = serving.connection("acme").await;
        (row["state"] == state).then_some(row)
    })
    .await
}

fn nothing_was_presented_twice(stand: &Stand, id: u64) {
    assert_eq!(stand.authorisation(id)["alive"], true);
    stand.assert_no_rule_was_broken();
}

/// Requirement 108.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_database_is_noticed_never_presented_and_reported_as_restored() {
    let stand = Stand::new(Plan::default()).await;
    let id = stand.connect("acme");
    let serving = stand.serve("first").await;
    assert_eq!(serving.get("acme", READ).await.status, 200);
    let copy = back_up(&stand);
    refresh(&serving).await;
    refresh(&serving).await;
    assert!(serving.stop().await.success());
    put_back(&stand, &copy);

    let listed = stand.run(&["connections", "list", "--json"], "").fine();
    assert_eq!(listed.json()[0]["state"], "uncertain");
    assert_eq!(listed.json()[0]["reason"], "restored");
    let retry = stand.run(&["connections", "resolve", "acme", "--retry"], "");
    assert_eq!(retry.code, Some(65), "{retry:?}");
    assert!(retry.stderr.contains("--give-up"), "{retry:?}");
    let forced = stand.run(&["connections", "refresh", "acme"], "");
    assert_ne!(forced.code, Some(0), "{forced:?}");

    let serving = stand.serve("second").await;
    let row = comes_to(&serving, "reauthorization_required").await;
    assert_eq!(row["reason"], "restored");
    assert!(row["generation"].as_u64() > Some(2), "{row}");
    assert_eq!(stand.authorisation(id)["refresh_calls"], 2);
    nothing_was_presented_twice(&stand, id);
    let outcomes = stand.outcomes("acme");
    assert!(outcomes.ends_with(&["uncertain".into(), "resolved_applied".into()]));

    // A new authorisation counts on from what was seen, and works.
    stand.import("acme", &bundle(&stand.mint(), true));
    comes_to(&serving, "active").await;
    assert_eq!(serving.get("acme", READ).await.status, 200);
    refresh(&serving).await;
    nothing_was_presented_twice(&stand, id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_whose_pairs_are_the_newest_goes_on_as_if_nothing_had_happened() {
    let stand = Stand::new(Plan::default()).await;
    let id = stand.connect("acme");
    let serving = stand.serve("first").await;
    refresh(&serving).await;
    let copy = back_up(&stand);
    assert!(serving.stop().await.success());
    put_back(&stand, &copy);
    let serving = stand.serve("second").await;
    assert_eq!(serving.get("acme", READ).await.status, 200);
    let row = serving.connection("acme").await;
    assert_eq!(
        (&row["state"], &row["generation"]),
        (&"active".into(), &1.into())
    );
    refresh(&serving).await;
    assert_eq!(stand.authorisation(id)["generation"], 2);
    nothing_was_presented_twice(&stand, id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_runs_puts_its_own_newer_pair_into_the_old_database() {
    let (stand, id, serving) = Stand::in_use().await;
    let copy = back_up(&stand);
    refresh(&serving).await;
    refresh(&serving).await;
    put_back(&stand, &copy);
    until("the newest pair is stored again", DECIDED, async || {
        let row = serving.connection("acme").await;
        (row["state"] == "active" && row["generation"].as_u64() > Some(2)).then_some(())
    })
    .await;
    until("calls bear it", SOON, async || {
        (serving.get("acme", READ).await.status == 200).then_some(())
    })
    .await;
    assert_eq!(stand.authorisation(id)["refresh_calls"], 2);
    refresh(&serving).await;
    assert_eq!(stand.authorisation(id)["generation"], 3);
    nothing_was_presented_twice(&stand, id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_from_before_a_new_authorisation_is_old_too() {
    let stand = Stand::new(Plan::default()).await;
    let id = stand.connect("acme");
    let serving = stand.serve("first").await;
    let copy = back_up(&stand);
    refresh(&serving).await;
    let before = serving.connection("acme").await;
    stand.import("acme", &bundle(&stand.mint(), true));
    assert!(serving.stop().await.success());
    put_back(&stand, &copy);
    let serving = stand.serve("second").await;
    let row = comes_to(&serving, "reauthorization_required").await;
    assert_eq!(row["reason"], "restored");
    assert!(row["epoch"].as_u64() > before["epoch"].as_u64(), "{row}");
    nothing_was_presented_twice(&stand, id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_store_is_not_taken_for_an_old_one() {
    let stand = Stand::new(Plan::default()).await;
    stand.connect("acme");
    let serving = stand.serve("first").await;
    refresh(&serving).await;
    assert!(serving.stop().await.success());
    fs::remove_file(database(&stand)).unwrap();
    let id = stand.connect("acme");
    let serving = stand.serve("second").await;
    assert_eq!(serving.get("acme", READ).await.status, 200);
    let row = serving.connection("acme").await;
    assert_eq!(
        (&row["state"], &row["generation"]),
        (&"active".into(), &0.into())
    );
    refresh(&serving).await;
    nothing_was_presented_twice(&stand, id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn salvage_brings_the_newest_pair_into_an_old_database_that_never_heard_of_it() {
    let stand = Stand::new(Plan::default()).await;
    let id = stand.connect("acme");
    let copy = back_up(&stand);
    let (serving, hog) = pair_in_hand(&stand).await;
    serving.kill();
    hog.let_go();
    put_back(&stand, &copy);
    let serving = stand.serve("second").await;
    comes_to(&serving, "active").await;
    assert_eq!(serving.get("acme", READ).await.status, 200);
    assert!(stand.outcomes("acme").contains(&"salvaged".to_owned()));
    refresh(&serving).await;
    assert_eq!(stand.authorisation(id)["generation"], 2);
    nothing_was_presented_twice(&stand, id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_mark_stops_nobody_and_is_kept_and_told() {
    let stand = Stand::new(Plan::default()).await;
    stand.connect("acme");
    let mark = stand.home().join("data/high-water");
    let text = [b"\nscribble\n".as_slice(), &fs::read(&mark).unwrap()].concat();
    fs::write(&mark, &text).unwrap();
    let serving = stand.serve("gateway").await;
    assert_eq!(serving.get("acme", READ).await.status, 200);
    let aside = stand.home().join("data/high-water.damaged-1");
    assert_eq!(fs::read(aside).unwrap(), text);
    let said = fs::read_to_string(stand.home().join("gateway.stderr")).unwrap();
    let told =
        |line: &str| line.contains("the high-water file is damaged") && line.contains("ERROR");
    assert!(said.lines().any(told), "{said}");
}

/// Of two replicas one runs while its server is put back to an old copy, and the other starts on it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_an_old_copy_costs_no_connection_while_a_replica_holds_the_newest_pair() {
    let cluster = Cluster::shared();
    let name = tokio::task::block_in_place(|| cluster.database());
    let stand = Stand::new(Plan {
        store: Store::At(&cluster.url(&name)),
        ..Plan::default()
    })
    .await;
    let id = stand.connect("acme");
    let one = stand.serve("one").await;
    assert_eq!(one.get("acme", READ).await.status, 200);
    let sql = |database: &str, statement: &str| {
        let said = tokio::task::block_in_place(|| cluster.sql(database, statement));
        assert_eq!(said, "", "{statement}");
    };
    // Nobody else may be in a database that is copied, so the row alone is kept.
    sql(
        &name,
        "create table old as select * from pleo_gateway.connections",
    );
    refresh(&one).await;
    refresh(&one).await;
    sql(
        &name,
        "begin; set local session_replication_role = replica; delete from pleo_gateway.connections; \
         insert into pleo_gateway.connections select * from old; commit",
    );
    let two = stand.serve_beside("two").await;
    for replica in [&one, &two] {
        let row = comes_to(replica, "active").await;
        assert!(row["generation"].as_u64() > Some(2), "{row}");
        until("calls are served", SOON, async || {
            (replica.get("acme", READ).await.status == 200).then_some(())
        })
        .await;
    }
    assert_eq!(stand.authorisation(id)["refresh_calls"], 2);
    refresh(&two).await;
    nothing_was_presented_twice(&stand, id);
}
