//! A lock-free histogram of durations, since requests on all threads observe into it: prometheus-client's own locks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Durations, counted in buckets. Clones share the counts.
#[derive(Clone, Debug)]
pub(super) struct Durations(Arc<Buckets>);

#[derive(Debug)]
struct Buckets {
    bounds: &'static [Duration],
    /// One more than bounds: the last is beyond them all.
    counts: Box<[AtomicU64]>,
    sum_nanos: AtomicU64,
}

impl Durations {
    /// `bounds` are the buckets' upper ends, ascending.
    pub(super) fn within(bounds: &'static [Duration]) -> Self {
        Self(Arc::new(Buckets {
            bounds,
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum_nanos: AtomicU64::new(0),
        }))
    }

    /// Counts one more.
    pub(super) fn observe(&self, took: Duration) {
        let place = self.0.bounds.partition_point(|bound| *bound < took);
        self.0.counts[place].fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}

/// For requests.
impl Default for Durations {
    fn default() -> Self {
        Self::within(&REQUEST)
    }
}

impl TypedMetric for Durations {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Durations {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let ends = self.0.bounds.iter().map(Duration::as_secs_f64);
        let counts = self
            .0
            .counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = ends.chain([f64::INFINITY]).zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = Duration::from_nanos(self.0.sum_nanos.load(Ordering::Relaxed)).as_secs_f64();
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

/// As OpenTelemetry's conventions for HTTP advise, and longer ones for exports. Milliseconds.
static REQUEST: [Duration; 16] = scaled(
    [
        5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000, 30_000, 60_000,
    ],
    1000,
);

/// For what is measured in microseconds.
pub(super) static OVERHEAD: [Duration; 10] = scaled(
    [10, 25, 50, 100, 250, 1000, 5000, 25_000, 250_000, 2_500_000],
    1,
);

const fn scaled<const N: usize>(numbers: [u64; N], micros: u64) -> [Duration; N] {
    let mut bounds = [Duration::ZERO; N];
    let mut place = 0;
    while place < N {
        bounds[place] = Duration::from_micros(numbers[place] * micros);
        place += 1;
    }
    bounds
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::registry::Registry;

    #[test]
    fn buckets_include_their_upper_end() {
        static BOUNDS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];
        let durations = Durations::within(&BOUNDS);
        for seconds in [1, 2, 3] {
            durations.observe(Duration::from_secs(seconds));
        }
        let mut registry = Registry::default();
        registry.register("took", "help", durations);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "took_sum 6.0",
            "took_count 3",
            "took_bucket{le=\"1.0\"} 1",
            "took_bucket{le=\"2.0\"} 2",
            "took_bucket{le=\"+Inf\"} 3",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in {text}");
        }
    }
}
