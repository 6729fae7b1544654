//! What operators are told: the cause of what went wrong with its exit code, and who did what in the audit.

use std::fs;

use http::Method;
use serde_json::json;

use crate::stand::{Ended, Plan, Stand, bundle};

#[track_caller]
fn ends(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    for word in words {
        assert!(ended.stderr.contains(word), "{word}: {ended:?}");
    }
}

fn connections(stand: &Stand, words: &[&str]) -> Ended {
    stand.run(&[&["connections"], words].concat(), "")
}

/// Who did what, oldest first.
fn audit(stand: &Stand) -> Vec<(String, String)> {
    let database = rusqlite::Connection::open(stand.home().join("data/gateway.db")).unwrap();
    let sql = "select what, who from audit order by number";
    let mut lines = database.prepare(sql).unwrap();
    let lines = lines.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    lines.unwrap().map(Result::unwrap).collect()
}

/// What was done by the operators' door is not the gateway's own doing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_tells_an_operator_from_the_gateway() {
    let stand = Stand::new(Plan::default()).await;
    stand.connect("acme");
    let serving = stand.serve("gateway").await;
    for (path, what) in [
        ("/v1/connections/acme/refresh", "refreshed"),
        ("/v1/connections/acme/disconnect", "disconnected"),
        ("/-/reload", "configuration_reloaded"),
    ] {
        assert_eq!(serving.operate(Method::POST, path).await.status, 200);
        let last = audit(&stand).pop().unwrap();
        assert_eq!(last, (what.to_owned(), "admin".to_owned()));
    }
    assert_eq!(audit(&stand)[0], ("imported".to_owned(), "cli".to_owned()));
}

/// Requirement 100.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_client_secret_is_told_by_whoever_asks_for_a_refresh() {
    let stand = Stand::new(Plan::default()).await;
    stand.connect("acme");
    fs::write(stand.home().join("client.secret"), "another-secret").unwrap();
    let cause = "client_secret";
    ends(&connections(&stand, &["refresh", "acme"]), 75, &[cause]);
    let serving = stand.serve("gateway").await;
    let path = "/v1/connections/acme/refresh";
    let answer = serving.operate(Method::POST, path).await;
    let detail = answer.json()["detail"].to_string();
    assert!(detail.contains(cause), "{detail}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_that_backs_off_says_until_when_and_why() {
    let stand = Stand::new(Plan::default()).await;
    stand.connect("acme");
    stand.order(
        &json!({"endpoint": "token", "kind": "status", "status": 429,
        "headers": {"retry-after": "600"}}),
    );
    let words = ["not before", "refuses refreshes for now"];
    for _ in 0..2 {
        ends(&connections(&stand, &["refresh", "acme"]), 75, &words);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_for_salvage_that_is_gone_is_told_as_what_it_is() {
    let stand = Stand::new(Plan::default()).await;
    let id = stand.connect("acme");
    let serving = stand.serve("gateway").await;
    let salvage = stand.home().join("data/salvage");
    fs::rename(&salvage, stand.home().join("data/elsewhere")).unwrap();
    fs::write(&salvage, "no folder").unwrap();
    let path = "/v1/connections/acme/refresh";
    let answer = serving.operate(Method::POST, path).await;
    assert_eq!(answer.status, 503);
    let detail = answer.json()["detail"].to_string();
    assert!(detail.contains("salvage"), "{detail}");
    assert_eq!(
        stand.authorisation(id)["refresh_calls"],
        0,
        "nothing was spent"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_cannot_be_opened_is_bad_data_and_can_only_be_ended() {
    let stand = Stand::new(Plan::default()).await;
    stand.connect("acme");
    stand.connect("beta");
    let database = rusqlite::Connection::open(stand.home().join("data/gateway.db")).unwrap();
    let sql = "update connections set state = 'pending' where tenant = 'acme'";
    database.execute(sql, []).unwrap();
    for words in [
        &["show", "acme"][..],
        &["refresh", "acme"],
        &["verify", "acme"],
        &["list"],
    ] {
        ends(
            &connections(&stand, words),
            65,
            &["acme", "cannot be opened"],
        );
    }
    let line = stand.line("acme").to_string();
    let words = ["connections", "import", "--file", "-", "--replace"];
    ends(&stand.run(&words, &line), 65, &["cannot be opened"]);
    let serving = stand.serve("gateway").await;
    let list = serving.operate(Method::GET, "/v1/connections").await.json();
    assert_eq!(list["connections"][0]["tenant"], "beta");
    assert_eq!(list["unreadable"][0]["tenant"], "acme");
    assert!(serving.stop().await.success());
    connections(&stand, &["disconnect", "acme"]).fine();
    connections(&stand, &["list"]).fine();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_compares_scopes_and_the_company_that_is_pinned_at_both_doors() {
    let tenant = "[[tenants]]\nname = \"beta\"\ncompany_id = \"another\"";
    let plan = Plan {
        tenants: &["acme", "beta"],
        more: tenant,
        ..Plan::default()
    };
    let stand = Stand::new(plan).await;
    let minted = stand.mint();
    let mut wished = bundle(&minted, true);
    wished["scope"] = format!("{} moon:read", minted.scopes).into();
    stand.import("acme", &wished);
    let mut foreign = bundle(&stand.mint(), true);
    foreign["company_id"] = "another".into();
    stand.import("beta", &foreign);
    let serving = stand.serve("gateway").await;
    for (tenant, word) in [("acme", "moon:read"), ("beta", "another")] {
        ends(&connections(&stand, &["verify", tenant]), 65, &[word]);
        let path = format!("/v1/connections/{tenant}/verify");
        let answer = serving.operate(Method::POST, &path).await;
        assert_eq!(answer.status, 409);
        assert!(answer.json()["detail"].to_string().contains(word));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_connection_has_no_history_either() {
    let stand = Stand::new(Plan::default()).await;
    ends(
        &connections(&stand, &["history", "nobody", "--json"]),
        69,
        &["nobody"],
    );
}

/// Requirement 93. Pleo has forgotten the installation, and its word was lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_uninstall_whose_answer_was_lost_says_how_to_go_on() {
    let stand = Stand::new(Plan::default()).await;
    stand.connect("acme");
    stand.order(&json!({"endpoint": "api", "kind": "drop_after"}));
    let words = ["disconnect", "acme", "--uninstall"];
    ends(&connections(&stand, &words), 75, &[]);
    ends(&connections(&stand, &words), 69, &["without --uninstall"]);
    connections(&stand, &["disconnect", "acme"]).fine();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_pleo_is_told_with_what_it_said() {
    let stand = Stand::new(Plan::default()).await;
    stand.connect("acme");
    stand.order(&json!({"endpoint": "introspect", "kind": "status", "status": 503}));
    ends(
        &connections(&stand, &["verify", "acme"]),
        75,
        &["Pleo answered 503"],
    );
    // The old token is dead by then, which is not Pleo's refusal of the authorisation.
    stand.order(&json!({"endpoint": "token", "kind": "drop_after"}));
    for wish in ["refresh", "verify"] {
        let told = connections(&stand, &[wish, "acme"]);
        ends(&told, 75, &["the connection is uncertain"]);
    }
}
