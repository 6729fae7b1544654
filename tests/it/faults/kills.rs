//! `kill -9` at every system call of one refresh: the connection works again without a repair, or Pleo's answer died with
//! the process, and then the gateway says so. Kills at random moments of load are in `kill`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use http::Method;
use rusqlite::Connection;
use rustix::process::Signal;

use super::halted::{Deed, REQUEST, calls, halted, points, run, says, tried};
use crate::stand::caller::Link;
use crate::stand::serving::Serving;
use crate::stand::{Plan, READ, SOON, Stand, Store, is_long, salvaged, until};

/// An attempt's deadline (timeout + 5 s), evidence 5 s apart, its adoption at worst, and a machine under load.
const BACK_WITHIN: Duration = Duration::from_mins(1);
const ORDER: &str = "/v1/connections/acme/refresh";

/// Which process refreshes, and is killed.
#[derive(Clone, Copy, Debug)]
enum Victim {
    /// `connections refresh`.
    Command,
    /// `serve`, by the operators' door.
    Gateway,
}

/// What is tried at every point.
type Run = (Victim, Store<'static>);

/// The first file that belongs to the store.
fn first_file(store: Store<'_>) -> &'static str {
    match store {
        Store::Sqlite => "gateway.db",
        Store::Postgres | Store::At(_) => "sealing.key",
    }
}

/// How a connection came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Came {
    NotApplied,
    Committed,
    Salvaged,
    AnswerLost,
}

async fn stand(store: Store<'_>) -> (Stand, u64) {
    let stand = Stand::new(Plan {
        store,
        refresh: "timeout = \"3s\"\nadoption_grace = \"5s\"\nhold = \"200ms\"\n",
        ..Plan::default()
    })
    .await;
    let id = stand.connect("acme");
    (stand, id)
}

/// One refresh, killed at its nth call; the calls it made.
async fn refresh(stand: &Stand, (victim, store): Run, nth: usize) -> Vec<String> {
    let (log, nth) = (stand.home().join("calls"), nth.to_string());
    match victim {
        Victim::Command => {
            let command = stand.command(&["connections", "refresh", "acme"]);
            run(halted(&command, Deed::Kill, &nth, first_file(store), &log)).await;
            calls(&log)
        }
        Victim::Gateway => {
            let command = stand.command(&["serve"]);
            let command = halted(&command, Deed::Kill, &nth, "signal", &log);
            let serving = stand.serve_as("victim", command).await;
            let mut link = Link::open(serving.admin).await;
            serving.signal(Signal::USR1);
            // at the first call it may be gone before anybody can say that calls count
            until("calls count", SOON, async || {
                (says(&log, "counting") || !calls(&log).is_empty()).then_some(())
            })
            .await;
            // A gateway that was killed does not answer.
            let _ = link.request(serving.request(Method::POST, ORDER)).await;
            let made = calls(&log);
            serving.kill();
            made
        }
    }
}

/// True if the new pair was durable: its commit's fsync, the first after the request, was over; or, where another machine
/// makes it durable, the process had come to its orderly end.
fn is_durable(calls: &[String]) -> bool {
    let is_sync = |call: &String| call.contains("sync ") && call.ends_with("-wal");
    let is_end = |call: &String| call.starts_with("unlink") && call.contains(".lock");
    let mut before_kill = calls.iter().rev().skip(1).rev();
    before_kill.any(|call| call.starts_with(REQUEST))
        && before_kill.any(|call| is_sync(call) || is_end(call))
}

async fn killed_at(run: Run, nth: usize) -> Came {
    let (stand, id) = stand(run.1).await;
    let made = refresh(&stand, run, nth).await;
    let serving = stand.serve_beside("healthy").await;
    let came = came_back(&stand, &serving, id, &made).await;
    stand.assert_no_rule_was_broken();
    assert!(salvaged(&stand.home().join("data/salvage")).is_empty());
    if matches!(run.1, Store::Sqlite) {
        let store = Connection::open(stand.home().join("data/gateway.db")).unwrap();
        let whole: String = store
            .query_row("pragma integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(whole, "ok");
    }
    came
}

async fn came_back(stand: &Stand, serving: &Serving, id: u64, made: &[String]) -> Came {
    let applied = || stand.authorisation(id)["generation"].clone();
    let row = until("the connection is resolved", BACK_WITHIN, async || {
        let row = serving.connection("acme").await;
        let answer = serving.get("acme", READ).await;
        // R11: its token lives
        assert!(applied() != 0 || answer.status == 200, "{answer:?} {row}");
        let is_back = row["state"] == "active" && answer.status == 200;
        (is_back || row["state"] == "reauthorization_required").then_some(row)
    })
    .await;
    let applied = applied();
    if row["state"] == "reauthorization_required" {
        assert_eq!(row["reason"], "answer_lost", "{row}");
        assert_eq!((&applied, &row["generation"]), (&1.into(), &0.into()));
        assert!(!is_durable(made), "a durable pair was lost: {made:?}");
        return Came::AnswerLost;
    }
    assert_eq!(applied, row["generation"], "{row}");
    until("its refresh token works", SOON * 2, async || {
        let again = serving.operate(Method::POST, ORDER).await;
        (again.status == 200).then_some(())
    })
    .await;
    let outcomes = stand.outcomes("acme");
    match applied.as_u64() {
        Some(0) => Came::NotApplied,
        _ if outcomes.iter().any(|outcome| outcome == "salvaged") => Came::Salvaged,
        _ => Came::Committed,
    }
}

fn name(store: Store<'_>) -> &'static str {
    match store {
        Store::Sqlite => "SQLite",
        Store::Postgres | Store::At(_) => "PostgreSQL",
    }
}

/// What became of the points that were tried.
struct Table {
    run: Run,
    calls: Vec<String>,
    came: BTreeMap<Came, u64>,
    /// A point, its call, and what was promised and not kept: lost, or to be repaired by hand.
    lost: Vec<(usize, String)>,
}

impl Table {
    fn is_well(&self) {
        assert!(self.lost.is_empty(), "{self}");
        for came in [Came::NotApplied, Came::Committed] {
            assert!(self.came.contains_key(&came), "{self}");
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |came| self.came.get(&came).copied().unwrap_or(0);
        let tried = self.came.values().sum::<u64>() + self.lost.len() as u64;
        write!(
            f,
            "{:?} on {}: {tried} of {} points: {} not applied, {} committed, {} salvaged, {} answers lost, {} lost, 0 repairs",
            self.run.0,
            name(self.run.1),
            self.calls.len(),
            count(Came::NotApplied),
            count(Came::Committed),
            count(Came::Salvaged),
            count(Came::AnswerLost),
            self.lost.len(),
        )?;
        for (nth, why) in &self.lost {
            let call = self.calls.get(nth - 1).map_or("", String::as_str);
            write!(f, "\n  {nth}, about {call}: {why}")?;
        }
        Ok(())
    }
}

/// The calls between the intent and the end of the commit, where most is at stake: about the request, every one.
fn at_stake(calls: &[String]) -> Vec<usize> {
    let sent = calls.iter().position(|call| call.starts_with(REQUEST));
    let sent = sent.unwrap() + 1;
    (sent - 2..sent + 6)
        .chain((sent + 6..calls.len().min(sent + 60)).step_by(9))
        .collect()
}

fn kill_at_every_call(run: Run, step: usize) -> Table {
    let undisturbed = async |_| refresh(&stand(run.1).await.0, run, 0).await;
    let calls = tried(vec![0], undisturbed).remove(0).1.unwrap();
    let mut at = points(&calls, step, is_long());
    at.extend(at_stake(&calls));
    at.sort_unstable();
    at.dedup();
    let mut table = Table {
        run,
        calls,
        came: BTreeMap::new(),
        lost: Vec::new(),
    };
    for (nth, came) in tried(at, async |nth| killed_at(run, nth).await) {
        match came {
            Ok(came) => *table.came.entry(came).or_default() += 1,
            Err(why) => table.lost.push((nth, why)),
        }
    }
    table
}

#[test]
fn long_a_command_that_refreshes_may_be_killed_at_any_call() {
    let table = kill_at_every_call((Victim::Command, Store::Sqlite), 40);
    println!("{table}");
    table.is_well();
}

/// Requirement 96: kill -9 at every system call.
#[test]
fn long_a_gateway_that_refreshes_may_be_killed_at_any_call() {
    let table = kill_at_every_call((Victim::Gateway, Store::Sqlite), 40);
    println!("{table}");
    table.is_well();
}

#[test]
fn long_a_command_on_postgres_may_be_killed_at_any_call() {
    let table = kill_at_every_call((Victim::Command, Store::Postgres), 40);
    println!("{table}");
    table.is_well();
}

#[test]
fn long_a_gateway_on_postgres_may_be_killed_at_any_call() {
    let table = kill_at_every_call((Victim::Gateway, Store::Postgres), 40);
    println!("{table}");
    table.is_well();
}
