//! What `state export` prints and `state import` reads: a line that says the format, then a line per key
//! and stage with all that it has.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Change, Commit, Entry, Kept, Place, Shadow, Timer};

/// The format's version.
const FORMAT: u32 = 1;

/// All that a key has at a stage.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
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
#[must_use]
pub fn header() -> Value {
    json!({ "sluicegate_state": FORMAT })
}

/// Whether a line is the first of a format that is known.
#[must_use]
pub fn is_header(line: &str) -> bool {
    serde_json::from_str::<Value>(line).is_ok_and(|value| value == header())
}

impl Line {
    /// What a key has.
    #[must_use]
    pub fn of(place: &Place, key: &str, kept: &Kept) -> Self {
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

    /// As it is printed, without the line's end.
    #[must_use]
    pub fn text(&self) -> String {
        self.value().to_string()
    }

    /// As JSON.
    #[must_use]
    pub fn value(&self) -> Value {
        // Text and numbers always have a JSON.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// What takes it up.
    ///
    /// # Errors
    /// It makes no sense.
    pub fn into_commit(self) -> Result<Commit, String> {
        let bytes = |text: Option<String>| {
            let decoded = text.map(|text| STANDARD.decode(text)).transpose();
            let decoded = decoded.map_err(|error| format!("the state is no base64: {error}"))?;
            Ok::<_, String>(decoded.map(Bytes::from))
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
