//! Declarations, and asking whether something is there.

use lapin::options::{
    ExchangeBindOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, ExchangeKind as LapinKind};
use tokio::time::timeout;

use super::errors;
use super::fields::{TooLong, short, to_table};
use crate::broker::{
    BindingDeclaration, BrokerError, Declaration, Declared, Depth, Destination,
    ExchangeDeclaration, QueueDeclaration,
};
use crate::config::{ExchangeKind, QueueKind};
use crate::limits::BROKER_ANSWER;

/// Declares on that channel, which an error closes.
pub(super) async fn declare(
    channel: &Channel,
    object: &Declaration,
) -> Result<Declared, BrokerError> {
    let what = object.to_string();
    match object {
        Declaration::Exchange(exchange) => declare_exchange(channel, exchange, &what).await,
        Declaration::Queue(queue) => declare_queue(channel, queue, &what).await,
        Declaration::Binding(binding) => bind(channel, binding, &what).await,
    }
}

/// Whether the object is there.
pub(super) async fn exists(channel: &Channel, object: &Declaration) -> Result<bool, BrokerError> {
    let what = object.to_string();
    let found = match object {
        Declaration::Exchange(exchange) => exchange_exists(channel, &exchange.name).await,
        Declaration::Queue(queue) => depth(channel, &queue.name).await.map(drop),
        Declaration::Binding(_) => {
            return Err(BrokerError::Unsupported(format!("asking for {what} over AMQP")));
        }
    };
    match found {
        Ok(()) | Err(BrokerError::Locked(_)) => Ok(true),
        Err(BrokerError::NotFound(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What the broker counts in a queue.
pub(super) async fn depth(channel: &Channel, queue: &str) -> Result<Depth, BrokerError> {
    let what = format!("queue '{queue}'");
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let name = short(&what, queue).map_err(unsupported)?;
    let asked = channel.queue_declare(name, options, FieldTable::default());
    let queue = answered(asked, &what).await?;
    Ok(Depth { messages: queue.message_count(), consumers: queue.consumer_count() })
}

/// Deletes a classic queue that holds nothing and that nobody consumes; false where it isn't so.
pub(super) async fn delete_if_empty(channel: &Channel, queue: &str) -> Result<bool, BrokerError> {
    let what = format!("queue '{queue}'");
    let options = QueueDeleteOptions { if_unused: true, if_empty: true, nowait: false };
    let name = short(&what, queue).map_err(unsupported)?;
    match answered(channel.queue_delete(name, options), &what).await {
        Ok(_) => Ok(true),
        // 406: in use, or not empty; it closed the channel.
        Err(BrokerError::ChannelClosed(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Succeeds where the exchange is there.
pub(super) async fn exchange_exists(channel: &Channel, name: &str) -> Result<(), BrokerError> {
    if name.is_empty() {
        return Ok(());
    }
    let what = format!("exchange '{name}'");
    let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    let name = short(&what, name).map_err(unsupported)?;
    let asked = channel.exchange_declare(name, LapinKind::Direct, options, FieldTable::default());
    answered(asked, &what).await
}

async fn declare_exchange(
    channel: &Channel,
    exchange: &ExchangeDeclaration,
    what: &str,
) -> Result<Declared, BrokerError> {
    let declared = Declared { name: exchange.name.clone(), messages: 0 };
    // The default exchange is always there and can't be declared.
    if exchange.name.is_empty() {
        return Ok(declared);
    }
    let kind = match exchange.kind {
        ExchangeKind::Direct => LapinKind::Direct,
        ExchangeKind::Topic => LapinKind::Topic,
        ExchangeKind::Fanout => LapinKind::Fanout,
        ExchangeKind::Headers => LapinKind::Headers,
    };
    let options = ExchangeDeclareOptions {
        durable: exchange.durable,
        auto_delete: exchange.auto_delete,
        internal: exchange.internal,
        ..ExchangeDeclareOptions::default()
    };
    let name = short(what, &exchange.name).map_err(unsupported)?;
    let arguments = to_table(&exchange.arguments).map_err(unsupported)?;
    answered(channel.exchange_declare(name, kind, options, arguments), what).await?;
    Ok(declared)
}

async fn declare_queue(
    channel: &Channel,
    queue: &QueueDeclaration,
    what: &str,
) -> Result<Declared, BrokerError> {
    let options = QueueDeclareOptions {
        durable: queue.durable,
        exclusive: queue.exclusive,
        auto_delete: queue.auto_delete,
        ..QueueDeclareOptions::default()
    };
    let name = short(what, &queue.name).map_err(unsupported)?;
    let mut arguments = to_table(&queue.arguments).map_err(unsupported)?;
    let kind = match queue.kind {
        // Left unsaid: a classic queue that was declared without it is the same queue.
        QueueKind::Classic => None,
        QueueKind::Quorum => Some("quorum"),
        QueueKind::Stream => Some("stream"),
    };
    if let Some(kind) = kind
        && !arguments.contains_key("x-queue-type")
    {
        arguments.insert("x-queue-type".into(), AMQPValue::LongString(LongString::from(kind)));
    }
    let declared = answered(channel.queue_declare(name, options, arguments), what).await?;
    Ok(Declared { name: declared.name().to_string(), messages: declared.message_count() })
}

async fn bind(
    channel: &Channel,
    binding: &BindingDeclaration,
    what: &str,
) -> Result<Declared, BrokerError> {
    let source = short(what, &binding.source).map_err(unsupported)?;
    let key = short(what, &binding.key).map_err(unsupported)?;
    let arguments = to_table(&binding.arguments).map_err(unsupported)?;
    match &binding.destination {
        Destination::Queue(name) => {
            let queue = short(what, name).map_err(unsupported)?;
            let options = QueueBindOptions::default();
            answered(channel.queue_bind(queue, source, key, options, arguments), what).await?;
        }
        Destination::Exchange(name) => {
            let exchange = short(what, name).map_err(unsupported)?;
            let options = ExchangeBindOptions::default();
            answered(channel.exchange_bind(exchange, source, key, options, arguments), what)
                .await?;
        }
    }
    Ok(Declared::default())
}

/// Waits for the broker's answer, boundedly.
pub(super) async fn answered<T>(
    request: impl Future<Output = lapin::Result<T>>,
    what: &str,
) -> Result<T, BrokerError> {
    match timeout(BROKER_ANSWER, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(errors::of_channel(&error, what)),
        Err(_) => {
            Err(BrokerError::Unreachable(format!("{what}: no answer within {BROKER_ANSWER:?}")))
        }
    }
}

/// What AMQP has no room for.
pub(super) fn unsupported(error: TooLong) -> BrokerError {
    BrokerError::Unsupported(error.to_string())
}
