//! `kill -9` at any moment: the tenant works again after a restart, unless the answer to the refresh itself was lost; and
//! then the gateway says so.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::stand::caller::Link;
use crate::stand::dice::Dice;
use crate::stand::serving::Serving;
use crate::stand::{Plan, READ, SOON, Stand, is_long, until};

/// From the restart until a tenant works again: the deadline of an attempt (timeout + 5 s), its adoption at worst, on a machine
/// that does other things too.
const BACK_WITHIN: Duration = Duration::from_mins(1);
const REFRESH: &str = "timeout = \"1s\"\nadoption_grace = \"5s\"\nhold = \"200ms\"\n";

async fn stand(access_ttl: u64, tenants: &[&str]) -> Stand {
    Stand::new(Plan {
        access_ttl: Duration::from_secs(access_ttl),
        tenants,
        refresh: REFRESH,
        ..Plan::default()
    })
    .await
}

/// Orders one refresh and kills the gateway while it is at the token endpoint.
async fn kill_during_refresh(stand: &Stand, serving: Serving, id: u64, applied: bool) {
    stand.order(&json!({"endpoint": "token", "kind": "delay", "delay": "30s", "commit": applied}));
    let mut asking = JoinSet::new();
    let mut link = Link::open(serving.admin).await;
    let request = serving.request(Method::POST, "/v1/connections/acme/refresh");
    asking.spawn(async move { link.request(request).await.map(|answer| answer.status) });
    stand.until_first(id, "refresh_calls").await;
    serving.kill();
}

/// Requirements 96 and 97: a refresh without a result is in doubt, and not repeated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_that_was_not_applied_is_found_out_and_nobody_notices() {
    let stand = stand(900, &["acme"]).await;
    let id = stand.connect("acme");
    let serving = stand.serve("first").await;
    assert_eq!(serving.get("acme", READ).await.status, 200);
    kill_during_refresh(&stand, serving, id, false).await;
    let serving = stand.serve("second").await;
    assert_eq!(serving.connection("acme").await["state"], "refreshing");
    until(
        "the refresh is found not applied",
        BACK_WITHIN,
        async || {
            let answer = serving.get("acme", READ).await;
            assert_eq!(answer.status, 200, "{:?}", answer.body);
            (serving.connection("acme").await["state"] == "active").then_some(())
        },
    )
    .await;
    assert!(
        stand
            .outcomes("acme")
            .contains(&"resolved_not_applied".to_owned())
    );
    let again = serving
        .operate(Method::POST, "/v1/connections/acme/refresh")
        .await;
    assert_eq!(again.status, 200, "{:?}", again.body);
    assert_eq!(stand.authorisation(id)["generation"], 1);
    assert!(stand.broken().is_empty(), "{:?}", stand.broken());
}

/// Requirement 97.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_applied_refresh_whose_answer_was_lost_ends_as_answer_lost_without_a_replay() {
    let stand = stand(60, &["acme"]).await;
    let id = stand.connect("acme");
    let serving = stand.serve("first").await;
    assert_eq!(serving.get("acme", READ).await.status, 200);
    kill_during_refresh(&stand, serving, id, true).await;
    let serving = stand.serve("second").await;
    let mut seen = BTreeMap::new();
    let row = until("the lost answer is found out", BACK_WITHIN, async || {
        let row = serving.connection("acme").await;
        let state = row["state"].as_str().unwrap().to_owned();
        *seen.entry(state).or_insert(0) += 1;
        (row["state"] == "reauthorization_required").then_some(row)
    })
    .await;
    assert_eq!(row["reason"], "answer_lost");
    assert!(seen.contains_key("uncertain"), "{seen:?}");
    until("callers are told", SOON, async || {
        let answer = serving.get("acme", READ).await;
        assert_eq!(answer.status, 503, "{:?}", answer.body);
        (answer.code() == "reauthorization-required").then_some(())
    })
    .await;
    assert!(
        stand
            .outcomes("acme")
            .contains(&"resolved_applied".to_owned())
    );
    assert_eq!(stand.authorisation(id)["refresh_calls"], 1);
    stand.assert_no_rule_was_broken();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_gateway_takes_over_from_a_killed_one_and_its_callers_do_not_notice() {
    let stand = stand(900, &["acme"]).await;
    let id = stand.connect("acme");
    let first = stand.serve("first").await;
    let other = stand.serve_beside("other").await;
    assert_eq!(first.get("acme", READ).await.status, 200);
    kill_during_refresh(&stand, first, id, false).await;
    until("the other has resolved it", BACK_WITHIN, async || {
        let answer = other.get("acme", READ).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        (other.connection("acme").await["state"] == "active").then_some(())
    })
    .await;
    let again = other
        .operate(Method::POST, "/v1/connections/acme/refresh")
        .await;
    assert_eq!(again.status, 200, "{:?}", again.body);
    assert!(stand.broken().is_empty(), "{:?}", stand.broken());
}

