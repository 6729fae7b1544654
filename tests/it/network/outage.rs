//! The store goes away exactly between Pleo's answer and the commit, for many tenants at once: their pairs are in use
//! immediately, safe in salvage, and committed in the end (design.md R6).

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::cutter::Cutter;
use super::doors::Doors;
use super::fate::Fate;
use super::load::{Calls, Load};
use super::site::Site;
use crate::stand::caller::Link;
use crate::stand::cluster::Cluster;
use crate::stand::hog::Hog;
use crate::stand::serving::Serving;
use crate::stand::{Plan, READ, SOON, Store, is_long, until};

/// More than a store that is locked for each of them in turn could be asked about in time.
const TENANTS: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

/// Every tenant's refresh has been applied, and its answer is held back.
async fn answers_on_their_way(store: Store<'_>) -> (Arc<Site>, Serving, JoinSet<()>) {
    let site = Site::new(Plan {
        tenants: &TENANTS,
        refresh: "concurrency = 64\n",
        store,
        ..Plan::default()
    })
    .await;
    site.connect(&TENANTS, None);
    let serving = site.stand.serve("gateway").await;
    for tenant in TENANTS {
        assert_eq!(serving.get(tenant, READ).await.status, 200);
    }
    // All at once: what is held back for longer than `timeout` is lost.
    let mut asking = JoinSet::new();
    for tenant in TENANTS {
        site.relay.books().order(site.id(tenant), Fate::HELD);
        let doors = Doors::of(&serving);
        asking.spawn(async move {
            let mut link = doors.open_admin().await.unwrap();
            let path = format!("/v1/connections/{tenant}/refresh");
            // The gateway may be killed meanwhile.
            let _ = doors.ask(&mut link, Method::POST, &path).await;
        });
    }
    until("all refreshes are applied", SOON, async || {
        let applied = site.relay.books().total(|account| account.applied);
        (applied == TENANTS.len() as u64).then_some(())
    })
    .await;
    (Arc::new(site), serving, asking)
}

/// The answers arrive, and every tenant is served with its new pair although the store is away.
async fn served_at_once(site: &Site, serving: &Serving) {
    let begun = Instant::now();
    site.relay.release();
    let mut link = Link::open(serving.callers).await;
    for tenant in TENANTS {
        until("a pair in hand is served", SOON, async || {
            (link.get(tenant, READ).await.unwrap().status == 200).then_some(())
        })
        .await;
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(20), "served after {took:?}");
}

fn pairs_in_salvage(site: &Site) -> usize {
    let entries = |folder: std::path::PathBuf| std::fs::read_dir(folder).unwrap().flatten();
    entries(site.stand.home().join("data/salvage"))
        .filter(|owner| owner.path().is_dir())
        .flat_map(|owner| entries(owner.path()))
        .filter(|file| file.path().extension().is_some_and(|end| end == "pair"))
        .count()
}

async fn all_in_salvage(site: &Site) {
    until("every pair is in salvage", SOON, async || {
        (pairs_in_salvage(site) == TENANTS.len()).then_some(())
    })
    .await;
}

