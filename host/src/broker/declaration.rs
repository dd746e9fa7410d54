//! Exchanges, queues and bindings, as AMQP declares them.

use std::fmt;

use crate::config::{ExchangeKind, QueueKind};
use crate::message::Table;

/// The argument of a session's declaration that says what an MQTT broker knows it by.
pub const CLIENT_ID: &str = "client-id";

/// The argument of a binding to an MQTT filter that says how sure its messages are wanted: 0 or 1.
pub const QOS: &str = "qos";

/// An object on a broker.
#[derive(Clone, Debug, PartialEq)]
pub enum Declaration {
    /// An exchange.
    Exchange(ExchangeDeclaration),
    /// A queue.
    Queue(QueueDeclaration),
    /// A binding.
    Binding(BindingDeclaration),
}

/// An exchange, as AMQP declares it.
#[derive(Clone, Debug, PartialEq)]
pub struct ExchangeDeclaration {
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: ExchangeKind,
    /// Survives a restart.
    pub durable: bool,
    /// Goes with its last binding.
    pub auto_delete: bool,
    /// Takes no publishes.
    pub internal: bool,
    /// `alternate-exchange` and others.
    pub arguments: Table,
}

/// A queue, as AMQP declares it.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueDeclaration {
    /// Name; empty asks the broker for one.
    pub name: String,
    /// Kind; `x-queue-type` in the arguments says the same.
    pub kind: QueueKind,
    /// Survives a restart.
    pub durable: bool,
    /// Goes with its connection.
    pub exclusive: bool,
    /// Goes with its last consumer.
    pub auto_delete: bool,
    /// `x-…` arguments.
    pub arguments: Table,
}

/// A binding, as AMQP declares it.
#[derive(Clone, Debug, PartialEq)]
pub struct BindingDeclaration {
    /// The exchange that feeds.
    pub source: String,
    /// What is fed.
    pub destination: Destination,
    /// Routing key or pattern.
    pub key: String,
    /// Header arguments.
    pub arguments: Table,
}

/// What a binding feeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A queue, by name.
    Queue(String),
    /// An exchange, by name.
    Exchange(String),
}

/// What a declaration found or made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// A queue's name, given by the broker where the declaration left it empty.
    pub name: String,
    /// Ready messages of a queue.
    pub messages: u32,
}

// === impl Declaration ===

/// As messages to people name it: `queue 'orders'`.
impl fmt::Display for Declaration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exchange(exchange) => write!(f, "exchange '{}'", exchange.name),
            Self::Queue(queue) => write!(f, "queue '{}'", queue.name),
            Self::Binding(BindingDeclaration { source, destination, key, .. }) => {
                let (kind, name) = match destination {
                    Destination::Queue(name) => ("queue", name),
                    Destination::Exchange(name) => ("exchange", name),
                };
                write!(f, "binding of {kind} '{name}' to exchange '{source}' with key '{key}'")
            }
        }
    }
}
