//! The headers that the host writes, and whose word it takes for them.
//!
//! `sluicegate-*` headers tell attempts and origins. They count only on a message that came by one of
//! the host's own exchanges: by [`RETURN_EXCHANGE`], which is internal, from a delay queue; by
//! [`REPLAY_EXCHANGE`] from whoever may replay dead letters. From anybody else they are taken off.

use crate::limits::{COPY_HEADERS_BYTES, REPLAY_EXCHANGE, RETURN_EXCHANGE};
use crate::message::{FieldValue, Message, Table};

/// Which attempt this is; on a retry copy.
pub const ATTEMPT: &str = "sluicegate-attempt";
/// The queue that it was consumed from.
pub const QUEUE: &str = "sluicegate-queue";
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
/// On a replayed message whose body was mended on the way.
pub const REPLAY_PATCHED: &str = "sluicegate-replay-patched";

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

/// What the host's own headers say of a message's life so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// 1 at the first attempt.
    pub attempt: u32,
    /// Seconds since 1970; 0 where nothing failed yet.
    pub first_failed_at: u64,
    /// The id of the failure that it was replayed after, where it was.
    pub replay_of: Option<String>,
    /// How often it was replayed.
    pub replay_count: u32,
}

/// Whose word a delivery's `sluicegate-*` headers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// A host's, of a retry.
    Retry,
    /// An operator's, of a replay.
    Replay,
    /// Anybody's.
    Nobodys,
}

// === impl History ===

impl Default for History {
    fn default() -> Self {
        Self { attempt: 1, first_failed_at: 0, replay_of: None, replay_count: 0 }
    }
}

/// Whether it carries headers that only the host writes, and isn't a host's.
#[must_use]
pub fn are_forged(message: &Message) -> bool {
    let own = |(name, _): (&str, &FieldValue)| name.starts_with(PREFIX);
    word(message) == Word::Nobodys && message.properties.headers.iter().any(own)
}

/// Turns a delivery back into what its producer published, and says which attempt it is.
pub fn restore(message: &mut Message) -> History {
    let word = word(message);
    let headers = &mut message.properties.headers;
    if word == Word::Nobodys {
        strip_own(headers);
        return History::default();
    }
    let number = |name| headers.get(name).and_then(FieldValue::as_i64);
    let count = |name| number(name).and_then(|n| u32::try_from(n).ok());
    let text = |name| headers.text(name).map(str::to_owned);
    let mut history = History {
        replay_of: text(REPLAY_OF),
        replay_count: count(REPLAY_COUNT).unwrap_or(0),
        ..History::default()
    };
    if word == Word::Retry {
        history.attempt = count(ATTEMPT).unwrap_or(1).max(1);
        let first = number(FIRST_FAILED_AT).and_then(|n| u64::try_from(n).ok());
        history.first_failed_at = first.unwrap_or(0);
    } else {
        // A replay that doesn't count itself is one all the same.
        history.replay_count = history.replay_count.max(1);
    }
    let origin = (text(EXCHANGE), text(ROUTING_KEY));
    let (expiration, user_id) = (text(EXPIRATION), text(USER_ID));
    if let (Some(exchange), Some(routing_key)) = origin {
        message.exchange = exchange;
        message.routing_key = routing_key;
    }
    message.properties.expiration = expiration;
    message.properties.user_id = user_id;
    let brokers = headers.remove(BROKERS);
    strip_own(headers);
    strip_broker(headers);
    if let Some(FieldValue::Table(brokers)) = brokers {
        headers.0.extend(brokers.0);
    }
    history
}

/// Makes a copy's headers fit in a frame at the cost of what the host itself says of the failure, and
/// then of what brokers said before; what its producer wrote stays. Whether they fit.
pub fn fit(headers: &mut Table) -> bool {
    let over = |headers: &Table| headers.wire_bytes().saturating_sub(COPY_HEADERS_BYTES);
    let excess = over(headers);
    if let Some(text) = headers.text(TEXT).filter(|_| excess > 0) {
        let kept = text[..text.floor_char_boundary(text.len().saturating_sub(excess))].to_owned();
        headers.set(TEXT, kept);
    }
    for name in [TEXT, BROKERS, PLUGIN_DIGEST, PLUGIN, PIPELINE, CODE, CLASS] {
        if over(headers) == 0 {
            break;
        }
        headers.remove(name);
    }
    over(headers) == 0
}

/// Told by the exchange that the broker names: it says the truth.
fn word(message: &Message) -> Word {
    match message.exchange.as_str() {
        RETURN_EXCHANGE => Word::Retry,
        REPLAY_EXCHANGE => Word::Replay,
        _ => Word::Nobodys,
    }
}

#[cfg(test)]
mod tests;
