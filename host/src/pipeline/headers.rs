//! The headers that the host writes, and whose word it takes for them.
//!
//! `sluicegate-*` headers tell attempts and origins. They count only on a message that came back
//! through the pipeline's own delay queues; from anybody else they are taken off.

use crate::message::{FieldValue, Message, Table};

/// Which attempt this is; on a retry copy.
pub const ATTEMPT: &str = "sluicegate-attempt";
/// The exchange that the message was first published to.
pub const EXCHANGE: &str = "sluicegate-exchange";
/// The routing key that it was first published with.
pub const ROUTING_KEY: &str = "sluicegate-routing-key";
/// `expiration` as the producer set it: copies must not expire in a delay queue.
pub const EXPIRATION: &str = "sluicegate-expiration";
/// `user-id` as the producer set it: a copy under another user's name closes the channel.
pub const USER_ID: &str = "sluicegate-user-id";
/// The headers that only brokers write, as they were at first: deaths above all.
pub const BROKERS: &str = "sluicegate-broker-headers";
/// When it failed first, seconds since 1970.
pub const FIRST_FAILED_AT: &str = "sluicegate-first-failed-at";
/// When it failed last, seconds since 1970.
pub const LAST_FAILED_AT: &str = "sluicegate-last-failed-at";
/// Failure class.
pub const CLASS: &str = "sluicegate-class";
/// Failure code.
pub const CODE: &str = "sluicegate-code";
/// Failure text.
pub const TEXT: &str = "sluicegate-text";
/// The pipeline that it failed in.
pub const PIPELINE: &str = "sluicegate-pipeline";
/// The plugin that it failed in.
pub const PLUGIN: &str = "sluicegate-plugin";
/// That plugin's digest.
pub const PLUGIN_DIGEST: &str = "sluicegate-plugin-digest";
/// The failure report's id, on annotated dead letters.
pub const FAILURE_ID: &str = "sluicegate-failure-id";

/// On a replayed message: the id of the failure that it is replayed after.
pub const REPLAY_OF: &str = "sluicegate-replay-of";
/// How often a message was replayed; on a replayed message.
pub const REPLAY_COUNT: &str = "sluicegate-replay-count";

/// How often a quorum queue delivered it: of one delivery, not of the message.
const COUNT: &str = "x-delivery-count";
const PREFIX: &str = "sluicegate-";
/// Headers that brokers write and act on; a copy that keeps them is misread or lost.
const BROKER: [&str; 10] = [
    "x-death",
    "x-first-death-exchange",
    "x-first-death-queue",
    "x-first-death-reason",
    "x-last-death-exchange",
    "x-last-death-queue",
    "x-last-death-reason",
    COUNT,
    "CC",
    "BCC",
];

/// Takes off every header that only the host writes.
pub fn strip_own(headers: &mut Table) {
    headers.0.retain(|(name, _)| !name.starts_with(PREFIX));
}

/// Takes off every header that only brokers write.
pub fn strip_broker(headers: &mut Table) {
    headers.0.retain(|(name, _)| !BROKER.contains(&name.as_str()));
}

/// The headers that only brokers write, for a copy to carry where no broker acts on them.
pub fn brokers_own(headers: &Table) -> Table {
    let kept = headers.iter().filter(|(name, _)| *name != COUNT && BROKER.contains(name));
    kept.map(|(name, value)| (name, value.clone())).collect()
}

/// What a retry copy says of its attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// 1 at the first attempt.
    pub attempt: u32,
    /// Seconds since 1970; 0 where nothing failed yet.
    pub first_failed_at: u64,
}

/// Turns a delivery back into what its producer published, and says which attempt it is.
/// `delay_queues`: does a delay queue of this pipeline have that name?
pub fn restore(
    message: &mut Message,
    queue: &str,
    is_delay_queue: impl Fn(&str) -> bool,
) -> History {
    let headers = &mut message.properties.headers;
    let came_back = message.exchange.is_empty()
        && message.routing_key == queue
        && last_death(headers).is_some_and(is_delay_queue);
    if !came_back {
        if headers.iter().any(|(name, _)| name.starts_with(PREFIX)) {
            strip_own(headers);
        }
        return History { attempt: 1, first_failed_at: 0 };
    }
    let number = |headers: &Table, name| {
        headers.get(name).and_then(FieldValue::as_i64).and_then(|n| u64::try_from(n).ok())
    };
    let attempt = number(headers, ATTEMPT).and_then(|n| u32::try_from(n).ok()).unwrap_or(1).max(1);
    let first_failed_at = number(headers, FIRST_FAILED_AT).unwrap_or(0);
    let text = |headers: &Table, name| headers.text(name).map(str::to_owned);
    message.exchange = text(headers, EXCHANGE).unwrap_or_default();
    message.routing_key = text(headers, ROUTING_KEY).unwrap_or_default();
    message.properties.expiration = text(headers, EXPIRATION);
    message.properties.user_id = text(headers, USER_ID);
    let brokers = headers.remove(BROKERS);
    strip_own(headers);
    strip_broker(headers);
    if let Some(FieldValue::Table(brokers)) = brokers {
        headers.0.extend(brokers.0);
    }
    History { attempt, first_failed_at }
}

/// The queue that dead-lettered the message last.
fn last_death(headers: &Table) -> Option<&str> {
    let Some(FieldValue::Array(deaths)) = headers.get("x-death") else { return None };
    match deaths.first() {
        Some(FieldValue::Table(death)) => death.text("queue"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
