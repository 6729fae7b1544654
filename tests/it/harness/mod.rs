//! What the tests stand on: the real binary as a child process, the sandbox as another, small clients and upstreams of
//! their own that show bytes. No test waits for time to pass: every wait is for an event and has a deadline.

pub(crate) mod authority;
pub(crate) mod client;
pub(crate) mod frames;
pub(crate) mod gateway;
pub(crate) mod link;
pub(crate) mod program;
pub(crate) mod sandbox;
pub(crate) mod upstream;

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long any one event may take on a busy machine. Nobody waits so long where all is well.
pub(crate) const SOON: Duration = Duration::from_mins(1);

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_pleo-gateway");

/// Asks until there is an answer; fails with what was waited for.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < SOON, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A port that nobody listens on, and that the system gives to nobody who asks for just any: those are above 32767. Runs side
/// by side have ids that are neighbours and take ports that are not.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = u16::try_from(std::process::id() * 677 % 10_000).unwrap();
    eventually("a free port", || {
        let place = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        let port = 20_000 + place;
        TcpListener::bind(("127.0.0.1", port))
            .is_ok()
            .then_some(port)
    })
}

/// A file of this repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}
