//! What dead-lettering does to a message: the `x-death` header in RabbitMQ's shape, and whether a
//! message goes round in a circle by itself.

use crate::message::{FieldValue, Message, Table};

/// Why a message left its queue unacknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// A consumer rejected it.
    Rejected,
    /// Its time to live ended.
    Expired,
    /// The queue was full.
    MaxLength,
    /// It was delivered too often.
    DeliveryLimit,
}

/// A message that died: where, when and why.
pub(super) struct Death<'a> {
    pub(super) reason: Reason,
    pub(super) queue: &'a str,
    /// Seconds since 1970-01-01 UTC.
    pub(super) time: u64,
}

// === impl Reason ===

impl Reason {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::MaxLength => "maxlen",
            Self::DeliveryLimit => "delivery_limit",
        }
    }
}

/// The message as it goes to the dead-letter exchange: one more death in `x-death`, its expiration
/// gone, and with a dead-letter routing key that key alone.
pub(super) fn buried(
    message: &Message,
    death: &Death<'_>,
    exchange: &str,
    routing_key: Option<&str>,
) -> Message {
    let mut letter = message.clone();
    record(&mut letter, death);
    letter.properties.expiration = None;
    exchange.clone_into(&mut letter.exchange);
    if let Some(key) = routing_key {
        key.clone_into(&mut letter.routing_key);
        letter.properties.headers.remove("CC");
    }
    letter
}

/// Puts a death first in `x-death`; one of the same queue and reason is counted up instead.
fn record(message: &mut Message, death: &Death<'_>) {
    let earlier = match message.properties.headers.remove("x-death") {
        Some(FieldValue::Array(earlier)) => earlier,
        _ => Vec::new(),
    };
    let first = earlier.is_empty();
    let (mut same, mut others): (Vec<_>, Vec<_>) =
        earlier.into_iter().partition(|entry| is_of(entry, death.queue, death.reason));
    let entry = match same.pop() {
        Some(FieldValue::Table(mut entry)) => {
            let count = entry.get("count").and_then(FieldValue::as_i64).unwrap_or(0);
            entry.set("count", count.saturating_add(1));
            entry
        }
        _ => new_entry(message, death),
    };
    if first {
        let headers = &mut message.properties.headers;
        headers.set("x-first-death-reason", death.reason.as_str());
        headers.set("x-first-death-queue", death.queue);
        headers.set("x-first-death-exchange", message.exchange.as_str());
    }
    others.insert(0, FieldValue::Table(entry));
    message.properties.headers.set("x-death", FieldValue::Array(others));
}

fn new_entry(message: &Message, death: &Death<'_>) -> Table {
    let mut keys = vec![FieldValue::from(message.routing_key.as_str())];
    keys.extend(copies(&message.properties.headers, "CC").map(FieldValue::from));
    let mut entry: Table = [
        ("count", FieldValue::I64(1)),
        ("reason", death.reason.as_str().into()),
        ("queue", death.queue.into()),
        ("time", FieldValue::Timestamp(death.time)),
        ("exchange", message.exchange.as_str().into()),
        ("routing-keys", FieldValue::Array(keys)),
    ]
    .into_iter()
    .collect();
    if let Some(expiration) = &message.properties.expiration {
        entry.set("original-expiration", expiration.as_str());
    }
    entry
}

/// The further routing keys in a `CC` or `BCC` header.
pub(super) fn copies<'a>(headers: &'a Table, name: &str) -> impl Iterator<Item = &'a str> {
    let keys = match headers.get(name) {
        Some(FieldValue::Array(keys)) => keys.as_slice(),
        _ => &[],
    };
    keys.iter().filter_map(FieldValue::as_text)
}

/// Whether this dead letter comes back to a queue that it left before, with no consumer's rejection
/// since: such a circle would never end, so the queue is passed over.
pub(super) fn is_cycle(letter: &Message, queue: &str) -> bool {
    let Some(FieldValue::Array(deaths)) = letter.properties.headers.get("x-death") else {
        return false;
    };
    let Some(before) = deaths.iter().position(|entry| text_of(entry, "queue") == Some(queue))
    else {
        return false;
    };
    deaths[..=before]
        .iter()
        .all(|entry| text_of(entry, "reason") != Some(Reason::Rejected.as_str()))
}

fn is_of(entry: &FieldValue, queue: &str, reason: Reason) -> bool {
    text_of(entry, "queue") == Some(queue) && text_of(entry, "reason") == Some(reason.as_str())
}

fn text_of<'a>(entry: &'a FieldValue, name: &str) -> Option<&'a str> {
    match entry {
        FieldValue::Table(entry) => entry.text(name),
        _ => None,
    }
}
