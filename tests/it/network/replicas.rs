//! Three gateways on one store, and callers by the hundred at each: one refresh for each generation, whoever asks, and no
//! call fails because of refreshing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::doors::Doors;
use super::load::{Calls, Load, Tally};
use super::site::Site;
use crate::stand::caller::Link;
use crate::stand::cluster::Cluster;
use crate::stand::{Plan, READ, Store, is_long, raise_file_limit, until};

const REPLICAS: usize = 3;
/// At each replica, at once, on an expired token.
const CALLERS: usize = 300;
/// At each replica, all the time, on a token that is refreshed ahead.
const STEADY: usize = 4;
const LIFE: Duration = Duration::from_secs(10);

/// One call on every link at once.
async fn call_all(links: Vec<Link>) -> Vec<Link> {
    let mut calls = JoinSet::new();
    for mut link in links {
        calls.spawn(async move {
            let answer = link.get("crowd", READ).await.unwrap();
            let said = String::from_utf8_lossy(&answer.body).into_owned();
            assert_eq!(answer.status, 200, "{said}");
            link
        });
    }
    calls.join_all().await
}

fn steady(site: &Arc<Site>, doors: &Doors) -> Load {
    let doors = watch::Sender::new(Some(doors.clone()));
    let calls = Calls {
        site: site.clone(),
        doors: doors.subscribe(),
        tenants: ["steady".to_owned()].into(),
        pause: Duration::from_millis(50),
    };
    Load::start(&calls, STEADY)
}

async fn end(loads: Vec<Load>) -> Tally {
    let mut all = Tally::default();
    for load in loads {
        all = all.with(load.end().await);
    }
    all
}

/// Pleo saw each token once, and one at a time.
fn once_each(site: &Site, tenant: &str) -> u64 {
    let truth = site.stand.authorisation(site.id(tenant));
    assert_eq!(truth["refresh_calls"], truth["generation"], "{truth}");
    assert_eq!(truth["concurrent_refreshes"], 1, "{truth}");
    assert_eq!(truth["alive"], true, "{truth}");
    truth["generation"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_three_replicas_with_three_hundred_callers_each_refresh_once_per_generation() {
    crowd(Store::Sqlite, "SQLite").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_they_do_so_on_postgres() {
    crowd(Store::Postgres, "PostgreSQL").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_they_do_so_on_postgres_behind_pgbouncer() {
    let pooled = tokio::task::block_in_place(|| {
        let cluster = Cluster::shared();
        cluster.pooled_url(&cluster.database())
    });
    crowd(Store::At(&pooled), "PostgreSQL behind PgBouncer").await;
}

async fn crowd(store: Store<'_>, words: &str) {
    let expiries = if is_long() { 20 } else { 3 };
    raise_file_limit();
    let site = Arc::new(
        Site::new(Plan {
            access_ttl: LIFE,
            tenants: &["crowd", "steady"],
            store,
            // A call whose token dies under it waits so long for another replica's pair (R7), also on a busy machine.
            refresh: "hold = \"10s\"\n",
            // Links that are opened long before they are used, and all dial at once.
            more: "[log]\naccess = false\n[limits]\nheader_timeout = \"5m\"\nidle_timeout = \"5m\"\nconnect_timeout = \"1m\"\n",
            ..Plan::default()
        })
        .await,
    );
    // Shorter than Pleo's word, as importing takes its time.
    site.connect(&["crowd", "steady"], Some(LIFE.as_secs() / 2));
    let mut gateways = vec![site.stand.serve("replica-0").await];
    for place in 1..REPLICAS {
        let name = format!("replica-{place}");
        gateways.push(site.stand.serve_beside(&name).await);
    }
    let doors: Vec<Doors> = gateways.iter().map(Doors::of).collect();
    let loads: Vec<Load> = doors.iter().map(|doors| steady(&site, doors)).collect();
    let mut links = Vec::new();
    for place in 0..REPLICAS * CALLERS {
        links.push(Link::open(doors[place % REPLICAS].callers).await);
    }
    let mut longest = Duration::ZERO;
    for _ in 0..expiries {
        until("the crowd's token has expired", LIFE * 4, async || {
            let row = gateways[0].connection("crowd").await;
            let state = site.stand.pleo.state();
            (row["access_expires_at"].as_str() < state["time"].as_str()).then_some(())
        })
        .await;
        let begun = Instant::now();
        links = call_all(links).await;
        longest = longest.max(begun.elapsed());
    }
    let tally = end(loads).await;
    let (crowd, steady) = (once_each(&site, "crowd"), once_each(&site, "steady"));
    println!(
        "{REPLICAS} replicas on {words}, {} callers at once on {expiries} expired tokens, none failed, the slowest {longest:.1?}; \
         {crowd} and {steady} generations, one refresh each; {} calls beside, {} failed",
        REPLICAS * CALLERS,
        tally.calls,
        tally.failed.len(),
    );
    tally.fine();
    assert!(crowd >= expiries && steady >= expiries);
    site.stand.assert_no_rule_was_broken();
}
