//! The disk fails around one refresh: full, read-only, an fsync that does not work, no file left to open. Before the
//! intent, nothing is spent; after the answer, nothing is lost; and callers with a living token never notice.

use std::path::PathBuf;
use std::time::Duration;

use http::Method;
use rusqlite::Connection;
use rustix::process::{Resource, Rlimit, prlimit};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::struck::Struck;
use crate::stand::caller::{Answer, Link};
use crate::stand::serving::Serving;
use crate::stand::{Plan, READ, SOON, Stand, salvaged, until};

const TIMEOUT: Duration = Duration::from_secs(2);
const ORDER: &str = "/v1/connections/acme/refresh";
/// Calls that `SQLite` writes with, and all that a read-only file system refuses. None of them is used by links.
const SQLITE_WRITES: &str = "pwrite64";
const WRITES: &str = "pwrite64,mkdir,rename,ftruncate,unlink,fsync,fdatasync";
const SYNCS: &str = "fsync,fdatasync";

/// A gateway that has served a call, and a link to it that stays open.
struct Scene {
    stand: Stand,
    id: u64,
    serving: Serving,
    caller: Link,
}

impl Scene {
    async fn new(timeout: Duration) -> Self {
        let timeout = timeout.as_secs();
        let stand = Stand::new(Plan {
            refresh: &format!("timeout = \"{timeout}s\"\nhold = \"200ms\"\n"),
            ..Plan::default()
        })
        .await;
        let id = stand.connect("acme");
        let serving = stand.serve("gateway").await;
        let caller = Link::open(serving.callers).await;
        let mut scene = Self {
            stand,
            id,
            serving,
            caller,
        };
        scene.call().await;
        scene
    }

    /// One call, which is served.
    async fn call(&mut self) {
        let answer = self.caller.get("acme", READ).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Orders a refresh.
    async fn order(&self) -> JoinSet<Answer> {
        self.order_by(Link::open(self.serving.admin).await)
    }

    fn order_by(&self, mut operator: Link) -> JoinSet<Answer> {
        let request = self.serving.request(Method::POST, ORDER);
        let mut asking = JoinSet::new();
        asking.spawn(async move { operator.request(request).await.unwrap() });
        asking
    }

    fn file(&self, name: &str) -> PathBuf {
        self.stand.home().join("data").join(name)
    }

    async fn struck(&self, fault: (&str, &str), on: Option<&str>) -> Struck {
        let on = on.map(|name| self.file(name));
        Struck::with(&self.serving, self.stand.home(), fault, on.as_deref()).await
    }

    /// Orders a refresh, and calls while it is tried.
    async fn ordered(&mut self) -> Answer {
        let asking = self.order().await;
        self.answered(asking).await
    }

    async fn answered(&mut self, mut asking: JoinSet<Answer>) -> Answer {
        loop {
            if let Some(answer) = asking.try_join_next() {
                return answer.unwrap();
            }
            self.call().await;
        }
    }

    fn spent(&self) -> u64 {
        self.stand.authorisation(self.id)["refresh_calls"]
            .as_u64()
            .unwrap()
    }

    /// Without a repair by hand, a refresh works.
    async fn refreshes_again(&mut self) {
        until("a refresh works again", SOON * 2, async || {
            (self.ordered().await.status == 200).then_some(())
        })
        .await;
        assert_eq!(self.spent(), 1);
        self.is_whole();
    }

    fn is_whole(&self) {
        self.stand.assert_no_rule_was_broken();
        assert!(salvaged(&self.file("salvage")).is_empty());
        let store = Connection::open(self.file("gateway.db")).unwrap();
        let whole: String = store
            .query_row("pragma integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(whole, "ok");
    }
}

/// The fault is there before the refresh is ordered: nothing is spent, and once it is gone all is well.
async fn nothing_is_spent(fault: (&str, &str), on: Option<&str>) {
    let mut scene = Scene::new(TIMEOUT).await;
    let struck = scene.struck(fault, on).await;
    let asking = scene.order().await;
    // as long as the refresh could be sent
    let end = Instant::now() + TIMEOUT;
    while Instant::now() < end {
        scene.call().await;
    }
    assert_eq!(scene.spent(), 0, "{fault:?} on {on:?}");
    struck.lift().await;
    asking.join_all().await;
    scene.refreshes_again().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_salvage_has_no_room_no_token_is_spent() {
    nothing_is_spent(("openat,mkdir", "ENOSPC"), None).await;
}

/// Requirement 112.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_intent_has_no_room_no_token_is_spent() {
    nothing_is_spent((SQLITE_WRITES, "ENOSPC"), None).await;
}

/// Requirement 112.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_read_only_file_system_no_token_is_spent() {
    nothing_is_spent((WRITES, "EROFS"), None).await;
}

/// Requirement 112.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_intent_cannot_be_made_durable_no_token_is_spent() {
    nothing_is_spent((SYNCS, "EIO"), Some("gateway.db-wal")).await;
}

