//! RabbitMQ's model in this process, in memory: for trying things out, for tests with a paused
//! clock, for the demo.
//!
//! It behaves as RabbitMQ 3.10 does with one node and one virtual host, where that can be seen
//! through [`Broker`]; the contract suite runs on both. What differs: nothing survives the process,
//! so `durable` and delivery modes change nothing; at-least-once dead lettering is done at most
//! once, a missing dead-letter exchange included; streams take messages and give none; a queue
//! without a bound of its own refuses publishes past [`crate::limits::EMBEDDED_QUEUE_MESSAGES`].
//!
//! One lock guards the `model`; every call does its work in it and returns, there is no task
//! behind it. Time is tokio's: what is due happens, in order, when the broker is next used, and a
//! consumer that waits sets itself an alarm for it.

mod channel;
mod death;
mod exchange;
mod model;
mod publisher;
mod queue;
mod settings;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::Instant;

use self::channel::{EmbeddedConsumer, Signal};
use self::model::Model;
use self::publisher::EmbeddedPublisher;
use self::queue::{ConsumerId, Owner};
use crate::broker::{
    Broker, BrokerError, ConsumeRequest, Consumer, Declaration, Declared, Depth, Destination,
    LinkState, Published, Publisher, Server, Version,
};
use crate::message::Message;

/// The RabbitMQ whose behaviour is modelled.
const MODELLED: Version = Version { major: 3, minor: 10, patch: 8 };

/// A broker in this process. All handles to one share its exchanges and queues.
pub struct Embedded {
    shared: Arc<Shared>,
}

/// What the broker's handles, consumers and publishers share.
struct Shared {
    model: Mutex<Model>,
    alarm: watch::Sender<Option<Instant>>,
    receipts_dropped: AtomicU64,
    refuses_publishes: AtomicBool,
    loses_confirms: AtomicBool,
    unreachable: AtomicBool,
}

// === impl Embedded ===

impl Embedded {
    /// A broker with nothing but the predeclared exchanges.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let shared = Shared {
            model: Mutex::new(Model::new(Instant::now())),
            alarm: watch::Sender::new(None),
            receipts_dropped: AtomicU64::new(0),
            refuses_publishes: AtomicBool::new(false),
            loses_confirms: AtomicBool::new(false),
            unreachable: AtomicBool::new(false),
        };
        Arc::new(Self { shared: Arc::new(shared) })
    }

    /// Forgets a queue's ready messages and says how many there were; `None` without such a queue.
    pub fn purge(&self, queue: &str) -> Option<usize> {
        self.shared.with(|model, now| model.purge(queue, now))
    }

    /// Deletes a queue with its messages. Its consumers are cancelled. False if there is none.
    pub fn delete_queue(&self, queue: &str) -> bool {
        self.shared.with(|model, now| model.remove_queue(queue, now))
    }

    /// Deletes an exchange with its bindings. False if there is none, or it is predeclared.
    pub fn delete_exchange(&self, exchange: &str) -> bool {
        self.shared.with(|model, _| model.remove_exchange(exchange))
    }

    /// A queue's ready and unacknowledged messages; zeros without such a queue.
    #[must_use]
    pub fn queue_depth(&self, queue: &str) -> (usize, usize) {
        self.shared.with(|model, _| {
            model.queue(queue).map_or((0, 0), |queue| (queue.length(), queue.unacked))
        })
    }

    /// Every message that waits in a queue, with the queue's name.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> Vec<(String, bytes::Bytes)> {
        self.shared.with(|model, _| model.waiting())
    }

    /// Takes the next message out of a queue, acknowledged.
    pub fn get(&self, queue: &str) -> Option<Message> {
        let entry = self.shared.with(|model, now| model.get(queue, now))?;
        Some(Arc::unwrap_or_clone(entry.message))
    }

    /// Breaks every connection: consumers end as unreachable, what they hold is released as
    /// redelivered, receipts become stale, exclusive queues go. The next call connects again.
    pub fn drop_connections(&self) {
        let end = BrokerError::Unreachable("connection lost".to_owned());
        self.shared.with(|model, now| model.disconnect(&end, now));
    }

    /// While `true`, the outcome of every publish is unknown, and nothing arrives.
    pub fn refuse_publishes(&self, refuse: bool) {
        self.shared.refuses_publishes.store(refuse, Ordering::Relaxed);
    }

    /// While `true`, messages arrive, but what became of them is unknown to their publishers.
    pub fn lose_confirms(&self, lose: bool) {
        self.shared.loses_confirms.store(lose, Ordering::Relaxed);
    }

    /// Stops the broker as its clients see it (`true`), or starts it again: connections break and
    /// every call finds it unreachable. Queues keep their messages.
    pub fn set_unreachable(&self, unreachable: bool) {
        self.shared.unreachable.store(unreachable, Ordering::Relaxed);
        if unreachable {
            self.drop_connections();
        }
    }

    /// Receipts that were dropped instead of settled, ever: each one is a bug of the consumer.
    #[must_use]
    pub fn receipts_dropped(&self) -> u64 {
        self.shared.receipts_dropped.load(Ordering::Relaxed)
    }

    fn reached(&self) -> Result<(), BrokerError> {
        match self.shared.unreachable.load(Ordering::Relaxed) {
            true => Err(BrokerError::Unreachable(UNREACHABLE.to_owned())),
            false => Ok(()),
        }
    }
}

const UNREACHABLE: &str = "the embedded broker is stopped";

