//! What `state export` prints and `state import` reads: a line that says the format, then a line per key
//! and stage with all that it has.

use std::sync::Arc;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::state::{Change, Commit, Entry, Kept, Place, Shadow, Timer};

/// The format's version.
const FORMAT: u32 = 1;

/// All that a key has at a stage.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    pipeline: String,
    plugin: String,
    #[serde(default)]
    nth: u8,
    key: String,
    touched_s: u64,
    #[serde(default)]
    schema: u32,
    /// The state, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shadow: Option<ShadowLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    timers: Vec<TimerLine>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShadowLine {
    schema: u32,
    state: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TimerLine {
    name: String,
    due_us: u64,
    attempt: u32,
}

/// The first line.
pub(super) fn header() -> Value {
    json!({ "sluicegate_state": FORMAT })
}

/// Whether a line is the first of a format that is known.
pub(super) fn is_header(line: &str) -> bool {
    serde_json::from_str::<Value>(line).is_ok_and(|value| value == header())
}

impl Line {
    pub(super) fn of(place: &Place, key: &str, kept: &Kept) -> Self {
        let text = |bytes: &Bytes| STANDARD.encode(bytes);
        let Entry { bytes, schema, shadow, timers, .. } = &kept.entry;
        let shadow = shadow.as_ref().map(|shadow| ShadowLine {
            schema: shadow.schema,
            state: shadow.bytes.as_ref().map(text),
        });
        let timers = timers.iter().flat_map(|timers| timers.iter()).map(|timer| TimerLine {
            name: timer.name.to_string(),
            due_us: timer.due_us,
            attempt: timer.attempt,
        });
        Self {
            pipeline: place.pipeline.to_string(),
            plugin: place.plugin.to_string(),
            nth: place.nth,
            key: key.to_owned(),
            touched_s: kept.touched_s,
            schema: *schema,
            state: bytes.as_ref().map(text),
            shadow,
            timers: timers.collect(),
        }
    }

    /// What takes it up.
    pub(super) fn into_commit(self) -> anyhow::Result<Commit> {
        let bytes = |text: Option<String>| {
            let decoded = text.map(|text| STANDARD.decode(text)).transpose();
            decoded.map(|bytes| bytes.map(Bytes::from)).context("the state is no base64")
        };
        let shadow = match self.shadow {
            Some(ShadowLine { schema, state }) => Some(Shadow { schema, bytes: bytes(state)? }),
            None => None,
        };
        let mut timers: Vec<Timer> = self
            .timers
            .into_iter()
            .map(|TimerLine { name, due_us, attempt }| Timer { name: name.into(), due_us, attempt })
            .collect();
        timers.sort_by_key(|timer| timer.due_us);
        let entry = Entry {
            bytes: bytes(self.state)?,
            schema: self.schema,
            shadow,
            timers: (!timers.is_empty()).then(|| timers.into()),
            ..Entry::default()
        };
        let pipeline: Arc<str> = self.pipeline.into();
        let place =
            Place { pipeline: Arc::clone(&pipeline), plugin: self.plugin.into(), nth: self.nth };
        let change = Change { place: place.into(), key: self.key.into(), entry };
        Ok(Commit { entries: vec![change], ..Commit::new(pipeline, self.touched_s) })
    }
}

#[cfg(test)]
mod tests;
