//! What the code under test logs inside the tests' own process: the sandbox of a stand, and rooms that a test builds itself.

use std::fmt::{Debug, Write as _};
use std::sync::{Mutex, Once, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use super::STEMS_NET;

static FOUND: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Listens from now on, until the process ends.
pub(super) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let ours = Targets::new().with_target("pleo_gateway", tracing::Level::TRACE);
        let subscriber = tracing_subscriber::registry().with(Listener(keep).with_filter(ours));
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

/// The first event in which there was a secret. Whoever logged it may be on a thread that no test waits for: every later
/// search fails.
pub(super) fn first() -> Option<String> {
    let found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    found.first().cloned()
}

pub(super) fn keep(found: String) {
    let mut all = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    all.push(found);
}

/// Hands on every event in which there is a secret.
struct Listener(fn(String));

impl<S: Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut words = Words(format!("an event of {}:", event.metadata().target()));
        event.record(&mut words);
        if STEMS_NET.first_in(words.0.as_bytes()).is_some() {
            (self.0)(words.0);
        }
    }
}

struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing into a String does not fail.
        let _ = write!(self.0, " {field}={value:?}");
    }
}

#[test]
fn an_event_with_a_secret_is_heard() {
    static HEARD: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let keep = |found| HEARD.lock().unwrap().push(found);
    let subscriber = tracing_subscriber::registry().with(Listener(keep));
    tracing::subscriber::with_default(subscriber, || {
        tracing::debug!(tenant = "acme", "a refresh");
        tracing::debug!(answer = ?b"sandbox_refresh_1", "a refresh");
    });
    let heard = HEARD.lock().unwrap();
    assert_eq!(heard.len(), 1, "{heard:?}");
}
