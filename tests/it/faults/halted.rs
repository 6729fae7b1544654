//! Programs under `halt.py`: killed or frozen when they enter a certain system call. What follows is not here.

use std::any::Any;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};
use std::thread;

use tokio::runtime::Builder;
use tokio::task::spawn_blocking;

use crate::canary;

/// Points that are tried at the same time: most of each is waiting.
const AT_ONCE: usize = 8;
/// Where the request to the token endpoint leaves, in the log.
pub(super) const REQUEST: &str = "sendto POST /oauth/token";

/// What is done to the program.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deed {
    Kill,
    /// Until the signal `USR2`.
    Freeze,
}

/// The same command, halted at the place and counted from where `halt.py` describes; it writes every call that counts
/// to `log`.
pub(super) fn halted(command: &Command, deed: Deed, at: &str, from: &str, log: &Path) -> Command {
    let mut halted = Command::new("python3");
    let deed = match deed {
        Deed::Kill => "kill",
        Deed::Freeze => "freeze",
    };
    halted
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/it/faults/halt.py"
        ))
        .args([deed, at])
        .arg(log)
        .arg(from)
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => halted.env(name, value),
            None => halted.env_remove(name),
        };
    }
    halted
}

/// The calls that counted, oldest first.
pub(super) fn calls(log: &Path) -> Vec<String> {
    let text = fs::read_to_string(log).unwrap_or_default();
    (text.lines())
        .filter(|line| line.contains(' '))
        .map(str::to_owned)
        .collect()
}

/// True if the log says so on a line of its own.
pub(super) fn says(log: &Path, word: &str) -> bool {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines().any(|line| line == word)
}

/// Runs a program to its end.
pub(super) async fn run(mut command: Command) -> Output {
    let output = spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    canary::search("what a command said", &output.stdout);
    canary::search("what a command said of errors", &output.stderr);
    output
}

/// Every point of a run whose calls these are, in the long form. Else the first and last of each kind of call, and
/// every `step`-th.
pub(super) fn points(calls: &[String], step: usize, is_long: bool) -> Vec<usize> {
    let kind = |call: &String| call.split(' ').next().map(str::to_owned);
    let is_chosen = |index: usize, call: &String| {
        let alike = |other: &&String| kind(other) == kind(call);
        is_long
            || index.is_multiple_of(step)
            || calls.iter().take(index).find(alike).is_none()
            || calls.iter().skip(index + 1).find(alike).is_none()
    };
    (calls.iter().enumerate())
        .filter(|(index, call)| is_chosen(*index, call))
        .map(|(index, _)| index + 1)
        .collect()
}

/// One test at a time tries its points: more would only wait for processors, and refreshes have deadlines.
static ALONE: Mutex<()> = Mutex::new(());

/// Tries every point, several at the same time, each in a runtime of its own. A trial that fails says why.
pub(super) fn tried<T: Send>(
    points: Vec<usize>,
    trial: impl AsyncFn(usize) -> T + Sync,
) -> Vec<(usize, Result<T, String>)> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let waiting = Mutex::new(points.into_iter());
    let ended = Mutex::new(Vec::new());
    let one = |nth| {
        let mut runtime = Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
        catch_unwind(AssertUnwindSafe(|| runtime.block_on(trial(nth))))
            .map_err(|panic| words(&*panic))
    };
    let next = || waiting.lock().unwrap().next();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(nth) = next() {
                    let came = one(nth);
                    ended.lock().unwrap().push((nth, came));
                }
            });
        }
    });
    ended.into_inner().unwrap()
}

fn words(panic: &(dyn Any + Send)) -> String {
    let said = panic.downcast_ref::<String>().cloned();
    said.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_default()
}
