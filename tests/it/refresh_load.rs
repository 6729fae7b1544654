//! Load across refreshes: no call fails, no refresh token is presented twice.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::stand::caller::Link;
use crate::stand::{Plan, READ, SOON, Stand, is_long, until};

const WORKERS: u64 = 16;
const SEARCH: &str = "/v1/chart-of-accounts:search";
/// Between two calls of a worker: a load that leaves the machine to others, too.
const PAUSE: Duration = Duration::from_millis(10);

/// What came of a worker's calls.
#[derive(Debug, Default)]
struct Tally {
    calls: u64,
    failed: Vec<String>,
}

async fn work(address: SocketAddr, company: String, turn: u64, end: Instant) -> Tally {
    let mut link = Link::open(address).await;
    let body = Bytes::from(json!({ "companyId": company }).to_string());
    let mut tally = Tally::default();
    while Instant::now() < end {
        let reads = (tally.calls + turn).is_multiple_of(2);
        let answer = if reads {
            link.get("acme", READ).await
        } else {
            link.send(Method::POST, "acme", SEARCH, body.clone()).await
        };
        tally.calls += 1;
        match answer {
            Ok(answer) if answer.status == 200 => {}
            Ok(answer) => tally
                .failed
                .push(format!("{} {:?}", answer.status, answer.body)),
            Err(error) => {
                tally.failed.push(error.to_string());
                link = Link::open(address).await;
            }
        }
        sleep(PAUSE).await;
    }
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_ten_minutes_of_load_over_sixty_refreshes() {
    let (length, refreshes, ttl, ahead) = if is_long() {
        (600, 60, 10, "3s")
    } else {
        (18, 4, 6, "3s")
    };
    let stand = Stand::new(Plan {
        access_ttl: Duration::from_secs(ttl),
        refresh: &format!("ahead = \"{ahead}\""),
        ..Plan::default()
    })
    .await;
    let id = stand.connect("acme");
    let company = stand.pleo.company_ids()[0].clone();
    let serving = stand.serve("gateway").await;
    let end = Instant::now() + Duration::from_secs(length);
    let mut workers = JoinSet::new();
    for turn in 0..WORKERS {
        workers.spawn(work(serving.callers, company.clone(), turn, end));
    }
    let tallies = workers.join_all().await;
    let calls: u64 = tallies.iter().map(|tally| tally.calls).sum();
    let failed: Vec<_> = tallies.iter().flat_map(|tally| &tally.failed).collect();
    let first = &failed[..failed.len().min(3)];
    assert!(
        failed.is_empty(),
        "{} of {calls} failed: {first:?}",
        failed.len()
    );
    assert!(calls > WORKERS * length, "only {calls} calls");
    until("the refreshes are done", SOON * 2, async || {
        // Only what is used is refreshed.
        assert_eq!(serving.get("acme", READ).await.status, 200);
        (stand.count("refreshes") >= refreshes).then_some(())
    })
    .await;
    assert_eq!(stand.authorisation(id)["concurrent_refreshes"], 1);
    stand.assert_no_rule_was_broken();
}