/// Requirement 112.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_file_can_be_opened_no_token_is_spent() {
    let mut scene = Scene::new(TIMEOUT).await;
    let mut operator = Link::open(scene.serving.admin).await;
    // a link is accepted by the time that it was answered on
    let ready = scene.serving.request(Method::GET, "/readyz");
    assert_eq!(operator.request(ready).await.unwrap().status, 200);
    let pid = Some(scene.serving.pid());
    let none = |maximum| Rlimit {
        current: Some(3),
        maximum,
    };
    let usual = rustix::process::getrlimit(Resource::Nofile);
    prlimit(pid, Resource::Nofile, none(usual.maximum)).unwrap();
    let asking = scene.order_by(operator);
    let answer = scene.answered(asking).await;
    assert_ne!(answer.status, 200, "{answer:?}");
    assert_eq!(scene.spent(), 0);
    prlimit(pid, Resource::Nofile, usual).unwrap();
    scene.refreshes_again().await;
}

/// The fault comes when Pleo has applied the refresh and its answer is under way: the pair is served from memory, stored
/// once the fault is gone, and still there after a kill.
async fn nothing_is_lost(fault: (&str, &str)) {
    let mut scene = Scene::new(SOON).await;
    let late = json!({"endpoint": "token", "kind": "delay", "delay": "1m", "commit": true});
    scene.stand.order(&late);
    let asking = scene.order().await;
    scene.stand.until_first(scene.id, "generation").await;
    let struck = scene.struck(fault, None).await;
    scene.stand.pleo.call_off_faults();
    until("the pair is in memory only", SOON, async || {
        is_red(&scene.serving).await.then_some(())
    })
    .await;
    for _ in 0..20 {
        scene.call().await;
    }
    struck.lift().await;
    until("the pair is stored", SOON, async || {
        let row = scene.serving.connection("acme").await;
        let is_kept = salvaged(&scene.file("salvage")).is_empty();
        (row["state"] == "active" && row["generation"] == 1 && is_kept).then_some(())
    })
    .await;
    until("it is ready again", SOON, async || {
        (!is_red(&scene.serving).await).then_some(())
    })
    .await;
    assert_eq!(
        scene.stand.count("unauthorised"),
        0,
        "the old token went out"
    );
    assert_eq!(scene.spent(), 1);
    asking.join_all().await;
    scene.serving.kill();
    scene.serving = scene.stand.serve("again").await;
    assert_eq!(scene.serving.get("acme", READ).await.status, 200);
    let answer = scene.serving.operate(Method::POST, ORDER).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    scene.is_whole();
}

async fn is_red(serving: &Serving) -> bool {
    serving.operate(Method::GET, "/readyz").await.status == 503
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_for_which_the_disk_has_no_room_waits_in_memory() {
    nothing_is_lost(("pwrite64,openat,mkdir", "ENOSPC")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_for_which_the_store_has_no_room_waits_in_salvage() {
    nothing_is_lost((SQLITE_WRITES, "ENOSPC")).await;
}

/// Requirement 112.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_whose_fsync_fails_is_not_taken_for_stored() {
    nothing_is_lost((SYNCS, "EIO")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_that_meets_a_read_only_file_system_waits_in_memory() {
    nothing_is_lost((WRITES, "EROFS")).await;
}
