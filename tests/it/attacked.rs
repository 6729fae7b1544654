//! Faults that a reviewer found in commands and doors: each test fails until its fault is mended.

use http::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::stand::{Plan, SOON, Stand, until};

/// Ctrl-C while Pleo is slow: the refresh under way lands first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_who_interrupts_a_refresh_loses_no_answer() {
    let stand = Stand::new(Plan::default()).await;
    let id = stand.connect("acme");
    stand.order(&json!({"endpoint": "token", "kind": "delay", "delay": "2s", "commit": true}));
    let mut child = stand
        .command(&["connections", "refresh", "acme"])
        .spawn()
        .unwrap();
    until("the refresh is at the token endpoint", SOON, async || {
        (stand.authorisation(id)["refresh_calls"] == 1).then_some(())
    })
    .await;
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let status = tokio::task::block_in_place(|| child.wait()).unwrap();
    let row = &stand
        .run(&["connections", "show", "acme", "--json"], "")
        .fine()
        .json();
    assert_eq!(
        (row["state"].as_str(), row["generation"].as_u64()),
        (Some("active"), Some(1)),
        "{status:?}: {row}"
    );
}

/// The audit says who: what was done by the operators' door is not the gateway's own doing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_tells_an_operator_from_the_gateway() {
    let stand = Stand::new(Plan::default()).await;
    stand.connect("acme");
    let serving = stand.serve("gateway").await;
    let path = "/v1/connections/acme/disconnect";
    assert_eq!(serving.operate(Method::POST, path).await.status, 200);
    let database = rusqlite::Connection::open(stand.home().join("data/gateway.db")).unwrap();
    let sql = "select who from audit where what = 'disconnected'";
    let who: String = database.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(who, "admin");
}
