//! The store goes away exactly between Pleo's answer and the commit, for many tenants at once: their pairs are in use at
//! once, safe in salvage, and committed in the end (design.md R6).

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::doors::Doors;
use super::fate::Fate;
use super::site::Site;
use crate::stand::caller::Link;
use crate::stand::hog::Hog;
use crate::stand::serving::Serving;
use crate::stand::{Plan, READ, SOON, until};

/// More than a store that is locked for each of them in turn could be asked about in time.
const TENANTS: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

/// Every tenant's refresh has been applied, and its answer is held back.
async fn answers_on_their_way() -> (Arc<Site>, Serving, JoinSet<()>) {
    let site = Site::new(Plan {
        tenants: &TENANTS,
        refresh: "concurrency = 64\n",
        ..Plan::default()
    })
    .await;
    site.connect(&TENANTS, None);
    let serving = site.stand.serve("gateway").await;
    let mut asking = JoinSet::new();
    for tenant in TENANTS {
        assert_eq!(serving.get(tenant, READ).await.status, 200);
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
    assert_eq!(site.stand.count("refresh_token_presented_twice"), 0);
    assert!(site.stand.broken().is_empty(), "{:?}", site.stand.broken());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_pairs_in_hand_are_served_and_salvaged_at_once_however_long_the_store_stands_still() {
    let (site, serving, _asking) = answers_on_their_way().await;
    let hog = tokio::task::block_in_place(|| Hog::of(&site.stand));
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
    assert!(took < Duration::from_secs(10), "served after {took:?}");
    all_in_salvage(&site).await;
    hog.let_go();
    all_committed(&site, &serving).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_pairs_in_hand_survive_a_kill_while_the_store_stands_still() {
    let (site, serving, _asking) = answers_on_their_way().await;
    let hog = tokio::task::block_in_place(|| Hog::of(&site.stand));
    site.relay.release();
    all_in_salvage(&site).await;
    serving.kill();
    hog.let_go();
    let serving = site.stand.serve("second").await;
    all_committed(&site, &serving).await;
}