async fn all_committed(site: &Site, serving: &Serving) {
    until("every pair is committed", SOON * 2, async || {
        for tenant in TENANTS {
            let row = serving.connection(tenant).await;
            if row["state"] != "active" || row["generation"] != 1 {
                return None;
            }
        }
        (pairs_in_salvage(site) == 0).then_some(())
    })
    .await;
    for tenant in TENANTS {
        assert_eq!(serving.get(tenant, READ).await.status, 200, "{tenant}");
    }
    site.stand.assert_no_rule_was_broken();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_pairs_in_hand_are_served_and_salvaged_at_once_however_long_the_store_stands_still() {
    let (site, serving, _asking) = answers_on_their_way(Store::Sqlite).await;
    let hog = tokio::task::block_in_place(|| Hog::of(&site.stand));
    served_at_once(&site, &serving).await;
    all_in_salvage(&site).await;
    hog.let_go();
    all_committed(&site, &serving).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_pairs_in_hand_survive_a_kill_while_the_store_stands_still() {
    let (site, serving, _asking) = answers_on_their_way(Store::Sqlite).await;
    let hog = tokio::task::block_in_place(|| Hog::of(&site.stand));
    site.relay.release();
    all_in_salvage(&site).await;
    serving.kill();
    hog.let_go();
    let serving = site.stand.serve("second").await;
    all_committed(&site, &serving).await;
}

/// A server that goes away by one order and comes back by another.
#[derive(Clone, Copy)]
struct Away {
    goes: &'static str,
    comes: &'static str,
}

const FROZEN: Away = Away {
    goes: "freeze",
    comes: "thaw",
};
const STOPPED: Away = Away {
    goes: "stop",
    comes: "start",
};

fn order(cluster: &Cluster, order: &str) {
    tokio::task::block_in_place(|| cluster.order(order));
}

fn cluster_of_its_own() -> (Cluster, String) {
    tokio::task::block_in_place(|| {
        let cluster = Cluster::start(&[]);
        let url = cluster.url(&cluster.database());
        (cluster, url)
    })
}

/// Every answer is on its way, the server goes away, and the callers are served as if nothing were.
async fn served_without_a_server(away: Away) {
    let (cluster, url) = cluster_of_its_own();
    let (site, serving, _asking) = answers_on_their_way(Store::At(&url)).await;
    order(&cluster, away.goes);
    served_at_once(&site, &serving).await;
    let doors = watch::Sender::new(Some(Doors::of(&serving)));
    let calls = Calls {
        site: site.clone(),
        doors: doors.subscribe(),
        tenants: TENANTS.map(str::to_owned).into(),
        pause: Duration::from_millis(50),
    };
    let load = Load::start(&calls, 4);
    let seconds = if is_long() { 60 } else { 8 };
    sleep(Duration::from_secs(seconds)).await;
    all_in_salvage(&site).await;
    order(&cluster, away.comes);
    all_committed(&site, &serving).await;
    let tally = load.end().await;
    println!(
        "PostgreSQL away ({}) for {seconds} s between answer and commit: {} pairs kept, {} calls, {} failed",
        away.goes,
        TENANTS.len(),
        tally.calls,
        tally.failed.len(),
    );
    tally.fine();
}

/// The same, and the gateway is killed meanwhile.
async fn survive_a_kill_without_a_server(away: Away) {
    let (cluster, url) = cluster_of_its_own();
    let (site, serving, _asking) = answers_on_their_way(Store::At(&url)).await;
    order(&cluster, away.goes);
    site.relay.release();
    all_in_salvage(&site).await;
    serving.kill();
    order(&cluster, away.comes);
    let serving = site.stand.serve("second").await;
    all_committed(&site, &serving).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_pairs_in_hand_outlast_a_frozen_postgres_and_callers_do_not_notice() {
    served_without_a_server(FROZEN).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_pairs_in_hand_outlast_a_stopped_postgres_and_callers_do_not_notice() {
    served_without_a_server(STOPPED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pairs_in_hand_survive_a_kill_while_postgres_is_frozen() {
    survive_a_kill_without_a_server(FROZEN).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pairs_in_hand_survive_a_kill_while_postgres_is_stopped() {
    survive_a_kill_without_a_server(STOPPED).await;
}

/// Requirement 114.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_whose_word_is_cut_off_are_settled_by_reading_and_never_by_a_second_refresh() {
    let url = tokio::task::block_in_place(|| {
        let cluster = Cluster::shared();
        cluster.url(&cluster.database())
    });
    let cutter = Cutter::open(&url).await;
    let (site, serving, _asking) = answers_on_their_way(Store::At(&cutter.url())).await;
    let commits = TENANTS.len() as u64;
    cutter.cut_next(commits);
    served_at_once(&site, &serving).await;
    all_committed(&site, &serving).await;
    assert_eq!(cutter.cuts(), commits);
    for tenant in TENANTS {
        assert_eq!(site.relay.account(site.id(tenant)).arrivals, 1, "{tenant}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn intents_whose_word_is_cut_off_spend_no_token() {
    let url = tokio::task::block_in_place(|| {
        let cluster = Cluster::shared();
        cluster.url(&cluster.database())
    });
    let cutter = Cutter::open(&url).await;
    let site = Site::new(Plan {
        store: Store::At(&cutter.url()),
        ..Plan::default()
    })
    .await;
    site.connect(&["acme"], None);
    let serving = site.stand.serve("gateway").await;
    assert_eq!(serving.get("acme", READ).await.status, 200);
    // What introspection said is written down first, then the intent.
    for writes in 1..=3 {
        cutter.cut_next(writes);
        let generation = site.relay.account(site.id("acme")).applied;
        until("a refresh works", SOON, async || {
            assert_eq!(serving.get("acme", READ).await.status, 200);
            let path = "/v1/connections/acme/refresh";
            (serving.operate(Method::POST, path).await.status == 200).then_some(())
        })
        .await;
        let account = site.relay.account(site.id("acme"));
        assert_eq!(account.applied, generation + 1, "{account:?}");
        assert_eq!(account.arrivals, account.applied, "{account:?}");
    }
    assert_eq!(cutter.cuts(), 6);
    site.stand.assert_no_rule_was_broken();
}
