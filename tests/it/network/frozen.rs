//! The gateway that refreshes is stopped while its request is at the token endpoint, past its deadline, and goes on later,
//! while another one works on: its late answer is adopted, or nothing was lost.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use rustix::process::Signal;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::doors::Doors;
use super::fate::{Ending, Fate};
use super::load::{Calls, Load};
use super::site::Site;
use crate::stand::serving::Serving;
use crate::stand::{Plan, READ, SOON, Store, until};

const TENANT: &str = "acme";
/// From the beginning of an attempt until another process has decided: deadline, watching, evidence, looks.
const DECIDED_WITHIN: Duration = Duration::from_mins(2);

/// Two gateways; the first is stopped with its request on the way.
struct Frozen {
    site: Arc<Site>,
    first: Serving,
    other: Serving,
    id: u64,
    /// Whoever asked the frozen gateway for the refresh.
    _asking: JoinSet<()>,
}

impl Frozen {
    async fn prepare(store: Store<'_>, fate: Fate, grace: &str) -> Self {
        // Before its time is up, a busy machine has to have stopped it.
        let refresh = format!("timeout = \"5s\"\nadoption_grace = \"{grace}\"\nhold = \"4s\"\n");
        let site = Site::new(Plan {
            refresh: &refresh,
            store,
            ..Plan::default()
        })
        .await;
        site.connect(&[TENANT], None);
        let first = site.stand.serve("first").await;
        let other = site.stand.serve_beside("other").await;
        for gateway in [&first, &other] {
            assert_eq!(gateway.get(TENANT, READ).await.status, 200);
        }
        let id = site.id(TENANT);
        site.relay.books().order(id, fate);
        let mut asking = JoinSet::new();
        let doors = Doors::of(&first);
        asking.spawn(async move {
            let mut link = doors.open_admin().await.unwrap();
            let path = format!("/v1/connections/{TENANT}/refresh");
            // It is answered after the thaw, or not at all.
            let _ = doors.ask(&mut link, Method::POST, &path).await;
        });
        let counted = |site: &Site| match site.relay.account(id) {
            account if fate.reaches => account.applied,
            account => account.arrivals,
        };
        until("the request is at the token endpoint", SOON, async || {
            (counted(&site) == 1).then_some(())
        })
        .await;
        first.freeze().await;
        // It arrives at the frozen one's socket.
        site.relay.release();
        Self {
            site: Arc::new(site),
            first,
            other,
            id,
            _asking: asking,
        }
    }

    async fn until_other_sees(&self, state: &str) {
        let what = format!("the other gateway sees it {state}");
        until(&what, DECIDED_WITHIN, async || {
            (self.other.connection(TENANT).await["state"] == state).then_some(())
        })
        .await;
    }

    async fn thawed_into_use(&self) {
        self.first.signal(Signal::CONT);
        until("the pair is in use", SOON, async || {
            let row = self.other.connection(TENANT).await;
            (row["state"] == "active" && row["generation"] == 1).then_some(())
        })
        .await;
        for gateway in [&self.first, &self.other] {
            until("both serve with it", SOON, async || {
                (gateway.get(TENANT, READ).await.status == 200).then_some(())
            })
            .await;
        }
        let truth = self.site.stand.authorisation(self.id);
        assert_eq!(
            (&truth["alive"], &truth["generation"]),
            (&json!(true), &json!(1))
        );
        let stand = &self.site.stand;
        stand.assert_no_rule_was_broken();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_waited_for_a_frozen_gateway_is_adopted() {
    adopted(Store::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_an_answer_that_waited_for_a_frozen_gateway_is_adopted() {
    adopted(Store::Postgres).await;
}

async fn adopted(store: Store<'_>) {
    let frozen = Frozen::prepare(store, Fate::HELD, "60s").await;
    until(
        "the other gateway has its evidence",
        DECIDED_WITHIN,
        async || {
            let outcomes = frozen.site.stand.outcomes(TENANT);
            (outcomes.last().unwrap() == "resolved_applied").then_some(())
        },
    )
    .await;
    frozen.until_other_sees("uncertain").await;
    frozen.thawed_into_use().await;
    assert_eq!(frozen.site.relay.account(frozen.id).arrivals, 1);
    assert_eq!(
        frozen.site.stand.outcomes(TENANT).last().unwrap(),
        "adopted"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_adopted_even_after_it_was_called_lost() {
    adopted_late(Store::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_it_is_adopted_even_after_it_was_called_lost() {
    adopted_late(Store::Postgres).await;
}

async fn adopted_late(store: Store<'_>) {
    let frozen = Frozen::prepare(store, Fate::HELD, "1s").await;
    frozen.until_other_sees("reauthorization_required").await;
    assert_eq!(
        frozen.other.connection(TENANT).await["reason"],
        "answer_lost"
    );
    frozen.thawed_into_use().await;
    assert_eq!(frozen.site.relay.account(frozen.id).arrivals, 1);
    // By way of salvage where the store is slow to take it, and then perhaps by the other's hand.
    let outcome = frozen.site.stand.outcomes(TENANT).pop().unwrap();
    assert!(
        ["adopted", "salvaged"].contains(&outcome.as_str()),
        "{outcome}"
    );
}

/// Requirement 107.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_gateway_whose_request_reached_nobody_finds_the_pair_of_another_and_keeps_away() {
    kept_away(Store::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_a_frozen_gateway_whose_request_reached_nobody_finds_the_pair_of_another_and_keeps_away()
 {
    kept_away(Store::Postgres).await;
}

async fn kept_away(store: Store<'_>) {
    let frozen = Frozen::prepare(store, Fate::before("hole", Ending::Silent), "60s").await;
    let doors = watch::Sender::new(Some(Doors::of(&frozen.other)));
    let calls = Calls {
        site: frozen.site.clone(),
        doors: doors.subscribe(),
        tenants: [TENANT.to_owned()].into(),
        pause: Duration::from_millis(50),
    };
    let load = Load::start(&calls, 4);
    frozen.until_other_sees("active").await;
    let path = format!("/v1/connections/{TENANT}/refresh");
    until("the other gateway refreshes", SOON, async || {
        let done = frozen.other.operate(Method::POST, &path).await;
        (done.status == 200).then_some(())
    })
    .await;
    frozen.thawed_into_use().await;
    load.end().await.fine();
    assert_eq!(frozen.site.relay.account(frozen.id).arrivals, 2);
}
