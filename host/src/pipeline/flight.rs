//! How many deliveries a pipeline holds, when it holds none, and what it takes to get rid of them.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::telemetry::PipelineMetrics;

/// The deliveries between a pipeline's intake and their settlement.
#[derive(Debug, Default)]
pub struct InFlight {
    held: AtomicUsize,
    emptied: Notify,
    parked: AtomicUsize,
    /// Settled so far.
    settled: AtomicU64,
    /// Nanoseconds that lanes have worked so far.
    worked: AtomicU64,
}

impl InFlight {
    /// So many more came in.
    pub fn entered(&self, messages: usize, metrics: &PipelineMetrics) {
        self.held.fetch_add(messages, Ordering::AcqRel);
        metrics.in_flight(i64::try_from(messages).unwrap_or(i64::MAX));
    }

    /// Some were settled.
    pub fn left(&self, settled: usize, metrics: &PipelineMetrics) {
        if settled == 0 {
            return;
        }
        metrics.in_flight(-i64::try_from(settled).unwrap_or(i64::MAX));
        self.settled.fetch_add(settled as u64, Ordering::Relaxed);
        if self.held.fetch_sub(settled, Ordering::AcqRel) == settled {
            self.emptied.notify_waiters();
        }
    }

    /// Of those held, so many more wait for their key, as far as the bound allows. How many may.
    pub fn park(&self, wanted: usize, bound: usize) -> usize {
        let mut granted = 0;
        let _always_some =
            self.parked.fetch_update(Ordering::AcqRel, Ordering::Acquire, |parked| {
                granted = bound.saturating_sub(parked).min(wanted);
                Some(parked + granted)
            });
        granted
    }

    /// So many don't any more.
    pub fn unpark(&self, messages: usize) {
        self.parked.fetch_sub(messages, Ordering::AcqRel);
    }

    /// Waits until none is held.
    pub async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.held.load(Ordering::Acquire) == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// A lane worked for so long.
    pub fn worked(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.worked.fetch_add(nanos, Ordering::Relaxed);
    }

    /// How many were settled so far, and how long lanes have worked for them.
    pub fn done(&self) -> (u64, Duration) {
        let worked = Duration::from_nanos(self.worked.load(Ordering::Relaxed));
        (self.settled.load(Ordering::Relaxed), worked)
    }

    /// How many are held now.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Acquire)
    }
}
