//! Exchanges, queues and bindings, as the operator means them.

use std::time::Duration;

use super::{Filter, Session};
use crate::message::Table;

/// An exchange.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// Name.
    pub name: String,
    /// The broker it is on.
    pub broker: String,
    /// How it routes.
    pub kind: ExchangeKind,
    /// Survives a restart of the broker.
    pub durable: bool,
    /// Deleted with its last binding.
    pub auto_delete: bool,
    /// Takes no publishes, only bindings from exchanges.
    pub internal: bool,
    /// Where unroutable messages go.
    pub alternate: Option<String>,
    /// Exchanges that feed this one.
    pub bind: Vec<Binding>,
    /// Arguments beyond these.
    pub arguments: Table,
}

/// AMQP's four kinds of exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeKind {
    /// Binding key equals routing key.
    Direct,
    /// Binding key is a pattern of words, `*` and `#`.
    Topic,
    /// Every binding.
    Fanout,
    /// By header arguments.
    Headers,
}

/// A queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Queue {
    /// Its name in this config, and on the broker unless `server_named`.
    pub name: String,
    /// The broker chooses its name at each declaration.
    pub server_named: bool,
    /// The broker it is on.
    pub broker: String,
    /// The kind of queue.
    pub kind: QueueKind,
    /// Survives a restart of the broker.
    pub durable: bool,
    /// Belongs to one connection and goes with it.
    pub exclusive: bool,
    /// Deleted with its last consumer.
    pub auto_delete: bool,
    /// `x-max-priority`: 1 to 255.
    pub max_priority: Option<u8>,
    /// `x-message-ttl`.
    pub message_ttl: Option<Duration>,
    /// `x-expires`: deleted when unused for so long.
    pub expires: Option<Duration>,
    /// `x-max-length`, in messages.
    pub max_length: Option<u64>,
    /// `x-max-length-bytes`.
    pub max_bytes: Option<u64>,
    /// What happens past a maximum.
    pub overflow: Option<Overflow>,
    /// Where failed, expired and overflowed messages go.
    pub dead_letter: DeadLetter,
    /// `x-delivery-limit`, quorum queues alone.
    pub delivery_limit: Option<u32>,
    /// `x-single-active-consumer`.
    pub single_active_consumer: bool,
    /// What feeds it.
    pub bind: Vec<Binding>,
    /// Arguments beyond these.
    pub arguments: Table,
    /// On a broker that speaks MQTT: the session that stands in a queue's place.
    pub session: Option<Session>,
}

/// RabbitMQ's kinds of queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueKind {
    /// `x-queue-type: classic`
    Classic,
    /// `x-queue-type: quorum`
    Quorum,
    /// `x-queue-type: stream`; a target, never a pipeline's source.
    Stream,
}

/// `x-overflow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// The oldest goes, dead-lettered where there is a DLX.
    DropHead,
    /// The publisher gets a nack.
    RejectPublish,
    /// The same, and the message is dead-lettered; classic queues alone.
    RejectPublishDlx,
}

/// What becomes of a queue's dead letters.
#[derive(Clone, Debug, PartialEq)]
pub enum DeadLetter {
    /// Nothing is said; a pipeline refuses such a queue.
    Unset,
    /// A dead-letter exchange.
    To(DeadLetterTarget),
    /// A policy on the broker sets it: the operator vouches.
    Policy,
    /// Dead letters are thrown away, on purpose.
    Discard,
}

/// A dead-letter exchange and the queue that catches what it gets.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetterTarget {
    /// The broker: the queue's own, unless that has no exchanges.
    pub broker: String,
    /// `x-dead-letter-exchange`.
    pub exchange: String,
    /// `x-dead-letter-routing-key`; `None` keeps the message's own.
    pub routing_key: Option<String>,
    /// `x-dead-letter-strategy: at-least-once`, quorum queues with `reject-publish` alone.
    pub at_least_once: bool,
    /// `true`: a nack carries it; `false` ("annotate"): a confirmed copy with the reason in its
    /// headers is published there, then the original is acked.
    pub nack: bool,
    /// How often `dlq replay` sends one message back; 0 is never.
    pub max_replays: u32,
    /// What becomes of dead letters that pass the dead-letter queue's `ttl`, `max_length` or
    /// `max_bytes`.
    pub past_limit: PastLimit,
}

/// What becomes of dead letters that their queue keeps no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PastLimit {
    /// They are gone.
    Drop,
    /// The dead-letter queue's own dead-letter exchange puts them into the queue of this name, from
    /// which the host writes them to files.
    Archive(String),
}

/// A binding of a queue or exchange to an exchange.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    /// The source.
    pub exchange: String,
    /// Routing key or pattern.
    pub key: String,
    /// Header arguments, `x-match` included.
    pub arguments: Table,
    /// The filter of MQTT that says all this.
    pub filter: Option<Filter>,
}
