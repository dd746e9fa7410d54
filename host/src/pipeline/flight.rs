//! How many deliveries a pipeline holds, and when it holds none.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::telemetry::PipelineMetrics;

/// The deliveries between a pipeline's intake and their settlement.
#[derive(Debug, Default)]
pub struct InFlight {
    held: AtomicUsize,
    emptied: Notify,
}

impl InFlight {
    /// One more came in.
    pub fn entered(&self, metrics: &PipelineMetrics) {
        self.held.fetch_add(1, Ordering::AcqRel);
        metrics.in_flight(1);
    }

    /// Some were settled.
    pub fn left(&self, settled: usize, metrics: &PipelineMetrics) {
        metrics.in_flight(-i64::try_from(settled).unwrap_or(i64::MAX));
        if self.held.fetch_sub(settled, Ordering::AcqRel) == settled {
            self.emptied.notify_waiters();
        }
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
