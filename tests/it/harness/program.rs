//! A child process: what it says is kept line by line, a test can wait for a line, and it never outlives the test.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{SOON, eventually};
use crate::canary;

/// What `sandbox` says on purpose: the secret of its client, which is written in its documentation.
const SHOWN: &str = "client id `sandbox`, secret `sandbox-secret`;";

/// One of the process's two streams of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

#[derive(Debug, Default)]
struct Said {
    lines: Vec<(Stream, String)>,
    open: usize,
}

#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    said: Arc<(Mutex<Said>, Condvar)>,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = Arc::new((Mutex::new(Said::default()), Condvar::new()));
        said.0.lock().unwrap().open = 2;
        listen(child.stdout.take().unwrap(), Stream::Out, Arc::clone(&said));
        listen(child.stderr.take().unwrap(), Stream::Err, Arc::clone(&said));
        Self { child, said }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The first line for which `pick` has an answer, said or still to be said.
    pub(crate) fn wait_for<T>(&self, what: &str, pick: impl Fn(Stream, &str) -> Option<T>) -> T {
        self.wait_for_new(what, &mut 0, pick)
    }

    /// The same among the lines after `place`, which is moved behind the line that was picked.
    pub(crate) fn wait_for_new<T>(
        &self,
        what: &str,
        place: &mut usize,
        pick: impl Fn(Stream, &str) -> Option<T>,
    ) -> T {
        let end = Instant::now() + SOON;
        let (said, more) = &*self.said;
        let mut said = said.lock().unwrap();
        loop {
            while let Some((stream, line)) = said.lines.get(*place) {
                *place += 1;
                if let Some(picked) = pick(*stream, line) {
                    return picked;
                }
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero() && said.open > 0,
                "waited in vain for {what}; the process said:\n{}",
                text(&said.lines)
            );
            said = more.wait_timeout(said, left).unwrap().0;
        }
    }

    /// Everything said so far.
    pub(crate) fn said(&self) -> String {
        let said = self.said.0.lock();
        text(&said.unwrap_or_else(PoisonError::into_inner).lines)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let status = eventually("the end of the process", || self.child.try_wait().unwrap());
        self.hear_out();
        assert!(!status.core_dumped(), "{status}: its memory was written");
        status
    }

    /// Until it can say no more.
    fn hear_out(&self) {
        let (said, more) = &*self.said;
        let said = said.lock().unwrap();
        let drained = more.wait_timeout_while(said, SOON, |said| said.open > 0);
        drop(drained.unwrap());
    }

    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// As if the power went: no handler runs.
    pub(crate) fn kill9(&mut self) {
        self.signal(Signal::KILL);
        self.ended();
    }

    /// The most memory that the process ever held, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// The memory that it holds now, in bytes.
    pub(crate) fn memory_now(&self) -> u64 {
        self.memory("VmRSS:")
    }

    fn memory(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(path).unwrap();
        let line = (status.lines())
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kib * 1024
    }
}

impl Drop for Program {
    #[expect(clippy::print_stderr, reason = "shown with the test that failed")]
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if thread::panicking() {
            eprintln!("--- process {} said:\n{}", self.pid(), self.said());
        } else {
            self.hear_out();
            canary::search("what a process said", self.said().replace(SHOWN, ""));
        }
    }
}

fn listen(from: impl Read + Send + 'static, stream: Stream, to: Arc<(Mutex<Said>, Condvar)>) {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            to.0.lock().unwrap().lines.push((stream, line));
            to.1.notify_all();
        }
        to.0.lock().unwrap().open -= 1;
        to.1.notify_all();
    });
}

fn text(lines: &[(Stream, String)]) -> String {
    let lines: Vec<&str> = lines.iter().map(|(_, line)| line.as_str()).collect();
    lines.join("\n")
}

/// What a command that ends by itself said.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Output {
    /// Fails unless it ended with this code and said all of these words, without a panic.
    #[track_caller]
    pub(crate) fn ends(&self, code: i32, words: &[&str]) {
        let said = format!("{}{}", self.out, self.err);
        assert_eq!(self.code, code, "{said}");
        for word in words {
            assert!(said.contains(word), "{word} in {said}");
        }
        assert!(!said.contains("panicked"), "{said}");
    }

    /// What it answered, if it succeeded.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.err);
        serde_json::from_str(&self.out).unwrap()
    }
}

/// Runs a command to its end, with this on its standard input.
pub(crate) fn run(command: &mut Command, stdin: &str, within: Duration) -> Output {
    use std::io::Write;
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // a command that reads no input closes the pipe: no failure
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let read = |from: &mut dyn Read| {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    let (done, finished) = std::sync::mpsc::channel::<()>();
    let guard = thread::spawn(move || {
        if finished.recv_timeout(within) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            let _ = kill_process(pid, Signal::KILL);
        }
    });
    let errors = thread::spawn(move || read(&mut err));
    let out = read(&mut out);
    let err = errors.join().unwrap();
    drop(done);
    guard.join().unwrap();
    let status = child.wait().unwrap();
    canary::search("what a command said", &out);
    canary::search("what a command said of errors", &err);
    let code = status.code();
    let code = code.unwrap_or_else(|| panic!("ended by {status}: {command:?}\n{out}\n{err}"));
    Output { code, out, err }
}
