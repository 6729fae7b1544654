//! A hundred thousand refreshes under random faults, kills and outages of the store: no authorisation is lost, no token
//! is presented twice, no call fails while its token lives. The short form makes some hundreds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Method;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::doors::Doors;
use super::fate::{Fate, LOSING, RECOVERABLE};
use super::load::{Calls, Load, Tally};
use super::relay::Mix;
use super::site::Site;
use crate::stand::caller::Link;
use crate::stand::dice::Dice;
use crate::stand::hog::Hog;
use crate::stand::serving::Serving;
use crate::stand::{Plan, SOON, is_long, raise_file_limit, until};

/// So long that no answer comes too late because the machine is busy, which would lose it, and no call waits for it in vain.
const TIMES: &str = "timeout = \"5s\"\nadoption_grace = \"5s\"\nhold = \"4s\"\nconcurrency = 64\n";
/// Deadline and evidence of a last fault.
const SETTLED_WITHIN: Duration = Duration::from_mins(1);
/// Before a refresh that did not work is asked for again.
const PAUSE: Duration = Duration::from_millis(500);

struct Size {
    tenants: usize,
    refreshes: u64,
    callers: usize,
    /// Of a thousand requests to the token endpoint, how many meet a fault.
    faulty: u64,
    /// Kills and outages, by turns.
    events: u64,
}

/// A gateway that is kept running, and tenants that refresh all the time.
struct Marathon {
    site: Arc<Site>,
    names: Arc<[String]>,
    size: Size,
    doors: watch::Sender<Option<Doors>>,
    done: AtomicU64,
    answers_lost: AtomicU64,
}

impl Marathon {
    async fn prepare(size: Size, fates: Vec<Fate>) -> Arc<Self> {
        raise_file_limit();
        let names: Vec<String> = (0..size.tenants).map(|n| format!("t{n}")).collect();
        let listed: Vec<&str> = names.iter().map(String::as_str).collect();
        let place = Site::new(Plan {
            tenants: &listed,
            refresh: TIMES,
            more: "[log]\naccess = false\n",
            ..Plan::default()
        })
        .await;
        place.connect(&listed, None);
        let dice = Dice::new();
        println!("seed {}", dice.seed());
        place.relay.books().mix = Some(Mix {
            dice,
            per_mille: size.faulty,
            fates,
        });
        Arc::new(Self {
            site: Arc::new(place),
            names: names.into(),
            size,
            doors: watch::Sender::new(None),
            done: AtomicU64::new(0),
            answers_lost: AtomicU64::new(0),
        })
    }

    async fn run(self: &Arc<Self>) -> Tally {
        let serving = self.site.stand.serve("serve-0").await;
        self.doors.send_replace(Some(Doors::of(&serving)));
        let begun = Instant::now();
        let load = Load::start(&self.calls(), self.size.callers);
        let mut refreshers = JoinSet::new();
        for place in 0..self.names.len() {
            let marathon = self.clone();
            refreshers.spawn(async move { marathon.refresh(place).await });
        }
        let serving = self.conduct(serving).await;
        refreshers.join_all().await;
        let tally = load.end().await;
        self.report(begun.elapsed(), &tally);
        self.judge(&serving, &tally).await;
        tally
    }

    fn calls(&self) -> Calls {
        Calls {
            site: self.site.clone(),
            doors: self.doors.subscribe(),
            tenants: self.names.clone(),
            pause: Duration::from_millis(20),
        }
    }

    fn is_done(&self) -> bool {
        self.done.load(Ordering::Relaxed) >= self.size.refreshes
    }

    /// One tenant's refreshes, one after the other, whatever happens; at the end until nothing is undecided.
    async fn refresh(&self, place: usize) {
        let tenant = &self.names[place];
        let mut doors = self.doors.subscribe();
        let mut fine = false;
        while !(fine && self.is_done()) {
            let gateway = doors
                .wait_for(Option::is_some)
                .await
                .unwrap()
                .clone()
                .unwrap();
            let Some(mut link) = gateway.open_admin().await else {
                sleep(PAUSE).await;
                continue;
            };
            while !(fine && self.is_done()) {
                let path = format!("/v1/connections/{tenant}/refresh");
                let Some(answer) = gateway.ask(&mut link, Method::POST, &path).await else {
                    fine = false;
                    sleep(PAUSE).await;
                    break;
                };
                self.site.relay.books().settle(self.site.id(tenant));
                fine = answer.status == 200;
                match answer.status {
                    200 => drop(self.done.fetch_add(1, Ordering::Relaxed)),
                    409 => self.connect_again(tenant, &gateway, &mut link).await,
                    503 => sleep(PAUSE).await,
                    status => panic!("{tenant}: {status} {:?}", answer.body),
                }
            }
        }
    }

