//! Gateways on PostgreSQL: what replicas see of each other, what a server that is away costs, and how a database that cannot
//! be used is reported. The refresh protocol over it is in `network` and `faults`.

use std::fs;
use std::time::Duration;

use http::Method;
use rustix::process::Signal;
use tokio::task::{JoinSet, block_in_place};
use tokio::time::{Instant, sleep, timeout};

use crate::stand::caller::Link;
use crate::stand::cluster::Cluster;
use crate::stand::dice::Dice;
use crate::stand::serving::Serving;
use crate::stand::{Plan, READ, SOON, Stand, Store, is_long, until};

async fn stand_at(store: Store<'_>, tenants: &[&str]) -> Stand {
    Stand::new(Plan {
        tenants,
        store,
        ..Plan::default()
    })
    .await
}

async fn refresh(serving: &Serving, tenant: &str) -> u16 {
    let path = format!("/v1/connections/{tenant}/refresh");
    serving.operate(Method::POST, &path).await.status
}

fn order(cluster: &Cluster, order: &str) -> String {
    block_in_place(|| cluster.order(order))
}

/// A database on the server that all tests share: its name, and its URL.
fn database() -> (String, String) {
    block_in_place(|| {
        let cluster = Cluster::shared();
        let database = cluster.database();
        let url = cluster.url(&database);
        (database, url)
    })
}

