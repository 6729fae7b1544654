//! The wall clock is wrong, or is moved while the gateway runs: lives of tokens are counted on another clock (design.md
//! R10), so callers do not notice. `libfaketime` moves the real binary's wall clock and leaves the other one alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tokio::time::Instant;

use crate::stand::caller::Link;
use crate::stand::serving::Serving;
use crate::stand::{Plan, READ, SOON, Stand, until};

/// Life of the sandbox's access tokens, and how long calls go on after the clock was moved: a few refreshes.
const LIFE: Duration = Duration::from_secs(8);
const AFTERWARDS: Duration = Duration::from_secs(20);
/// Where Debian puts it, for every kind of machine.
const LIBRARIES: &str = "/usr/lib";
const LIBRARY: &str = "faketime/libfaketime.so.1";

fn library() -> PathBuf {
    (fs::read_dir(LIBRARIES).unwrap())
        .map(|entry| entry.unwrap().path().join(LIBRARY))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("libfaketime is not installed: run tests/setup"))
}

/// A gateway whose wall clock goes by what stands in the file: an offset in seconds.
fn shifted(stand: &Stand, file: &Path) -> Command {
    let mut command = stand.command(&["serve"]);
    command
        .env("LD_PRELOAD", library())
        .env("FAKETIME_TIMESTAMP_FILE", file)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("NO_FAKE_STAT", "1");
    command
}

struct Scene {
    stand: Stand,
    id: u64,
    clock: PathBuf,
}

impl Scene {
    async fn new() -> Self {
        let stand = Stand::new(Plan {
            access_ttl: LIFE,
            refresh: "timeout = \"10s\"\nhold = \"500ms\"\n",
            ..Plan::default()
        })
        .await;
        let id = stand.connect("acme");
        let clock = stand.home().join("clock");
        let scene = Self { stand, id, clock };
        scene.shift(0);
        scene
    }

    /// A file that is replaced: a reader sees the old offset or the new one.
    fn shift(&self, seconds: i64) {
        let new = self.clock.with_extension("new");
        fs::write(&new, format!("{seconds:+}\n")).unwrap();
        fs::rename(new, &self.clock).unwrap();
    }

    async fn serve(&self) -> Serving {
        let command = shifted(&self.stand, &self.clock);
        self.stand.serve_as("shifted", command).await
    }

    /// Calls across a few refreshes: every one is served, and Pleo is not asked more often than tokens die.
    async fn goes_on(&self, serving: &Serving) {
        let before = self.generation();
        let mut link = Link::open(serving.callers).await;
        let end = Instant::now() + AFTERWARDS;
        while Instant::now() < end {
            let answer = link.get("acme", READ).await.unwrap();
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        let refreshes = self.generation() - before;
        assert!((1..=8).contains(&refreshes), "{refreshes} refreshes");
        self.stand.assert_no_rule_was_broken();
    }

    fn generation(&self) -> u64 {
        let authorisation = self.stand.authorisation(self.id);
        authorisation["generation"].as_u64().unwrap()
    }

    /// True if the gateway's own wall clock is so far from ours: its tokens expire then, as it says.
    async fn is_shifted(&self, serving: &Serving, seconds: i64) {
        until("the gateway's clock is shifted", SOON, async || {
            let row = serving.connection("acme").await;
            let at = row["access_expires_at"]
                .as_str()?
                .parse::<jiff::Timestamp>();
            let off = at.unwrap().as_second() - jiff::Timestamp::now().as_second();
            (off.abs_diff(seconds) < 60).then_some(())
        })
        .await;
    }
}

const HOUR: i64 = 60 * 60;
const TEN_YEARS: i64 = 10 * 365 * 24 * HOUR;

/// Moves the clock of a gateway that runs, and back.
async fn moved_while_it_runs(seconds: i64) {
    let scene = Scene::new().await;
    let serving = scene.serve().await;
    scene.goes_on(&serving).await;
    scene.shift(seconds);
    scene.goes_on(&serving).await;
    scene.is_shifted(&serving, seconds).await;
    scene.shift(0);
    scene.goes_on(&serving).await;
    scene.is_shifted(&serving, 0).await;
}

/// Starts a gateway with a wrong clock on a store that was written with the right one, and the other way round.
async fn wrong_at_the_start(seconds: i64) {
    let scene = Scene::new().await;
    scene.shift(seconds);
    let serving = scene.serve().await;
    scene.goes_on(&serving).await;
    scene.is_shifted(&serving, seconds).await;
    serving.stop().await;
    scene.shift(0);
    let serving = scene.serve().await;
    scene.goes_on(&serving).await;
    scene.is_shifted(&serving, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_put_forward_an_hour_while_it_runs() {
    moved_while_it_runs(HOUR).await;
}

/// Requirement 104.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_put_back_an_hour_while_it_runs() {
    moved_while_it_runs(-HOUR).await;
}

/// Requirement 104.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_put_forward_ten_years_while_it_runs() {
    moved_while_it_runs(TEN_YEARS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_put_back_ten_years_while_it_runs() {
    moved_while_it_runs(-TEN_YEARS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_ten_years_ahead_at_the_start() {
    wrong_at_the_start(TEN_YEARS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_ten_years_behind_at_the_start() {
    wrong_at_the_start(-TEN_YEARS).await;
}
