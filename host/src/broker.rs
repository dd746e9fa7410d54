//! Brokers: one small trait over RabbitMQ (`amqp`), brokers that speak MQTT (`mqtt`) and the in-process
//! model of RabbitMQ (`embedded`).
//!
//! A broker declares, consumes and publishes. A delivery comes with a [`Receipt`] that settles by
//! value, so that settling twice doesn't compile and forgetting is noticed: a dropped receipt is
//! counted and released. A publisher takes a group of messages and answers with one [`Published`]
//! for each, after every confirm and every return of the group is in.
//!
//! Every implementation passes one suite, `tests/all/contract`; the client library of each is known
//! only in its own folder. Nothing here retries: connecting lazily is the broker's, backing off is
//! the caller's.

pub mod amqp;
mod declaration;
pub mod embedded;
pub mod mqtt;
mod tls;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

pub use self::declaration::{
    BindingDeclaration, CLIENT_ID, Declaration, Declared, Destination, ExchangeDeclaration, QOS,
    QueueDeclaration,
};
use crate::config::{self, BrokerKind};
use crate::message::{Message, Properties};

/// What a broker is there for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// Pipelines take messages from it.
    pub consumes: bool,
    /// Outputs go to it.
    pub publishes: bool,
}

/// A broker. Connections open when first needed and again after they are lost.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// Opens what these uses will need, all at once. What can't be opened is told by who uses it.
    async fn connect(&self, uses: Uses) {
        let _nothing_to_open = uses;
    }

    /// What answers there. Connects if need be.
    ///
    /// # Errors
    /// When the broker can't be reached or refuses the credentials.
    async fn server(&self) -> Result<Server, BrokerError>;

    /// Creates the object, or finds it there with the same properties.
    ///
    /// # Errors
    /// [`BrokerError::Mismatch`] when it exists and differs.
    async fn declare(&self, object: &Declaration) -> Result<Declared, BrokerError>;

    /// Whether an exchange or queue of that name is there; creates nothing. Bindings can't be
    /// asked for over AMQP: `Unsupported`.
    ///
    /// # Errors
    /// When the question can't be asked.
    async fn exists(&self, object: &Declaration) -> Result<bool, BrokerError>;

    /// How much waits in a queue, and for how many consumers; touches nothing.
    ///
    /// # Errors
    /// [`BrokerError::NotFound`] when there is no such queue, `Locked` when it belongs to another
    /// connection.
    async fn depth(&self, queue: &str) -> Result<Depth, BrokerError>;

    /// Starts a consumer with a channel of its own.
    ///
    /// # Errors
    /// When the queue isn't there, or may not be consumed.
    async fn consume(&self, request: ConsumeRequest) -> Result<Box<dyn Consumer>, BrokerError>;

    /// A publisher with a channel of its own, on a connection apart from the consumers'.
    ///
    /// # Errors
    /// When the broker can't be reached.
    async fn publisher(&self) -> Result<Box<dyn Publisher>, BrokerError>;

    /// What is known of the connections now, without asking. Cheap; never blocks.
    fn link(&self) -> LinkState;

    /// Closes what is open. Receipts that are still held become stale.
    async fn close(&self);
}

/// What is known of a broker's connections, without asking it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkState {
    /// The consumers' connection is open. It opens with the first consumer.
    pub consume: bool,
    /// The publishers' connection is open. It opens with the first publisher.
    pub publish: bool,
    /// One of them broke, and nobody has needed it since.
    pub broken: bool,
    /// Why the broker takes no publishes now, in its words: an alarm for memory or disk.
    pub blocked: Option<String>,
    /// The last error of connecting; `None` once it succeeded.
    pub last_error: Option<String>,
    /// Receipts that were dropped unsettled since the start. More than 0 is a bug.
    pub receipts_dropped: u64,
}

/// A stream of deliveries from one queue.
#[async_trait]
pub trait Consumer: Send {
    /// The next delivery. Cancel-safe.
    ///
    /// # Errors
    /// The consumer is over: its channel, connection or queue is gone, or it was cancelled. Its
    /// receipts are stale, except after [`Consumer::cancel`].
    async fn next(&mut self) -> Result<Delivery, BrokerError>;