fn sql(database: &str, statement: &str) {
    let said = block_in_place(|| Cluster::shared().sql(database, statement));
    assert_eq!(said, "", "{statement}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_start_at_once_on_an_empty_database_share_it_and_see_each_other_at_once() {
    let stand = stand_at(Store::Postgres, &["acme"]).await;
    let (first, other) = tokio::join!(stand.serve("first"), stand.serve_beside("other"));
    let id = stand.connect("acme");
    for serving in [&first, &other] {
        until("a new connection is known", SOON, async || {
            (serving.get("acme", READ).await.status == 200).then_some(())
        })
        .await;
    }
    let mut slowest = Duration::ZERO;
    for round in 1..=5 {
        assert_eq!(refresh(&first, "acme").await, 200);
        let begun = Instant::now();
        until("the other has the new pair", SOON, async || {
            // The sandbox kills the old token at once: who still had it would have to replay.
            let row = other.connection("acme").await;
            assert_eq!(row["generation"], round);
            let answer = other.get("acme", READ).await;
            (answer.status == 200).then_some(())
        })
        .await;
        slowest = slowest.max(begun.elapsed());
    }
    println!("the other's next call succeeded within {slowest:?}");
    assert_eq!(stand.authorisation(id)["refresh_calls"], 5);
    stand.assert_no_rule_was_broken();
    for serving in [first, other] {
        assert!(serving.stop().await.success());
    }
}

/// Requirement 114.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_server_a_gateway_serves_what_it_holds_and_spends_no_token() {
    for (away, back) in [("stop", "start"), ("freeze", "thaw")] {
        let (cluster, url) = block_in_place(|| {
            let cluster = Cluster::start(&[]);
            let url = cluster.url(&cluster.database());
            (cluster, url)
        });
        let stand = stand_at(Store::At(&url), &["held", "expired"]).await;
        let held = stand.connect("held");
        let expired = stand.connect_expired("expired");
        let serving = stand.serve("serve").await;
        assert_eq!(serving.get("held", READ).await.status, 200);
        order(&cluster, away);
        for _ in 0..5 {
            assert_eq!(serving.get("held", READ).await.status, 200);
        }
        let refused = serving.get("expired", READ).await;
        assert_eq!(refused.status, 503);
        assert_eq!(refused.code(), "store-unavailable");
        assert_ne!(refresh(&serving, "held").await, 200);
        let ready = serving.operate(Method::GET, "/readyz").await;
        assert_eq!(ready.status, 503);
        for id in [held, expired] {
            assert_eq!(stand.authorisation(id)["refresh_calls"], 0, "{away}");
        }
        order(&cluster, back);
        until("all is well again", SOON * 2, async || {
            let well = serving.get("expired", READ).await.status == 200
                && refresh(&serving, "held").await == 200
                && serving.operate(Method::GET, "/readyz").await.status == 200;
            well.then_some(())
        })
        .await;
        let failures = "pleo_gateway_store_errors_total{op=\"read\"}";
        assert!(serving.metric(failures).await > 0.0);
        assert_eq!(stand.authorisation(expired)["refresh_calls"], 1);
        stand.assert_no_rule_was_broken();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_a_replica_that_freezes_at_any_moment_holds_nobody() {
    let rounds = if is_long() { 200 } else { 15 };
    let tenants = ["one", "two", "three", "mine"];
    let stand = stand_at(Store::Postgres, &tenants).await;
    for tenant in tenants {
        stand.connect(tenant);
    }
    let frozen = stand.serve("frozen").await;
    let other = stand.serve_beside("other").await;
    let mut dice = Dice::new();
    println!("seed {}", dice.seed());
    let mut slowest = Duration::ZERO;
    for _ in 0..rounds {
        let mut asking = JoinSet::new();
        for tenant in ["one", "two", "three"] {
            let mut link = Link::open(frozen.admin).await;
            let path = format!("/v1/connections/{tenant}/refresh");
            let request = frozen.request(Method::POST, &path);
            asking.spawn(async move { link.request(request).await.map(|answer| answer.status) });
        }
        sleep(Duration::from_micros(dice.below(60_000))).await;
        frozen.signal(Signal::STOP);
        let begun = Instant::now();
        // A lock that the frozen one held would be held for as long: the server gives up on it after 2 s, and so on.
        let refreshed = timeout(Duration::from_secs(15), refresh(&other, "mine")).await;
        slowest = slowest.max(begun.elapsed());
        frozen.signal(Signal::CONT);
        assert_eq!(refreshed, Ok(200), "held up");
        asking.join_all().await;
    }
    println!("{rounds} freezes; the other's slowest refresh took {slowest:?}");
    assert!(stand.broken().is_empty(), "{:?}", stand.broken());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_cannot_be_used_is_told_with_its_remedy_and_without_its_password() {
    let (name, url) = database();
    let stand = stand_at(Store::At(&url), &["acme"]).await;
    let ends = |url: &str, code: i32, words: &[&str]| {
        fs::write(stand.home().join("database.url"), url).unwrap();
        for command in [
            &["serve"][..],
            &["check", "--online"],
            &["connections", "list"],
        ] {
            let ended = stand.run(command, "");
            assert_eq!(ended.code, Some(code), "{command:?} {ended:?}");
            for word in words {
                assert!(ended.stderr.contains(word), "{word} in {ended:?}");
            }
            assert!(!ended.stderr.contains("canary"), "{ended:?}");
            assert!(!ended.stderr.contains("secret@"), "{ended:?}");
        }
    };
    ends(
        "postgres//gateway:wrong-canary@h/d",
        78,
        &["postgres://user:password@host"],
    );
    let mode = format!("{url}?sslmode=prefer");
    ends(&mode, 78, &["sslmode"]);
    let wrong = url.replace(":database-canary@", ":wrong-canary@");
    ends(
        &wrong,
        78,
        &["password authentication failed", "[store] postgres"],
    );
    ends(&url.replace(&name, "nowhere"), 78, &["nowhere"]);
    ends(&format!("{url}?sslmode=require"), 78, &["TLS"]);
    let away = "postgres://gateway:wrong-canary@127.0.0.1:1/d";
    ends(away, 69, &["no connection to the server", "127.0.0.1"]);
    sql(
        &name,
        "create schema pleo_gateway; create table pleo_gateway.theirs (x int)",
    );
    ends(&url, 65, &["pleo_gateway", "not of pleo-gateway"]);
    sql(
        &name,
        "drop table pleo_gateway.theirs; drop schema pleo_gateway",
    );
    sql(&name, "create role visitor login password 'visitor-canary'");
    let visitor = url.replace("gateway:database-canary@", "visitor:visitor-canary@");
    ends(&visitor, 77, &["right to create"]);
    let list = ["connections", "list"];
    fs::write(stand.home().join("database.url"), &url).unwrap();
    stand.run(&list, "").fine();
    sql(&name, "insert into pleo_gateway.migrations values (99)");
    ends(&url, 78, &["version 99", "newer program"]);
    sql(
        &name,
        "delete from pleo_gateway.migrations where number = 99",
    );
    let key = stand.home().join("data/sealing.key");
    fs::remove_file(&key).unwrap();
    ends(&url, 78, &["keys new"]);
    stand.run(&["keys", "new"], "").fine();
    ends(&url, 78, &["which is not configured", "sealing_keys"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_only_reads_is_not_available_for_refreshes() {
    let (name, url) = database();
    let stand = stand_at(Store::At(&url), &["acme"]).await;
    let id = stand.connect("acme");
    // What a standby after a failover says to every write.
    sql(
        &name,
        &format!("alter database {name} set default_transaction_read_only = on"),
    );
    let serving = stand.serve("serve").await;
    assert_eq!(serving.get("acme", READ).await.status, 200);
    assert_ne!(refresh(&serving, "acme").await, 200);
    assert_eq!(stand.authorisation(id)["refresh_calls"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_asks_the_database_what_was_granted_and_makes_none() {
    let (name, url) = database();
    let stand = stand_at(Store::At(&url), &["acme"]).await;
    let new = stand.home().join("new.toml");
    let more = "[[routes]]\nname = \"new\"\npath = \"/v9/new\"\nscopes = [\"made-up:read\"]\n";
    let text = fs::read_to_string(stand.config()).unwrap();
    fs::write(&new, format!("{text}{more}")).unwrap();
    let old = stand.config().display().to_string();
    let planned = || {
        let mut command = std::process::Command::new(crate::harness::BINARY);
        command
            .args(["plan", "--json", "--against", &old, "-c"])
            .arg(&new);
        let ended = crate::harness::program::run(&mut command, "", SOON);
        assert_eq!(ended.code, 0, "{}", ended.err);
        let plan: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
        plan["scopes_missing"][0].clone()
    };
    let missing =
        |known| serde_json::json!({"tenant": "acme", "scopes": ["made-up:read"], "known": known});
    assert_eq!(planned(), missing(false));
    sql(
        &name,
        "do $$ begin if to_regnamespace('pleo_gateway') is not null then raise 'made'; end if; end $$",
    );
    stand.connect("acme");
    assert_eq!(planned(), missing(true));
}
