//! Every metric: name, labels and help text (contract.md section 6). No label is unbounded: never a path, never text that a
//! caller chose. Counters are registered without `_total`, which the encoder adds.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

use super::histogram::{Durations, OVERHEAD};
use super::process::Usage;
use super::words;
use crate::clock::Timestamp;
use crate::model::connection::State;
use crate::model::ids::{RouteName, TenantName};
use crate::model::ledger::LedgerOutcome;
use crate::model::scope::Scope;

/// The content type of [`Metrics::encode`]; Prometheus refuses the text under another.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Seconds = Gauge<f64, AtomicU64>;
type Labels<const N: usize> = [(&'static str, Cow<'static, str>); N];
type By<const N: usize, M> = Family<Labels<N>, M>;

/// All metrics of one process. Clones share the counts.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<(Registry, Meters)>);

#[derive(Debug)]
struct Meters {
    requests: By<4, Counter>,
    request_duration: By<1, Durations>,
    upstream_duration: By<1, Durations>,
    overhead: Durations,
    in_flight: Gauge,
    lookups: [Counter; 4],
    refreshes: By<1, Counter>,
    refresh_duration: Durations,
    refresh_hold: Durations,
    connections: By<1, Gauge>,
    expiry: By<1, Seconds>,
    replays: By<1, Counter>,
    scope_denials: By<3, Counter>,
    upstream_links: By<1, Gauge>,
    reload_successful: Gauge,
    reload_at: Seconds,
    store_errors: By<1, Counter>,
}

/// How the bearer for a request was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// In memory.
    Hit,
    /// By a refresh that others had begun.
    Wait,
    /// By a refresh or a read of its own.
    Miss,
    /// There was none to give.
    Refused,
}

/// Why a request was sent a second time (design.md R7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayReason {
    /// A 401, and a pair other than the one it was sent with is current.
    Unauthorized,
    /// Pleo said that it did not process the request.
    NotProcessed,
    /// Pleo had closed the idle link that it was sent on.
    StaleLink,
}

impl ReplayReason {
    const ALL: [Self; 3] = [Self::Unauthorized, Self::NotProcessed, Self::StaleLink];

    fn word(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::NotProcessed => "not_processed",
            Self::StaleLink => "stale_link",
        }
    }
}

/// What became of a missing scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeMode {
    /// The request was refused.
    Enforce,
    /// It was reported and passed.
    Observe,
}

impl Metrics {
    /// All metrics, at zero. `started` is when the process started.
    pub fn new(started: Timestamp) -> Self {
        let mut registry = Registry::default();
        let meters = Meters::registered(registry.sub_registry_with_prefix("pleo_gateway"));
        registry.register_collector(Box::new(Process { started }));
        Self(Arc::new((registry, meters)))
    }

    /// The `OpenMetrics` text for `/metrics`.
    pub fn encode(&self) -> String {
        let mut text = String::with_capacity(16 << 10);
        // Writing into a String does not fail.
        let _ = encode(&mut text, &self.0.0);
        text
    }

    fn meters(&self) -> &Meters {
        &self.0.1
    }

    /// Requests being served: a count that the limit on them is held against, too.
    pub fn in_flight(&self) -> &Gauge {
        &self.meters().in_flight
    }

    /// Time spent in the gateway itself.
    pub(super) fn overhead(&self) -> &Durations {
        &self.meters().overhead
    }

    pub(super) fn requests(
        &self,
        route: &str,
        method: &'static str,
        status: u16,
        error: &'static str,
    ) -> Counter {
        self.meters().requests.get_or_create_owned(&[
            ("route", route.to_owned().into()),
            ("method", method.into()),
            ("status", status.to_string().into()),
            ("error", error.into()),
        ])
    }

    /// The whole of a request, and Pleo's part of it.
    pub(super) fn durations(&self, route: &str) -> [Durations; 2] {
        let label = [("route", route.to_owned().into())];
        [
            self.meters().request_duration.get_or_create_owned(&label),
            self.meters().upstream_duration.get_or_create_owned(&label),
        ]
    }

    /// A bearer was looked up.
    pub fn token_lookup(&self, lookup: Lookup) {
        self.meters().lookups[lookup as usize].inc();
    }

    /// An attempt to refresh came to its end. Outcomes that are no attempt's (`adopted`, …) are not counted.
    pub fn refreshed(&self, outcome: LedgerOutcome, took: Duration) {
        let Some(word) = words::of_attempt(outcome) else {
            return;
        };
        count(&self.meters().refreshes, &[("outcome", word.into())]);
        self.meters().refresh_duration.observe(took);
    }

    /// A request waited for a refresh (design.md R8).
    pub fn held(&self, waited: Duration) {
        self.meters().refresh_hold.observe(waited);
    }

    /// How many connections stand in `state` now.
    pub fn set_connections(&self, state: State, count: usize) {
        set(&self.meters().connections, state.as_str(), count);
    }

    /// When the access token of `tenant` dies; `None`: it has none.
    pub fn set_expiry(&self, tenant: &TenantName, at: Option<Timestamp>) {
        let label = [("tenant", tenant.to_string().into())];
        let expiry = &self.meters().expiry;
        match at {
            Some(at) => {
                expiry.get_or_create(&label).set(seconds(at));
            }
            None => {
                expiry.remove(&label);
            }
        }
    }

    /// A request was sent a second time.
    pub fn replayed(&self, reason: ReplayReason) {
        count(&self.meters().replays, &[("reason", reason.word().into())]);
    }

