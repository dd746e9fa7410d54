//! What an intake tells its shards of its consumers, and how it leaves one.

use super::{Intake, Want};
use crate::broker::{BrokerError, Consumer};
use crate::limits::RELEASE_TIMEOUT;
use crate::pipeline::shard::Event;

impl Intake {
    /// Tells every shard whether anything is consumed: timers wait while nothing is.
    pub(super) async fn tell_flow(&self, flows: bool) {
        for shard in &self.shards {
            // A shard that is gone runs no timers.
            let _ = shard.send(Event::Flows(self.lane, flows)).await;
        }
    }

    /// Tells every shard to forget what consumers up to this one handed out.
    pub(super) async fn forget(&self, consumer: u64) {
        for shard in &self.shards {
            // A shard that is gone has nothing to forget.
            let _ = shard.send(Event::Lost(self.lane, consumer)).await;
        }
    }

    /// Ends a consumer in order: no more deliveries, what is in hand finished, or released where time
    /// is up or it can't be finished for now, every settlement written. What a plugin
    /// that is still broken was tried with is `held` until it is released.
    pub(super) async fn wind_down(
        &mut self,
        mut consumer: Box<dyn Consumer>,
        number: u64,
        held: bool,
    ) -> Result<(), BrokerError> {
        self.tell_flow(false).await;
        let cancelled = consumer.cancel().await;
        if cancelled.is_err() {
            self.forget(number).await;
            return cancelled;
        }
        for shard in &self.shards {
            // A shard that is gone has nothing to give back.
            let _ = shard.send(Event::Draining(self.lane, number)).await;
        }
        let patient = *self.want.borrow() == Want::Stop;
        let given_up = tokio::select! {
            biased;
            () = self.shape.in_flight.empty() => false,
            () = std::future::ready(()), if held => true,
            () = self.abandon.cancelled() => true,
            why = self.shape.breaker.tripped(), if !patient => {
                self.shape.breaker.open(&why);
                true
            }
        };
        if given_up {
            self.forget(number).await;
            let released =
                tokio::time::timeout(RELEASE_TIMEOUT, self.shape.in_flight.empty()).await;
            if released.is_err() {
                tracing::warn!(
                    held = self.shape.in_flight.held(),
                    "left for the broker to take back"
                );
            }
        }
        consumer.close().await
    }
}
