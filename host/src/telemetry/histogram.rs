//! A histogram of durations that shard threads fill without a lock, and whose quantiles can be read back.
//!
//! The client library's own takes a mutex at each observation and can't be read but by a scrape.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// Upper bounds of the buckets in seconds: a plugin's call takes microseconds, a backlog minutes.
const BOUNDS_S: [f64; 20] = [
    0.000_01, 0.000_025, 0.000_1, 0.000_25, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
    0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];

/// Durations, counted by how long they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// One per bound, and one for what is longer.
    buckets: [AtomicU64; BOUNDS_S.len() + 1],
    sum_ns: AtomicU64,
}

/// Durations that one thread has yet to tell.
#[derive(Clone, Debug, Default)]
pub(super) struct Observed {
    buckets: [u64; BOUNDS_S.len() + 1],
    sum_ns: u64,
}

// === impl Observed ===

impl Observed {
    pub(super) fn observe(&mut self, duration: Duration) {
        self.buckets[bucket_of(duration)] += 1;
        self.sum_ns = self.sum_ns.saturating_add(ns(duration));
    }
}

fn bucket_of(duration: Duration) -> usize {
    let seconds = duration.as_secs_f64();
    BOUNDS_S.partition_point(|bound| *bound < seconds)
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

// === impl Histogram ===

impl Histogram {
    pub(super) fn observe(&self, duration: Duration) {
        self.0.buckets[bucket_of(duration)].fetch_add(1, Ordering::Relaxed);
        self.0.sum_ns.fetch_add(ns(duration), Ordering::Relaxed);
    }

    pub(super) fn observe_all(&self, observed: &Observed) {
        for (bucket, seen) in self.0.buckets.iter().zip(observed.buckets) {
            if seen > 0 {
                bucket.fetch_add(seen, Ordering::Relaxed);
            }
        }
        self.0.sum_ns.fetch_add(observed.sum_ns, Ordering::Relaxed);
    }

    /// How many were observed.
    pub(super) fn count(&self) -> u64 {
        self.0.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    /// The sum of all that were observed, in seconds.
    pub(super) fn sum_s(&self) -> f64 {
        Duration::from_nanos(self.0.sum_ns.load(Ordering::Relaxed)).as_secs_f64()
    }

    /// An estimate of the duration in seconds that the share `q` of all stays below, as Prometheus's
    /// `histogram_quantile` makes it; `None` where nothing was observed.
    pub(super) fn quantile_s(&self, q: f64) -> Option<f64> {
        let counts: Vec<u64> = self.0.buckets.iter().map(|b| b.load(Ordering::Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        if total == 0 {
            return None;
        }
        let rank = q * total as f64;
        let mut below = 0;
        for (at, count) in counts.iter().enumerate() {
            if *count > 0 && (below + count) as f64 >= rank {
                let lower = if at == 0 { 0.0 } else { BOUNDS_S[at - 1] };
                let upper = BOUNDS_S.get(at).copied().unwrap_or(lower);
                return Some(lower + (upper - lower) * (rank - below as f64) / *count as f64);
            }
            below += count;
        }
        BOUNDS_S.last().copied()
    }
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let bounds = BOUNDS_S.iter().copied().chain([f64::INFINITY]);
        let counts = self.0.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(self.sum_s(), count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

impl prometheus_client::metrics::TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}
