//! The demo's ends of the broker: the fleet publishes on one, sinks take what comes out on the other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::setup::Setup;
use super::tally::{Sink, Tally};
use crate::broker::{Broker, ConsumeRequest, Outgoing, Published, Publisher, Settlement};
use crate::limits;
use crate::publish::pace::Pace;
use crate::simulate::Fleet;

/// The tally, shared.
#[derive(Clone, Default)]
pub(super) struct Shared(Arc<Mutex<Tally>>);

/// The demo's ends of the broker.
#[derive(Clone)]
pub(super) struct Ends {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) setup: Arc<Setup>,
    pub(super) tally: Shared,
    pub(super) stop: CancellationToken,
}

// === impl Shared ===

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Ends ===

impl Ends {
    /// Publishes the fleet's messages until told to stop; what was begun is then confirmed.
    pub(super) async fn drive(self, mut fleet: Fleet, rate_per_s: f64) -> Result<(), String> {
        let mut publisher = self.broker.publisher().await.map_err(|error| error.to_string())?;
        let mut pace = Pace::new(Some(rate_per_s));
        loop {
            let count = tokio::select! {
                () = self.stop.cancelled() => return Ok(()),
                count = pace.take(limits::DEMO_GROUP_MESSAGES) => count,
            };
            let group = self.group(&mut fleet, count);
            self.publish(publisher.as_mut(), group).await?;
        }
    }

    fn group(&self, fleet: &mut Fleet, count: usize) -> Vec<Outgoing> {
        let mut tally = self.tally.lock();
        let mut next = || {
            let simulated = fleet.next_message();
            tally.sending(&simulated, fleet.sent());
            self.setup.address(simulated.message)
        };
        (0..count).map(|_| next()).collect()
    }

    /// Publishes a group; again, after a pause, what was refused. A message that is published twice
    /// because its confirm was lost is found by its id and counts once.
    async fn publish(
        &self,
        publisher: &mut dyn Publisher,
        mut group: Vec<Outgoing>,
    ) -> Result<(), String> {
        let mut pause = limits::BACKOFF_MIN;
        let since = tokio::time::Instant::now();
        loop {
            let mut left = Vec::new();
            let mut why = String::new();
            let published = publisher.publish(&group).await;
            for (message, published) in group.into_iter().zip(published) {
                match published {
                    Published::Confirmed => self.tally.lock().figures.confirmed += 1,
                    Published::Unroutable => {
                        return Err(format!("no queue takes '{}'", message.routing_key));
                    }
                    Published::Impossible(text) | Published::NoTarget(text) => return Err(text),
                    Published::Refused(text) | Published::Unknown(text) => {
                        why = text;
                        left.push(message);
                    }
                }
            }
            if left.is_empty() {
                return Ok(());
            }
            if since.elapsed() >= limits::PUBLISH_OUTAGE_MAX {
                return Err(format!("the broker takes nothing: {why}"));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(limits::BACKOFF_MAX);
            group = left;
        }
    }

    /// Takes what reaches a sink until told to stop. A lost consumer is made again.
    pub(super) async fn collect(self, sink: Sink) {
        loop {
            let over = tokio::select! {
                () = self.stop.cancelled() => return,
                over = self.take_all(sink) => over,
            };
            tracing::warn!(queue = sink.queue(), error = %over, "a sink lost its consumer");
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(limits::BACKOFF_MIN) => {}
            }
        }
    }

    /// Why the consumer is over.
    async fn take_all(&self, sink: Sink) -> String {
        let request = ConsumeRequest {
            queue: self.setup.name(sink.queue()),
            declare: Vec::new(),
            prefetch: limits::DEMO_SINK_PREFETCH,
            exclusive: false,
            tag: format!("demo-{}", sink.queue()),
        };
        let mut consumer = match self.broker.consume(request).await {
            Ok(consumer) => consumer,
            Err(error) => return error.to_string(),
        };
        loop {
            match consumer.next().await {
                Ok(delivery) => {
                    self.tally.lock().found(sink, &delivery.message);
                    delivery.receipt.settle(Settlement::Ack);
                }
                Err(error) => return error.to_string(),
            }
        }
    }
}