    /// A delivery that is here already, if the consumer knows of one; it waits for none. Spares whoever
    /// takes many a future for each. Whether the consumer is over, [`Consumer::next`] tells afterwards.
    fn at_hand(&mut self) -> Option<Delivery> {
        None
    }

    /// Asks the broker for no more deliveries. Those already here can still be settled. Those that
    /// [`Consumer::next`] hasn't handed out are released, at the latest when it is closed: with what is
    /// released meanwhile, so that all of it comes again in its order.
    ///
    /// # Errors
    /// When the channel is already gone.
    async fn cancel(&mut self) -> Result<(), BrokerError>;

    /// Waits until every settlement that was asked for is written, then closes the channel.
    ///
    /// # Errors
    /// When the channel broke first: what wasn't written will be delivered again.
    async fn close(self: Box<Self>) -> Result<(), BrokerError>;
}

/// Publishes groups of messages, one group at a time.
#[async_trait]
pub trait Publisher: Send {
    /// Publishes the group in order and returns one outcome per message, in the same order, once
    /// all are known. Opens its channel again where the last group broke it.
    async fn publish(&mut self, group: &[Outgoing]) -> Vec<Published>;
}

/// A message handed over by a broker.
#[derive(Debug)]
pub struct Delivery {
    /// The message.
    pub message: Message,
    /// The broker says that it was delivered before.
    pub redelivered: bool,
    /// How often it was delivered before, where the broker counts (`x-delivery-count`).
    pub delivery_count: Option<u32>,
    /// Why it can't enter a pipeline, where the consumer knows: what it is then is told and settled as of
    /// any other that failed.
    pub unfit: Option<Unfit>,
    /// Settles it.
    pub receipt: Receipt,
}

/// Why a message can't enter a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// A word for the cause.
    pub code: &'static str,
    /// What is wrong.
    pub text: String,
}

/// The right and duty to settle one delivery, once.
#[must_use = "a delivery that isn't settled is released and counted as a bug"]
pub struct Receipt {
    settler: Option<Arc<dyn Settler>>,
    tag: u64,
}

/// What stands behind a [`Receipt`]: a channel's acknowledger. Never blocks.
pub trait Settler: Send + Sync {
    /// Settles the delivery of that tag. Does nothing on a channel that is gone.
    fn settle(&self, tag: u64, settlement: Settlement);
    /// Whether the channel is gone, so that the broker will deliver again whatever is settled.
    fn is_stale(&self) -> bool;
    /// Notes that a receipt was dropped unsettled; [`Settler::settle`] with `Release` follows.
    fn dropped(&self, tag: u64);
}

/// How a delivery ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Done with; the broker forgets it.
    Ack,
    /// Failed; the queue's dead-letter exchange takes it (`basic.nack`, no requeue).
    DeadLetter,
    /// Nobody's fault; back to its queue (`basic.nack`, requeue).
    Release,
}

/// A message to publish. Persistent unless its properties say otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// The exchange; empty is the default exchange.
    pub exchange: String,
    /// The routing key.
    pub routing_key: String,
    /// Properties; a `message_id` lets a return be told from its neighbours'.
    pub properties: Properties,
    /// Body.
    pub body: Bytes,
}

/// What became of a published message.
#[derive(Clone, Debug, PartialEq)]
pub enum Published {
    /// Routed to at least one queue and confirmed.
    Confirmed,
    /// Confirmed, but no queue took it.
    Unroutable,
    /// Will never be accepted: too large, headers larger than a frame.
    Impossible(String),
    /// The exchange isn't there or may not be written to; the others of the group aren't harmed.
    NoTarget(String),
    /// Refused for now: a nack, as by a full queue with `reject-publish`.
    Refused(String),
    /// Not known: no confirm in time, or the connection broke. May or may not have arrived.
    Unknown(String),
}

