//! How fast a pipeline takes its messages, where its config says.
//!
//! A token bucket, kept as one moment: when the next message may pass at the earliest (GCRA). It stands
//! before the intake, so that it counts for all shards together, and what waits, waits on the broker or in
//! its client, bounded by the window that is asked for. It has no timer until a message must wait.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::broker::{BrokerError, Consumer, Delivery};
use crate::config::Rate;
use crate::limits::{RATE_CATCH_UP, RATE_WINDOW};
use crate::telemetry::PipelineMetrics;

/// A pipeline's bucket.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// Between two messages.
    interval: Duration,
    /// How much of what wasn't used is saved up, as time.
    saved: Duration,
    next: Instant,
}

impl Bucket {
    /// A full one.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        let interval = rate.within / rate.messages.max(1);
        let saved = interval.saturating_mul(rate.burst.saturating_sub(1));
        let now = Instant::now();
        Self { interval, saved, next: now.checked_sub(saved).unwrap_or(now) }
    }

    /// The window to ask the broker for: what passes within a while, and what is `parked` meanwhile.
    #[must_use]
    pub fn window(rate: Rate, prefetch: u16, parked: usize) -> u16 {
        let passes =
            RATE_WINDOW.as_millis() * u128::from(rate.messages) / rate.within.as_millis().max(1);
        let wanted = passes.max(1).saturating_add(parked as u128);
        u16::try_from(wanted).unwrap_or(u16::MAX).min(prefetch)
    }

    /// Until when the next message must wait; `None` where it may pass.
    fn waits(&self, now: Instant) -> Option<Instant> {
        (self.next > now).then_some(self.next)
    }

    /// A message passed. Where it had waited, what the wait took too long is caught up with.
    fn took(&mut self, now: Instant, waited: bool) {
        let reach = if waited { self.saved.max(RATE_CATCH_UP) } else { self.saved };
        let full = now.checked_sub(reach).unwrap_or(now);
        self.next = self.next.max(full) + self.interval;
    }
}

/// The consumer's next delivery, as soon as the bucket lets it pass. It may be given up at any time and
/// has taken none then.
pub(super) async fn next(
    bucket: &mut Option<Bucket>,
    consumer: &mut dyn Consumer,
    metrics: &PipelineMetrics,
) -> Result<Delivery, BrokerError> {
    let Some(bucket) = bucket else { return consumer.next().await };
    let began = Instant::now();
    if let Some(until) = bucket.waits(began) {
        sleep_until(until).await;
    }
    let held = began.elapsed();
    let (delivery, waited) = tokio::select! {
        biased;
        delivery = consumer.next() => (delivery?, true),
        () = std::future::ready(()) => (consumer.next().await?, false),
    };
    if waited && !held.is_zero() {
        metrics.held_back(held);
    }
    bucket.took(Instant::now(), waited);
    Ok(delivery)
}

#[cfg(test)]
mod tests;
