//! A plan as RabbitMQ's definitions JSON, for brokers where the host may declare nothing:
//! `rabbitmqctl import_definitions FILE` makes it so.
//!
//! JSON knows fewer types than AMQP: timestamps become numbers and bytes text. Exclusive and
//! server-named queues aren't in it: they exist only while their consumer does.

use serde_json::{Map, Value, json};

use super::{plan, vhost};
use crate::broker::{Declaration, Destination};
use crate::config::{Config, ExchangeKind};
use crate::message::{FieldValue, Table};

/// What the config needs on that broker, importable. Empty for a broker that it doesn't know.
#[must_use]
pub fn definitions(config: &Config, broker: &str) -> Value {
    let vhost = config.brokers.get(broker).map(vhost).unwrap_or_default();
    let (mut exchanges, mut queues, mut bindings) = (Vec::new(), Vec::new(), Vec::new());
    for object in plan(config).remove(broker).unwrap_or_default().shared {
        match object {
            Declaration::Exchange(exchange) => exchanges.push(json!({
                "name": exchange.name,
                "vhost": vhost,
                "type": kind_name(exchange.kind),
                "durable": exchange.durable,
                "auto_delete": exchange.auto_delete,
                "internal": exchange.internal,
                "arguments": arguments_json(&exchange.arguments),
            })),
            Declaration::Queue(queue) => queues.push(json!({
                "name": queue.name,
                "vhost": vhost,
                "durable": queue.durable,
                "auto_delete": queue.auto_delete,
                "arguments": arguments_json(&queue.arguments),
            })),
            Declaration::Binding(binding) => {
                let (kind, destination) = match binding.destination {
                    Destination::Queue(name) => ("queue", name),
                    Destination::Exchange(name) => ("exchange", name),
                };
                bindings.push(json!({
                    "source": binding.source,
                    "vhost": vhost,
                    "destination": destination,
                    "destination_type": kind,
                    "routing_key": binding.key,
                    "arguments": arguments_json(&binding.arguments),
                }));
            }
        }
    }
    json!({ "exchanges": exchanges, "queues": queues, "bindings": bindings })
}

/// The name of a kind of exchange on the wire.
pub(super) fn kind_name(kind: ExchangeKind) -> &'static str {
    match kind {
        ExchangeKind::Direct => "direct",
        ExchangeKind::Topic => "topic",
        ExchangeKind::Fanout => "fanout",
        ExchangeKind::Headers => "headers",
    }
}

/// Arguments as RabbitMQ writes them in JSON.
pub(super) fn arguments_json(arguments: &Table) -> Map<String, Value> {
    arguments.iter().map(|(name, value)| (name.to_owned(), value_json(value))).collect()
}

fn value_json(value: &FieldValue) -> Value {
    match value {
        FieldValue::Bool(value) => (*value).into(),
        FieldValue::F32(value) => (*value).into(),
        FieldValue::F64(value) => (*value).into(),
        FieldValue::Decimal { scale, value } => {
            (f64::from(*value) / 10_f64.powi((*scale).into())).into()
        }
        FieldValue::Text(bytes) | FieldValue::Bytes(bytes) => {
            String::from_utf8_lossy(bytes).into_owned().into()
        }
        FieldValue::Array(values) => values.iter().map(value_json).collect(),
        FieldValue::Timestamp(seconds) => (*seconds).into(),
        FieldValue::Table(table) => Value::Object(arguments_json(table)),
        FieldValue::Void => Value::Null,
        FieldValue::I8(_)
        | FieldValue::U8(_)
        | FieldValue::I16(_)
        | FieldValue::U16(_)
        | FieldValue::I32(_)
        | FieldValue::U32(_)
        | FieldValue::I64(_) => value.as_i64().into(),
    }
}
