//! A pair that cannot be stored is not lost: served from memory, kept sealed in salvage, stored later (design.md R6).

use std::time::Duration;

use http::Method;
use tokio::time::{Instant, sleep};

use crate::stand::caller::Link;
use crate::stand::hog::Hog;
use crate::stand::serving::Serving;
use crate::stand::{Plan, READ, SOON, Stand, salvaged, until};

/// A refresh was applied, its answer is in hand, and the store cannot be written.
pub(crate) async fn pair_in_hand(stand: &Stand) -> (Serving, Hog) {
    let serving = stand.serve("first").await;
    assert_eq!(serving.get("acme", READ).await.status, 200);
    let _asking = serving.refresh_applied(stand, "1m").await;
    let hog = Hog::of(stand);
    stand.pleo.call_off_faults();
    until("the pair is in salvage", SOON * 2, async || {
        (!salvaged(&stand.home().join("data/salvage")).is_empty()).then_some(())
    })
    .await;
    (serving, hog)
}

async fn stored(stand: &Stand, serving: &Serving) {
    until("the pair is stored", SOON, async || {
        let row = serving.connection("acme").await;
        (row["state"] == "active" && row["generation"] == 1).then_some(())
    })
    .await;
    until("salvage is empty", SOON, async || {
        salvaged(&stand.home().join("data/salvage"))
            .is_empty()
            .then_some(())
    })
    .await;
    assert_eq!(serving.get("acme", READ).await.status, 200);
    stand.assert_no_rule_was_broken();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_that_cannot_be_stored_is_served_from_memory_and_stored_later() {
    let stand = Stand::new(Plan::default()).await;
    let id = stand.connect("acme");
    let (serving, hog) = pair_in_hand(&stand).await;
    // long enough for the keeper to look at the old row a few times
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        let answer = serving.get("acme", READ).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(serving.operate(Method::GET, "/readyz").await.status, 503);
    hog.let_go();
    stored(&stand, &serving).await;
    until("it is ready again", SOON, async || {
        (serving.operate(Method::GET, "/readyz").await.status == 200).then_some(())
    })
    .await;
    assert_eq!(stand.authorisation(id)["refresh_calls"], 1);
    assert!(
        stand.count("unauthorised") == 0,
        "no call bore the old token"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_in_salvage_survives_a_kill() {
    let stand = Stand::new(Plan::default()).await;
    let id = stand.connect("acme");
    let (serving, hog) = pair_in_hand(&stand).await;
    serving.kill();
    hog.let_go();
    let serving = stand.serve("second").await;
    stored(&stand, &serving).await;
    assert_eq!(stand.authorisation(id)["refresh_calls"], 1);
    assert!(stand.outcomes("acme").contains(&"salvaged".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_intent_cannot_be_written_no_token_is_spent_and_calls_go_on() {
    let (stand, id, serving) = Stand::in_use().await;
    let hog = Hog::of(&stand);
    let path = "/v1/connections/acme/refresh";
    let mut asking = std::pin::pin!(serving.operate(Method::POST, path));
    let mut link = Link::open(serving.callers).await;
    let refused = loop {
        tokio::select! {
            answer = &mut asking => break answer,
            answer = link.get("acme", READ) => assert_eq!(answer.unwrap().status, 200),
        }
    };
    assert_eq!(refused.status, 503, "{:?}", refused.body);
    assert_eq!(stand.authorisation(id)["refresh_calls"], 0);
    hog.let_go();
    let done = serving.operate(Method::POST, path).await;
    assert_eq!(done.status, 200, "{:?}", done.body);
    assert_eq!(stand.authorisation(id)["refresh_calls"], 1);
}
