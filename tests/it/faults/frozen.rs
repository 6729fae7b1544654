//! A gateway that freezes in the middle of a refresh, and thaws after another on the same store went on without it: at most
//! one of them sends, and a late answer is taken.

use std::process::Command;
use std::time::Duration;

use http::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::halted::{Deed, REQUEST, halted, says};
use crate::stand::caller::Link;
use crate::stand::serving::Serving;
use crate::stand::{Plan, READ, SOON, Stand, until};

const ORDER: &str = "/v1/connections/acme/refresh";
/// The deadline (timeout + 5 s), `adoption_grace`, evidence 5 s apart, and a machine under load.
const DECIDED_WITHIN: Duration = Duration::from_mins(1);

async fn stand() -> Stand {
    Stand::new(Plan {
        refresh: "timeout = \"2s\"\nadoption_grace = \"5s\"\nhold = \"200ms\"\n",
        ..Plan::default()
    })
    .await
}

/// A gateway that refreshes and is frozen, and another on the same store.
struct Scene {
    stand: Stand,
    id: u64,
    frozen: Serving,
    other: Serving,
    /// What the frozen one was asked.
    asking: JoinSet<()>,
}

impl Scene {
    /// The gateway is under `halt.py`, and freezes where `at` says.
    async fn frozen(at: &str) -> Self {
        let stand = stand().await;
        let log = stand.home().join("calls");
        let command = halted(&stand.command(&["serve"]), Deed::Freeze, at, "signal", &log);
        let mut scene = Self::of(stand, command).await;
        scene.frozen.signal(Signal::USR1);
        until("calls count", SOON, async || {
            says(&log, "counting").then_some(())
        })
        .await;
        scene.order().await;
        until("it is frozen", SOON, async || {
            says(&log, "frozen").then_some(())
        })
        .await;
        scene
    }

    async fn of(stand: Stand, command: Command) -> Self {
        let id = stand.connect("acme");
        let frozen = stand.serve_as("frozen", command).await;
        assert_eq!(frozen.get("acme", READ).await.status, 200);
        let other = stand.serve_beside("other").await;
        Self {
            stand,
            id,
            frozen,
            other,
            asking: JoinSet::new(),
        }
    }

    async fn order(&mut self) {
        let mut link = Link::open(self.frozen.admin).await;
        let request = self.frozen.request(Method::POST, ORDER);
        self.asking.spawn(async move {
            // What it answers after it was thawed is of no interest; what it does is.
            let _ = link.request(request).await;
        });
    }

    /// Waits until the other has decided, and has served every call as long as the old token lives.
    async fn decided(&self, state: &str) {
        until(state, DECIDED_WITHIN, async || {
            let answer = self.other.get("acme", READ).await;
            let lives = self.authorisation()["generation"] == 0;
            assert!(!lives || answer.status == 200, "{answer:?}");
            (self.other.connection("acme").await["state"] == state).then_some(())
        })
        .await;
    }

    async fn refreshes_at_the_other(&self) {
        let answer = self.other.operate(Method::POST, ORDER).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    fn authorisation(&self) -> Value {
        self.stand.authorisation(self.id)
    }

    /// Both serve the tenant, with the pair of the one refresh that was applied, after so many requests.
    async fn ends_well(self, requests: u64) {
        for gateway in [&self.frozen, &self.other] {
            until("both serve the one new pair", DECIDED_WITHIN, async || {
                let row = gateway.connection("acme").await;
                let answer = gateway.get("acme", READ).await;
                let is_well = row["state"] == "active" && row["generation"] == 1;
                (is_well && answer.status == 200).then_some(())
            })
            .await;
        }
        self.asking.join_all().await;
        let authorisation = self.stand.authorisation(self.id);
        assert_eq!(authorisation["generation"], 1);
        assert_eq!(authorisation["refresh_calls"], requests);
        assert!(self.stand.broken().is_empty(), "{:?}", self.stand.broken());
    }
}

/// Requirement 107.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_before_it_sends_it_never_does() {
    let scene = Scene::frozen("connect+0").await;
    scene.decided("active").await;
    scene.refreshes_at_the_other().await;
    scene.frozen.signal(Signal::USR2);
    scene.ends_well(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_while_pleo_has_its_request_which_is_not_applied() {
    let stand = stand().await;
    let command = stand.command(&["serve"]);
    let mut scene = Scene::of(stand, command).await;
    let late = json!({"endpoint": "token", "kind": "delay", "delay": "10m", "commit": false});
    scene.stand.order(&late);
    scene.order().await;
    until("the request is at Pleo", SOON, async || {
        (scene.authorisation()["refresh_calls"] == 1).then_some(())
    })
    .await;
    scene.frozen.signal(Signal::STOP);
    scene.decided("active").await;
    scene.refreshes_at_the_other().await;
    scene.frozen.signal(Signal::CONT);
    scene.ends_well(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_with_the_answer_in_the_socket_it_takes_it_when_all_was_given_up() {
    let scene = Scene::frozen(&format!("{REQUEST}+1")).await;
    scene.decided("reauthorization_required").await;
    assert_eq!(
        scene.other.connection("acme").await["reason"],
        "answer_lost"
    );
    scene.frozen.signal(Signal::USR2);
    scene.ends_well(1).await;
}