    /// A request lacked `scope`. Both names come from the configuration.
    pub fn scope_denied(&self, route: &RouteName, scope: &Scope, mode: ScopeMode) {
        let mode = match mode {
            ScopeMode::Enforce => "enforce",
            ScopeMode::Observe => "observe",
        };
        let labels = [
            ("route", route.to_string().into()),
            ("scope", scope.to_string().into()),
            ("mode", mode.into()),
        ];
        count(&self.meters().scope_denials, &labels);
    }

    /// Links to Pleo now: carrying requests, and waiting for one.
    pub fn set_upstream_links(&self, active: usize, idle: usize) {
        set(&self.meters().upstream_links, "active", active);
        set(&self.meters().upstream_links, "idle", idle);
    }

    /// The configuration was read again.
    pub fn reloaded(&self, successful: bool, at: Timestamp) {
        self.meters().reload_successful.set(successful.into());
        if successful {
            self.meters().reload_at.set(seconds(at));
        }
    }

    /// The store failed at `op`, one of its trait's verbs.
    pub fn store_failed(&self, op: &'static str) {
        count(&self.meters().store_errors, &[("op", op.into())]);
    }
}

impl Meters {
    fn registered(r: &mut Registry) -> Self {
        let lookups: By<1, Counter> = add(r, "token_lookups", "Bearers looked up");
        let word = |word: &'static str| lookups.get_or_create_owned(&[("result", word.into())]);
        let lookups = ["hit", "wait", "miss", "refused"].map(word);
        let overhead = Durations::within(&OVERHEAD);
        r.register(
            "overhead_seconds",
            "Spent in the gateway itself",
            overhead.clone(),
        );
        r.register("build", "What runs", Info::new(BUILD));
        Self {
            lookups,
            overhead,
            requests: add(r, "requests", "Requests; error is empty for Pleo's answers"),
            request_duration: add(r, "request_duration_seconds", "To the end of the answer"),
            upstream_duration: add(r, "upstream_duration_seconds", "Until Pleo's answer begins"),
            in_flight: add(r, "in_flight", "Requests being served"),
            refreshes: counted(
                r,
                "refreshes",
                "Attempts to refresh",
                "outcome",
                words::ATTEMPTS.into_iter().filter_map(words::of_attempt),
            ),
            refresh_duration: add(r, "refresh_duration_seconds", "One attempt to refresh"),
            refresh_hold: add(r, "refresh_hold_seconds", "Waits for a refresh"),
            connections: add(r, "connections", "Connections by state"),
            expiry: add(
                r,
                "connection_expiry_timestamp_seconds",
                "When a token dies",
            ),
            replays: counted(
                r,
                "replays",
                "Requests sent a second time",
                "reason",
                ReplayReason::ALL.map(ReplayReason::word),
            ),
            scope_denials: add(r, "scope_denials", "Requests that lacked a scope"),
            upstream_links: add(r, "upstream_connections", "Links to Pleo"),
            reload_successful: add(r, "config_last_reload_successful", "1 if it was taken"),
            reload_at: add(
                r,
                "config_last_reload_timestamp_seconds",
                "Of what is in use",
            ),
            store_errors: counted(
                r,
                "store_errors",
                "Failures of the store",
                "op",
                words::STORE,
            ),
        }
    }
}

const BUILD: [(&str, &str); 2] = [
    ("version", env!("CARGO_PKG_VERSION")),
    (
        "commit",
        match option_env!("PLEO_GATEWAY_COMMIT") {
            Some(commit) => commit,
            None => "unknown",
        },
    ),
];

/// `process_*`, under the names that every Prometheus client uses.
#[derive(Debug)]
struct Process {
    started: Timestamp,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let usage = Usage::now();
        let cpu = ConstCounter::new(usage.cpu.as_secs_f64());
        let kind = cpu.metric_type();
        cpu.encode(encoder.encode_descriptor(
            "process_cpu_seconds",
            "Time on the CPU",
            None,
            kind,
        )?)?;
        let started = ConstGauge::new(seconds(self.started));
        let (name, kind) = ("process_start_time_seconds", started.metric_type());
        started.encode(encoder.encode_descriptor(name, "When it started", None, kind)?)?;
        for (name, help, value) in [
            (
                "process_resident_memory_bytes",
                "Memory in use",
                usage.resident_bytes,
            ),
            (
                "process_virtual_memory_bytes",
                "Address space in use",
                usage.virtual_bytes,
            ),
            ("process_threads", "Threads", usage.threads),
            ("process_open_fds", "Open file descriptors", usage.open_fds),
            (
                "process_max_fds",
                "Limit on file descriptors",
                usage.max_fds,
            ),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

fn add<M: Metric + Clone + Default>(r: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    r.register(name, help, metric.clone());
    metric
}

/// A family whose label has a few words only, each at zero from the start: what begins at 1 is no increase to an alert.
fn counted(
    r: &mut Registry,
    name: &str,
    help: &str,
    label: &'static str,
    words: impl IntoIterator<Item = &'static str>,
) -> By<1, Counter> {
    let family: By<1, Counter> = add(r, name, help);
    for word in words {
        drop(family.get_or_create(&[(label, word.into())]));
    }
    family
}

fn count<const N: usize>(family: &By<N, Counter>, labels: &Labels<N>) {
    family.get_or_create(labels).inc();
}

fn set(family: &By<1, Gauge>, state: &'static str, count: usize) {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    family.get_or_create(&[("state", state.into())]).set(count);
}

/// The resolution of a float is ample for a scrape.
#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds of this century fit into 52 bits"
)]
fn seconds(at: Timestamp) -> f64 {
    at.0 as f64 / 1e6
}
