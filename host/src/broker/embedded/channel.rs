//! A consumer's channel: deliveries out, settlements in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use tokio::sync::{Notify, watch};
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep_until};

use super::Shared;
use super::model::Handed;
use super::queue::{ConsumerId, Entry};
use crate::broker::{BrokerError, Consumer, Delivery, Receipt, Settlement, Settler};
use crate::message::FieldValue;

/// What the broker tells a consumer's client without being asked.
#[derive(Debug, Default)]
pub(super) struct Signal {
    changed: Notify,
    closed: AtomicBool,
}

/// A consumer on the embedded broker.
pub(super) struct EmbeddedConsumer {
    shared: Arc<Shared>,
    channel: Arc<Channel>,
    /// When the broker next has something to do, which a waiting consumer sees to.
    alarm: watch::Receiver<Option<Instant>>,
}

/// What a receipt settles through.
struct Channel {
    shared: Arc<Shared>,
    id: ConsumerId,
    signal: Arc<Signal>,
}

// === impl Signal ===

impl Signal {
    /// There is something to look at.
    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }

    /// The channel is gone.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

// === impl EmbeddedConsumer ===

impl EmbeddedConsumer {
    pub(super) fn new(shared: Arc<Shared>, id: ConsumerId, signal: Arc<Signal>) -> Self {
        let alarm = shared.alarms();
        let channel = Arc::new(Channel { shared: Arc::clone(&shared), id, signal });
        Self { shared, channel, alarm }
    }

    fn delivery(&self, tag: u64, entry: Entry) -> Delivery {
        let Entry { message, redelivered, deliveries, .. } = entry;
        let mut message = Arc::unwrap_or_clone(message);
        if deliveries > 0 {
            let count = FieldValue::I64(deliveries.into());
            message.properties.headers.set("x-delivery-count", count);
        }
        let settler: Arc<dyn Settler> = Arc::clone(&self.channel) as _;
        Delivery {
            message,
            redelivered,
            delivery_count: (deliveries > 0).then_some(deliveries),
            unfit: None,
            receipt: Receipt::new(settler, tag),
        }
    }
}

#[async_trait]
impl Consumer for EmbeddedConsumer {
    async fn next(&mut self) -> Result<Delivery, BrokerError> {
        // A full queue must not keep the task from its neighbours.
        consume_budget().await;
        loop {
            let alarm = *self.alarm.borrow_and_update();
            match self.shared.with(|model, _| model.hand_out(self.channel.id)) {
                Handed::Entry { tag, entry } => return Ok(self.delivery(tag, entry)),
                Handed::Over(end) => return Err(end),
                Handed::Nothing => {}
            }
            let due = async {
                match alarm {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.channel.signal.changed.notified() => {}
                // The sender lives in `shared`, which this consumer holds.
                _ = self.alarm.changed() => {}
                () = due => {}
            }
        }
    }

    async fn cancel(&mut self) -> Result<(), BrokerError> {
        self.shared.with(|model, now| model.cancel(self.channel.id, now))
    }

    async fn close(self: Box<Self>) -> Result<(), BrokerError> {
        let closed = self.channel.signal.is_closed();
        // Settlements take effect at once here: there are none to wait for.
        match self.shared.with(|model, _| model.hand_out(self.channel.id)) {
            Handed::Over(end) if closed => Err(end),
            _ => Ok(()),
        }
    }
}

impl Drop for EmbeddedConsumer {
    fn drop(&mut self) {
        self.shared.with(|model, now| model.forget_consumer(self.channel.id, now));
    }
}

// === impl Channel ===

impl Settler for Channel {
    fn settle(&self, tag: u64, settlement: Settlement) {
        self.shared.with(|model, now| model.settle(self.id, tag, settlement, now));
    }

    fn is_stale(&self) -> bool {
        self.signal.is_closed()
    }

    fn dropped(&self, tag: u64) {
        self.shared.count_dropped_receipt(tag);
    }
}