/// A consumer to start.
#[derive(Clone, Debug)]
pub struct ConsumeRequest {
    /// The queue's name on the broker, where it is already there.
    pub queue: String,
    /// Declared first, on the consumer's own connection: exclusive and server-named queues with
    /// their bindings. The first must be the queue; where its name is empty, the name that the
    /// broker gives replaces an empty destination in the bindings that follow.
    pub declare: Vec<Declaration>,
    /// Unsettled deliveries at most; never 0.
    pub prefetch: u16,
    /// No other consumer may be on the queue.
    pub exclusive: bool,
    /// Shown in the broker's pages.
    pub tag: String,
}

/// How full a queue is, and who takes from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Messages ready to be delivered; those that consumers hold aren't counted.
    pub messages: u32,
    /// Consumers.
    pub consumers: u32,
}

/// What answers at a broker's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// `RabbitMQ`, or `sluicegate embedded`.
    pub product: String,
    /// Its version.
    pub version: Version,
}

/// A version of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Major.
    pub major: u16,
    /// Minor.
    pub minor: u16,
    /// Patch.
    pub patch: u16,
}

/// Why a broker couldn't do what it was asked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BrokerError {
    /// No connection, or it broke.
    #[error("broker unreachable: {0}")]
    Unreachable(String),
    /// The user or password is wrong, or the virtual host isn't theirs.
    #[error("broker refused the connection: {0}")]
    Refused(String),
    /// The user may not do this.
    #[error("not permitted: {0}")]
    Forbidden(String),
    /// The object isn't there.
    #[error("not found: {0}")]
    NotFound(String),
    /// The object is there and differs.
    #[error(
        "{object} exists with {argument} = {found}, this config wants {wanted}; change the config, or delete {object} and let it be declared again"
    )]
    Mismatch {
        /// `queue 'orders'`
        object: String,
        /// The argument or property.
        argument: String,
        /// What the config says.
        wanted: String,
        /// What the broker has.
        found: String,
    },
    /// Somebody else holds the queue.
    #[error("in use elsewhere: {0}")]
    Locked(String),
    /// The broker can't do this.
    #[error("not supported by this broker: {0}")]
    Unsupported(String),
    /// The consumer's queue was deleted, or the broker cancelled it.
    #[error("consumer cancelled: {0}")]
    Cancelled(String),
    /// The channel was closed by the broker.
    #[error("channel closed: {0}")]
    ChannelClosed(String),
}

/// The broker that those settings mean; connects when it is first used.
#[must_use]
pub fn open(name: &str, settings: &config::Broker) -> Arc<dyn Broker> {
    match &settings.kind {
        BrokerKind::Amqp(settings) => amqp::AmqpBroker::new(name, settings.clone()),
        BrokerKind::Mqtt(settings) => mqtt::MqttBroker::new(name, settings.clone()),
        BrokerKind::Embedded => embedded::Embedded::new(),
    }
}

// === impl Receipt ===

impl Receipt {
    /// A receipt for the delivery of that tag.
    pub fn new(settler: Arc<dyn Settler>, tag: u64) -> Self {
        Self { settler: Some(settler), tag }
    }

    /// The delivery's tag on its channel.
    #[cfg(test)]
    pub(crate) fn tag(&self) -> u64 {
        self.tag
    }

    /// Settles the delivery. On a channel that is gone this does nothing: the broker delivers again.
    pub fn settle(mut self, settlement: Settlement) {
        if let Some(settler) = self.settler.take() {
            settler.settle(self.tag, settlement);
        }
    }

    /// Leaves the delivery to its channel: the broker gives it back when that closes, all in one go, which
    /// spares a long queue the work of taking back one by one.
    pub fn leave(mut self) {
        self.settler = None;
    }

    /// Whether the delivery's channel is gone, so that it will come again.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.settler.as_ref().is_none_or(|settler| settler.is_stale())
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(settler) = self.settler.take() {
            settler.dropped(self.tag);
            settler.settle(self.tag, Settlement::Release);
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").field("tag", &self.tag).finish_non_exhaustive()
    }
}

// === impl Version ===

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}