    /// A connection may end only because Pleo applied a refresh whose answer was lost, and says so.
    async fn connect_again(&self, tenant: &str, gateway: &Doors, link: &mut Link) {
        let path = format!("/v1/connections/{tenant}");
        let answer = gateway.ask(link, Method::GET, &path).await.unwrap();
        let row = answer.json();
        let account = self.site.relay.account(self.site.id(tenant));
        assert_eq!(account.lost, 1, "{tenant} ended: {row} {account:?}");
        assert_eq!(row["reason"], "answer_lost", "{row}");
        self.answers_lost.fetch_add(1, Ordering::Relaxed);
        self.site.connect(&[tenant], None);
    }

    /// Kills and outages, spread over the run.
    async fn conduct(&self, mut serving: Serving) -> Serving {
        for event in 0..self.size.events {
            let at = self.size.refreshes * (event + 1) / (self.size.events + 1);
            while self.done.load(Ordering::Relaxed) < at {
                sleep(Duration::from_millis(50)).await;
            }
            if event.is_multiple_of(2) {
                serving = self.kill(serving, event).await;
            } else {
                let hog = tokio::task::block_in_place(|| Hog::of(&self.site.stand));
                // Longer than a write waits for others: 5 s.
                sleep(Duration::from_secs(7)).await;
                hog.let_go();
            }
        }
        serving
    }

    /// `kill -9` while requests are on their way and none has reached Pleo without being dealt with.
    async fn kill(&self, serving: Serving, event: u64) -> Serving {
        let relay = &self.site.relay;
        relay.close_gate();
        until("what was sent is dealt with", SOON * 2, async || {
            (relay.books().unsettled() == 0).then_some(())
        })
        .await;
        let cut = relay.books().at_the_gate();
        self.doors.send_replace(None);
        serving.kill();
        relay.open_gate().await;
        println!("a kill cut {cut} requests");
        let name = format!("serve-{}", event + 1);
        let serving = self.site.stand.serve(&name).await;
        self.doors.send_replace(Some(Doors::of(&serving)));
        serving
    }

    fn report(&self, took: Duration, tally: &Tally) {
        let done = self.done.load(Ordering::Relaxed);
        let books = self.site.relay.books();
        println!(
            "{done} refreshes of {} tenants in {took:.1?}: {:.0}/s; {} calls, {} failed, {} cut by kills, {} without a pair",
            self.names.len(),
            f64::from(u32::try_from(done).unwrap()) / took.as_secs_f64(),
            tally.calls,
            tally.failed.len(),
            tally.cut,
            tally.without_a_pair,
        );
        println!("requests met: {:?}", books.met);
    }

    /// Pleo's view of every tenant is the row's, and nobody broke a rule.
    async fn judge(&self, serving: &Serving, tally: &Tally) {
        tally.fine();
        let rows = until("nothing is undecided", SETTLED_WITHIN, async || {
            let rows = serving.operate(Method::GET, "/v1/connections").await.json();
            let rows = rows["connections"].as_array().unwrap().clone();
            rows.iter()
                .all(|row| row["state"] == "active")
                .then_some(rows)
        })
        .await;
        assert_eq!(rows.len(), self.names.len());
        let state = self.site.stand.pleo.state();
        let truths = state["authorisations"].as_array().unwrap();
        for row in &rows {
            let id = self.site.id(row["tenant"].as_str().unwrap());
            let truth: &Value = truths.iter().find(|truth| truth["id"] == id).unwrap();
            assert_eq!(truth["alive"], true, "{row} {truth}");
            assert_eq!(truth["generation"], row["generation"], "{row} {truth}");
            assert_eq!(truth["concurrent_refreshes"], 1, "{truth}");
        }
        let dead = truths.iter().filter(|truth| truth["alive"] != true).count();
        assert_eq!(dead, 0, "authorisations ended by a replay");
        let books = self.site.relay.books();
        let detected = self.answers_lost.load(Ordering::Relaxed);
        assert_eq!(books.total(|account| account.lost), detected);
        assert_eq!(books.total(|account| account.pressed), 0);
        self.site.stand.assert_no_rule_was_broken();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_a_hundred_thousand_refreshes_lose_nothing_to_faults_kills_and_outages() {
    let size = if is_long() {
        Size {
            tenants: 400,
            refreshes: 100_000,
            callers: 16,
            faulty: 40,
            events: 20,
        }
    } else {
        Size {
            tenants: 40,
            refreshes: 400,
            callers: 4,
            faulty: 60,
            events: 2,
        }
    };
    let marathon = Marathon::prepare(size, RECOVERABLE.to_vec()).await;
    let tally = marathon.run().await;
    assert_eq!(tally.without_a_pair, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_every_lost_answer_is_found_out_and_no_other_connection_ends() {
    let size = if is_long() {
        Size {
            tenants: 200,
            refreshes: 10_000,
            callers: 16,
            faulty: 40,
            events: 2,
        }
    } else {
        Size {
            tenants: 30,
            refreshes: 150,
            callers: 4,
            faulty: 100,
            events: 0,
        }
    };
    let fates = RECOVERABLE.into_iter().chain(LOSING).collect();
    let marathon = Marathon::prepare(size, fates).await;
    marathon.run().await;
    let lost = marathon.answers_lost.load(Ordering::Relaxed);
    println!("{lost} answers were lost, and all of them found out");
    assert!(lost > 0);
}
