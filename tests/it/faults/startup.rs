//! `kill -9` while a store is made, while many pairs are imported, while a sealing key is made: the same command, run
//! once more, does what it should.

use std::fmt::Write as _;
use std::fs::{self, File};

use super::halted::{Deed, calls, halted, points, run, tried};
use crate::stand::{Plan, Stand, is_long};

const TENANTS: [&str; 6] = ["one", "two", "three", "four", "five", "six"];

async fn stand() -> Stand {
    let stand = Stand::new(Plan {
        tenants: &TENANTS,
        ..Plan::default()
    })
    .await;
    let mut lines = String::new();
    for tenant in TENANTS {
        let _ = writeln!(lines, "{}", stand.line(tenant));
    }
    fs::write(stand.home().join("pairs.jsonl"), lines).unwrap();
    stand
}

/// Kills the command at its nth call that counts; the calls it made. It may read the pairs.
async fn killed(stand: &Stand, words: &[&str], nth: usize) -> Vec<String> {
    let log = stand.home().join("calls");
    let nth = nth.to_string();
    let mut command = halted(
        &stand.command(words),
        Deed::Kill,
        &nth,
        "gateway.toml",
        &log,
    );
    command.stdin(File::open(stand.home().join("pairs.jsonl")).unwrap());
    run(command).await;
    calls(&log)
}

/// Kills the command at many calls, each time in a new folder, and looks at what a second run makes of it. How many.
fn killed_anywhere(words: &[&str], step: usize, second_run: fn(&Stand)) -> String {
    let undisturbed = async |_| killed(&stand().await, words, 0).await;
    let calls = tried(vec![0], undisturbed).remove(0).1.unwrap();
    let points = points(&calls, step, is_long());
    let table = format!("{words:?}: {} of {} points", points.len(), calls.len());
    let trial = async |nth| {
        let stand = stand().await;
        killed(&stand, words, nth).await;
        second_run(&stand);
    };
    for (nth, ended) in tried(points, trial) {
        let call = calls.get(nth - 1);
        ended.unwrap_or_else(|why| panic!("{words:?} at {nth}, about {call:?}: {why}"));
    }
    table
}

#[test]
fn long_a_store_that_is_being_made_when_its_maker_is_killed() {
    let words = ["connections", "list", "--json"];
    let table = killed_anywhere(&words, 60, |stand| {
        let list = stand.run(&["connections", "list", "--json"], "").fine();
        assert_eq!(list.json(), serde_json::json!([]));
        stand.connect("one");
    });
    println!("{table}");
}

#[test]
fn long_an_import_that_is_killed_is_run_again() {
    let words = ["connections", "import", "--file", "-", "--replace"];
    let words = [&words[..], &["--allow-shared-company"]].concat();
    let table = killed_anywhere(&words, 150, |stand| {
        let words = ["connections", "import", "--file", "-", "--replace"];
        let words = [&words[..], &["--allow-shared-company"]].concat();
        let pairs = fs::read_to_string(stand.home().join("pairs.jsonl")).unwrap();
        stand.run(&words, &pairs).fine();
        for tenant in TENANTS {
            stand.run(&["connections", "refresh", tenant], "").fine();
        }
        assert!(stand.broken().is_empty(), "{:?}", stand.broken());
    });
    println!("{table}");
}

#[test]
fn long_a_sealing_key_is_there_whole_or_not_at_all() {
    let table = killed_anywhere(&["keys", "new"], 20, |stand| {
        let again = stand.run(&["keys", "new"], "");
        // 78: it is there already
        assert!(matches!(again.code, Some(0 | 78)), "{again:?}");
        stand.connect("one");
    });
    println!("{table}");
}
