//! How many deliveries a pipeline holds, and when it holds none.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::telemetry::PipelineMetrics;

/// The deliveries between a pipeline's intake and their settlement.
#[derive(Debug, Default)]
pub struct InFlight {
    held: AtomicUsize,
    emptied: Notify,
    parked: AtomicUsize,
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

    /// How many are held now.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Acquire)
    }
}