#[async_trait]
impl Broker for Embedded {
    async fn server(&self) -> Result<Server, BrokerError> {
        self.reached()?;
        Ok(Server { product: "sluicegate embedded".to_owned(), version: MODELLED })
    }

    async fn declare(&self, object: &Declaration) -> Result<Declared, BrokerError> {
        self.reached()?;
        self.shared.with(|model, now| model.declare(object, Owner::Broker, now))
    }

    async fn exists(&self, object: &Declaration) -> Result<bool, BrokerError> {
        self.reached()?;
        self.shared.with(|model, _| match object {
            Declaration::Exchange(exchange) => Ok(model.has_exchange(&exchange.name)),
            Declaration::Queue(queue) => Ok(model.queue(&queue.name).is_some()),
            Declaration::Binding(_) => {
                Err(BrokerError::Unsupported("asking whether a binding exists".to_owned()))
            }
        })
    }

    async fn depth(&self, queue: &str) -> Result<Depth, BrokerError> {
        self.reached()?;
        self.shared.with(|model, _| {
            let found = model.queue(queue);
            let found = found.ok_or_else(|| BrokerError::NotFound(format!("queue '{queue}'")))?;
            if matches!(found.owner, Owner::Consumer(_)) {
                return Err(BrokerError::Locked(format!("queue '{queue}'")));
            }
            let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
            let consumers = count(found.consumers.len());
            Ok(Depth { messages: count(found.length()), consumers })
        })
    }

    async fn consume(&self, request: ConsumeRequest) -> Result<Box<dyn Consumer>, BrokerError> {
        self.reached()?;
        let signal = Arc::new(Signal::default());
        let id = self.shared.with(|model, now| {
            let id = model.next_consumer();
            let started = declare_for(model, id, &request, now)
                .and_then(|queue| model.consume(id, &request, &queue, Arc::clone(&signal), now));
            if started.is_err() {
                model.remove_queues_of(Owner::Consumer(id), now);
            }
            started.map(|()| id)
        })?;
        Ok(Box::new(EmbeddedConsumer::new(Arc::clone(&self.shared), id, signal)))
    }

    async fn publisher(&self) -> Result<Box<dyn Publisher>, BrokerError> {
        self.reached()?;
        Ok(Box::new(EmbeddedPublisher { shared: Arc::clone(&self.shared) }))
    }

    fn link(&self) -> LinkState {
        let reached = self.reached();
        LinkState {
            consume: reached.is_ok(),
            publish: reached.is_ok(),
            broken: reached.is_err(),
            blocked: None,
            last_error: reached.err().map(|error| error.to_string()),
            receipts_dropped: self.receipts_dropped(),
        }
    }

    async fn close(&self) {
        let end = BrokerError::ChannelClosed("the broker's connection was closed".to_owned());
        self.shared.with(|model, now| model.disconnect(&end, now));
    }
}

/// Declares what a consumer brings with it and says which queue it consumes.
fn declare_for(
    model: &mut Model,
    id: ConsumerId,
    request: &ConsumeRequest,
    now: Instant,
) -> Result<String, BrokerError> {
    let mut queue = request.queue.clone();
    for object in &request.declare {
        match object {
            Declaration::Queue(_) => queue = model.declare(object, Owner::Consumer(id), now)?.name,
            Declaration::Binding(binding)
                if binding.destination == Destination::Queue(String::new()) =>
            {
                let mut binding = binding.clone();
                binding.destination = Destination::Queue(queue.clone());
                model.declare(&Declaration::Binding(binding), Owner::Consumer(id), now)?;
            }
            _ => {
                model.declare(object, Owner::Consumer(id), now)?;
            }
        }
    }
    Ok(queue)
}

// === impl Shared ===

impl Shared {
    /// Does something with the model as it is now, then tells the waiting consumers where the next
    /// alarm is earlier than the one they know.
    fn with<T>(&self, act: impl FnOnce(&mut Model, Instant) -> T) -> T {
        let mut model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        model.advance(now);
        let done = act(&mut model, now);
        let next = model.next_alarm();
        self.alarm.send_if_modified(|alarm| {
            // One that is too early does no harm: who wakes looks again.
            let moved = match (*alarm, next) {
                (Some(set), Some(next)) => next < set || set <= now,
                (None, Some(_)) => true,
                (Some(set), None) => set <= now,
                (None, None) => false,
            };
            if moved {
                *alarm = next;
            }
            moved
        });
        done
    }

    fn alarms(&self) -> watch::Receiver<Option<Instant>> {
        self.alarm.subscribe()
    }

    /// Why nothing can be published now, if so.
    fn outage(&self) -> Option<&'static str> {
        if self.unreachable.load(Ordering::Relaxed) {
            Some(UNREACHABLE)
        } else if self.refuses_publishes.load(Ordering::Relaxed) {
            Some("no confirm: the embedded broker was told to give none")
        } else {
            None
        }
    }

    /// What a publisher is told: nothing, while confirms get lost.
    fn told(&self, outcome: Published) -> Published {
        match self.loses_confirms.load(Ordering::Relaxed) {
            true => Published::Unknown("the confirm got lost, as it was told to".to_owned()),
            false => outcome,
        }
    }

    fn count_dropped_receipt(&self, tag: u64) {
        self.receipts_dropped.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(tag, "a delivery was dropped unsettled; it is released");
    }
}

#[cfg(test)]
mod tests;
