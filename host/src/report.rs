//! Failure reports: what is told of a message that ended as a failure. One JSON object, published by
//! the pipeline that it failed in, read by whoever lists, groups, replays or alerts.

mod resolution;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::resolution::{RESOLVED_KIND, Resolution, ResolvedLetter};

use crate::message::{FieldValue, Table};
use crate::verdict::Failure;

/// `type` of a published failure report.
pub const FAILURE_KIND: &str = "failure";
/// Headers of the message that a report repeats, at most.
const HEADERS_MAX: usize = 32;
/// Bytes of such a header's text; longer ones are cut.
const HEADER_BYTES: usize = 256;
/// Digits of a fingerprint.
const FINGERPRINT_DIGITS: usize = 16;

/// A failure report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// One per message and attempt; an annotated dead letter carries it in a header.
    pub id: String,
    /// What ties the report to its dead letter where that can't carry the id: see [`letter`].
    pub letter: String,
    /// Equal for failures that have one cause: see [`fingerprint`].
    pub fingerprint: String,
    /// The producer's identifier.
    pub message_id: Option<String>,
    /// The pipeline that it failed in.
    pub pipeline: String,
    /// The queue it came from.
    pub queue: String,
    /// The exchange that it was first published to.
    pub exchange: String,
    /// The routing key that it was first published with.
    pub routing_key: String,
    /// The key that orders it, where it has one.
    pub key: Option<String>,
    /// Its application headers, scalars only, 32 of them, each cut to 256 bytes.
    pub headers: BTreeMap<String, serde_json::Value>,
    /// Kind of cause.
    pub class: String,
    /// Low-cardinality reason.
    pub code: String,
    /// For people.
    pub text: String,
    /// Position of the stage, from 0, where a stage is to blame.
    pub stage: Option<usize>,
    /// That stage's plugin.
    pub plugin: Option<String>,
    /// SHA-256 of that plugin's file.
    pub plugin_digest: Option<String>,
    /// SHA-256 of the files of the tables that rows came from, by the tables' names.
    pub tables: BTreeMap<String, String>,
    /// The guest's stack at a trap, innermost first.
    pub backtrace: Vec<String>,
    /// 1 where it was tried once.
    pub attempt: u32,
    /// Seconds since 1970.
    pub first_failed_at: u64,
    /// Seconds since 1970.
    pub failed_at: u64,
    /// How the message ended: `dead_lettered`, `annotated`, `discarded`.
    pub end: String,
    /// Bytes of the body as it was published.
    pub body_bytes: usize,
    /// BLAKE3 of the body as it was published, in hexadecimal.
    pub body_digest: String,
    /// Trace context.
    pub traceparent: Option<String>,
    /// Trace context.
    pub tracestate: Option<String>,
    /// The id of the failure that this message was replayed after.
    pub replay_of: Option<String>,
    /// How often it was replayed; 0 at first.
    pub replay_count: u32,
    /// The host that reports.
    pub host: String,
}

/// Digest of what a message keeps on its way into a dead-letter queue: where it was consumed, how it
/// was first published, its id, its body. Two messages without an id that are equal to the byte share
/// one.
#[must_use]
pub fn letter(
    queue: &str,
    exchange: &str,
    routing_key: &str,
    message_id: Option<&str>,
    body: &[u8],
) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [queue, exchange, routing_key, message_id.unwrap_or_default()] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    hasher.update(body);
    hasher.finalize().to_hex()[..32].to_owned()
}

/// Groups failures by cause: pipeline, class, code, plugin, and the innermost named frame of the
/// guest's stack, or, without one, the text with its numbers and quoted parts left out.
#[must_use]
pub fn fingerprint(pipeline: &str, failure: &Failure) -> String {
    let plugin = failure.stage.as_ref().map_or("", |stage| stage.plugin.as_str());
    let place = failure.backtrace.first().map_or_else(|| outline(&failure.text), String::clone);
    let mut hasher = blake3::Hasher::new();
    for part in [pipeline, failure.class.as_str(), &failure.code, plugin, &place] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    hasher.finalize().to_hex()[..FINGERPRINT_DIGITS].to_owned()
}

/// A text without what differs from message to message: quoted parts, and words that hold a digit.
fn outline(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        // An apostrophe within a word is no quote: those are behind something else.
        let quoted = matches!(first, '\'' | '"' | '`').then(|| rest[1..].find(first)).flatten();
        if let Some(end) = quoted {
            kept.push('…');
            rest = &rest[end + 2..];
            continue;
        }
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '\'').unwrap_or(rest.len());
        if word == 0 {
            kept.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let has_digit = rest[..word].contains(|c: char| c.is_ascii_digit());
        kept.push_str(if has_digit { "#" } else { &rest[..word] });
        rest = &rest[word..];
    }
    kept
}

/// The headers that a report repeats: scalars, in order of their names, bounded.
#[must_use]
pub fn headers(table: &Table) -> BTreeMap<String, serde_json::Value> {
    let scalar = |value: &FieldValue| match value {
        FieldValue::Bool(truth) => Some(serde_json::Value::from(*truth)),
        FieldValue::F32(number) => Some(serde_json::Value::from(*number)),
        FieldValue::F64(number) => Some(serde_json::Value::from(*number)),
        FieldValue::Timestamp(seconds) => Some(serde_json::Value::from(*seconds)),
        value => match (value.as_text(), value.as_i64()) {
            (Some(text), _) => {
                let cut = text.floor_char_boundary(HEADER_BYTES);
                Some(serde_json::Value::from(&text[..cut]))
            }
            (None, number) => number.map(serde_json::Value::from),
        },
    };
    let scalars = table.iter().filter_map(|(name, value)| Some((name.to_owned(), scalar(value)?)));
    scalars.take(HEADERS_MAX).collect()
}

#[cfg(test)]
mod tests;
