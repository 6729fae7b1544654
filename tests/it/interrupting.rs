//! Signals to commands: interrupting one loses no answer of Pleo's, and waits for nothing else.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::stand::{Plan, SOON, Stand, until};

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn ended(child: &mut Child) -> ExitStatus {
    tokio::task::block_in_place(|| child.wait()).unwrap()
}

/// Interrupts a command, which says that it has heard it and what it waits for; then Pleo answers.
async fn interrupted(stand: &Stand, child: &Child, signal: Signal) {
    send(child, signal);
    until("it says what it waits for", SOON, async || {
        let mut files = fs::read_dir(stand.home()).unwrap().flatten();
        let says = |path: PathBuf| {
            path.extension().is_some_and(|end| end == "stderr")
                && fs::read_to_string(path).unwrap().contains("Ending: ")
        };
        files.any(|file| says(file.path())).then_some(())
    })
    .await;
    stand.pleo.call_off_faults();
}

/// A refresh that Pleo has applied, and answers once faults are called off.
async fn refreshing(stand: &Stand) -> Child {
    let id = stand.connect("acme");
    stand.order(&json!({"endpoint": "token", "kind": "delay", "delay": "1m", "commit": true}));
    let mut command = stand.command(&["connections", "refresh", "acme"]);
    let child = command.spawn().unwrap();
    stand.until_first(id, "refresh_calls").await;
    child
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_who_interrupts_a_refresh_loses_no_answer() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let stand = Stand::new(Plan::default()).await;
        let mut child = refreshing(&stand).await;
        interrupted(&stand, &child, signal).await;
        assert_eq!(ended(&mut child).code(), Some(code));
        let row = stand.run(&["connections", "show", "acme", "--json"], "");
        let row = row.fine().json();
        assert_eq!(
            (&row["state"], &row["generation"]),
            (&json!("active"), &json!(1))
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_a_command_at_once() {
    let stand = Stand::new(Plan::default()).await;
    let mut child = refreshing(&stand).await;
    // Two that came at once would be one.
    while child.try_wait().unwrap().is_none() {
        send(&child, Signal::INT);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let row = stand.run(&["connections", "show", "acme", "--json"], "");
    assert_ne!(
        row.fine().json()["generation"],
        1,
        "it waited for the answer"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_waits_for_its_input_can_be_interrupted() {
    for words in [
        &["connections", "import", "acme"][..],
        &["connections", "import", "--file", "-"],
        &["connections", "set-key", "acme"],
    ] {
        let stand = Stand::new(Plan::default()).await;
        let mut command = stand.command(words);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let store = stand.home().join("data/salvage");
        until("it is open", SOON, async || {
            let names = fs::read_dir(&store).ok()?;
            let is_lock =
                |name: &std::path::Path| name.extension().is_some_and(|end| end == "lock");
            (names.flatten().any(|name| is_lock(&name.path()))).then_some(())
        })
        .await;
        let _pipe = child.stdin.take();
        send(&child, Signal::INT);
        assert_eq!(ended(&mut child).code(), Some(130), "{words:?}");
    }
}

/// Pleo has forgotten the installation: to end half way would leave a connection that nobody can end that way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_uninstall_that_is_interrupted_ends_the_connection_here_too() {
    let stand = Stand::new(Plan::default()).await;
    let id = stand.connect("acme");
    stand.order(&json!({"endpoint": "api", "kind": "delay", "delay": "1m", "commit": true}));
    let words = ["connections", "disconnect", "acme", "--uninstall"];
    let mut child = stand.command(&words).spawn().unwrap();
    until("Pleo has forgotten the installation", SOON, async || {
        (stand.authorisation(id)["alive"] == false).then_some(())
    })
    .await;
    interrupted(&stand, &child, Signal::TERM).await;
    assert_eq!(ended(&mut child).code(), Some(143));
    let row = stand.run(&["connections", "show", "acme", "--json"], "");
    assert_eq!(row.fine().json()["state"], "disconnected");
}
