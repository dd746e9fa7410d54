//! RabbitMQ's `x-death` header: why and where a message was dead-lettered.

use crate::value::{Array, Value};

/// One queue and reason for which a message was dead-lettered, however often.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Death<'a> {
    /// `rejected`, `expired`, `maxlen` or `delivery_limit`.
    pub reason: &'a str,
    /// The queue it was in.
    pub queue: &'a str,
    /// The exchange it had come to that queue from.
    pub exchange: &'a str,
    /// How often, for this queue and reason.
    pub count: u64,
    /// When it first happened: seconds since 1970-01-01 UTC.
    pub time: Option<u64>,
    routing_keys: Array<'a>,
}

impl<'a> Death<'a> {
    /// The routing keys it had, CC and BCC ones included.
    pub fn routing_keys(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.routing_keys.iter().filter_map(|key| key.as_str())
    }
}

pub(crate) fn read<'a>(header: Option<Value<'a>>) -> impl Iterator<Item = Death<'a>> + use<'a> {
    let entries = match header {
        Some(Value::Array(entries)) => entries,
        _ => Array::default(),
    };
    entries.iter().filter_map(|entry| {
        let Value::Table(entry) = entry else { return None };
        Some(Death {
            reason: entry.text("reason")?,
            queue: entry.text("queue")?,
            exchange: entry.text("exchange").unwrap_or_default(),
            count: entry.get("count")?.as_i64()?.try_into().ok()?,
            time: entry.get("time").and_then(|time| time.as_i64()?.try_into().ok()),
            routing_keys: match entry.get("routing-keys") {
                Some(Value::Array(keys)) => keys,
                _ => Array::default(),
            },
        })
    })
}