/// Calls without end; a killed gateway ends it.
async fn load(address: SocketAddr, tenant: String) {
    let mut link = Link::open(address).await;
    while link.get(&tenant, READ).await.is_ok() {
        sleep(Duration::from_millis(10)).await;
    }
}

/// How a tenant came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Came {
    Back,
    /// Its refresh was applied, and the answer never arrived.
    Lost,
}

async fn came_back(stand: &Stand, serving: &Serving, tenant: &str, id: u64) -> Came {
    let what = format!("{tenant} works again, or its answer is known to be lost");
    until(&what, BACK_WITHIN, async || {
        if serving.get(tenant, READ).await.status == 200 {
            return Some(Came::Back);
        }
        let row = serving.connection(tenant).await;
        if row["state"] != "reauthorization_required" {
            return None;
        }
        assert_eq!(row["reason"], "answer_lost", "{row}");
        let (applied, held) = (
            stand.authorisation(id)["generation"].as_u64(),
            row["generation"].as_u64(),
        );
        assert!(
            applied > held,
            "{applied:?} refreshes applied, {held:?} used"
        );
        Some(Came::Lost)
    })
    .await
}

/// As metrics count.
fn counted(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

/// Every other refresh is applied before its answer is late, so that a kill in between loses it.
fn slow_refreshes() -> Vec<Value> {
    let slow = |applied| json!({"endpoint": "token", "kind": "delay", "delay": "400ms", "commit": applied});
    vec![slow(true), slow(false)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_a_hundred_kills_at_random_moments_of_load() {
    let kills = if is_long() { 100 } else { 7 };
    let tenants = ["one", "two", "three", "four"];
    let stand = stand(4, &tenants).await;
    let mut dice = Dice::new();
    println!("seed {}", dice.seed());
    let mut ids: BTreeMap<&str, u64> = tenants.map(|name| (name, stand.connect(name))).into();
    let mut counts: BTreeMap<Came, u64> = BTreeMap::new();
    // Refreshes that a kill cut, and those that a busy machine answered too late.
    let (mut cut, mut late) = (0, 0.0);
    let mut serving = stand.serve("serve-0").await;
    for round in 1..=kills {
        let mut workers = JoinSet::new();
        for tenant in tenants {
            workers.spawn(load(serving.callers, tenant.to_owned()));
        }
        while stand.count("faults_waiting") < 100 {
            for fault in slow_refreshes() {
                stand.order(&fault);
            }
        }
        sleep(Duration::from_millis(dice.below(2_500))).await;
        serving.kill();
        workers.join_all().await;
        serving = stand.serve(&format!("serve-{round}")).await;
        for tenant in tenants {
            let state = serving.connection(tenant).await["state"].clone();
            cut += u64::from(state == "refreshing" || state == "uncertain");
        }
        for tenant in tenants {
            let came = came_back(&stand, &serving, tenant, ids[tenant]).await;
            *counts.entry(came).or_default() += 1;
            if came == Came::Lost {
                ids.insert(tenant, stand.connect(tenant));
            }
        }
        late += serving.refreshes("uncertain").await;
    }
    let lost = counts.get(&Came::Lost).copied().unwrap_or(0);
    println!("{kills} kills cut {cut} refreshes, {late} were late: {counts:?}");
    assert!(
        counted(lost) <= counted(cut) + late,
        "{lost} answers lost, {cut} refreshes cut, {late} late"
    );
    let broken = stand.broken();
    let replayed = broken.get("refresh_token_replayed").copied().unwrap_or(0);
    assert!(
        replayed <= lost,
        "a token was replayed that was not lost: {broken:?}"
    );
    assert!(
        broken.keys().all(|rule| rule == "refresh_token_replayed"),
        "{broken:?}"
    );
}
