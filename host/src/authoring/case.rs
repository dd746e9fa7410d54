//! A test case: calls of a plugin and what is expected of them, as authors write it in TOML or JSON.
//!
//! What is left out takes its usual value, so that a case says what it is about and nothing else. The
//! types are used for both sides: what an author expects, and what a call answered.

pub(super) mod content;
mod expected;
mod field;
mod limits;
mod timer;

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::content::Content;
pub use self::expected::{Changed, Emitted, Expected, Props, Verdict};
pub use self::field::{field_json, fields_json, table};
pub use self::limits::Limits;
pub use self::timer::{DueTimer, SetTimer};

use crate::config::{self, PluginLimits};
use crate::limits as bounds;
use crate::message::Properties;

/// Calls of one plugin, each after the other, with the state that the one before left.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Case {
    /// What it shows, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// What an operator would write as the plugin's `config`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub config: Map<String, Value>,
    /// What it may use, where that isn't the usual.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// State before the first call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub state: Vec<KeyState>,
    /// The calls.
    #[serde(rename = "call")]
    pub calls: Vec<Call>,
}

/// One call: a batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Call {
    /// The batch's time, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<String>,
    /// Or how long after the call before: `10m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Or what time passes, without messages: timers that were set come, each at its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pass: Option<String>,
    /// Or what time passes while the host is down: they come late, all at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down: Option<String>,
    /// Timers that are due, at most one of a key; they come before all messages. Where time passes, those
    /// that are expected to come, in order.
    #[serde(rename = "timer", skip_serializing_if = "Vec::is_empty")]
    pub timers: Vec<DueTimer>,
    /// The batch's messages, in order.
    #[serde(rename = "message", skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Message>,
    /// State that is expected after it, of the keys that are named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub state: Vec<KeyState>,
    /// Timers that are expected to be set after it, or not to be, of those that are named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<SetTimer>,
}

/// A key's state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyState {
    /// Whose.
    pub key: String,
    /// What it is; left out, the key has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Content>,
}

/// A message and what is expected of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Message {
    /// The exchange it was published to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub exchange: String,
    /// The routing key it was published with.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub routing_key: String,
    /// Its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Its attempt, from 1.
    #[serde(skip_serializing_if = "is_first")]
    pub attempt: u32,
    /// What ids derived from it start from, 32 hexadecimal digits; usually its number in the case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<String>,
    /// Its headers.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub headers: Map<String, Value>,
    /// Its other properties. A body of JSON or MessagePack has its content type unless one is given
    /// here; an empty one means none.
    #[serde(skip_serializing_if = "Props::is_empty")]
    pub properties: Props,
    /// Reference data of its key, by table: `row.meters = { rated = "63" }`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub row: Map<String, Value>,
    /// Its body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Content>,
    /// What is expected; left out, only that the call succeeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expected>,
}

/// Why a case can't be read or run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CaseError(pub String);

fn is_first(attempt: &u32) -> bool {
    *attempt == 1
}

// === impl Case ===

impl Case {
    /// Reads a case from a file, TOML or JSON by its name.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn read(path: &Path) -> Result<Self, CaseError> {
        let failed = |text: String| CaseError(format!("{}: {text}", path.display()));
        let bytes = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
        if bytes > bounds::CASE_FILE_BYTES {
            let most = bounds::CASE_FILE_BYTES;
            return Err(failed(format!("it has {bytes} bytes; a case has at most {most}")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        let is_json = path.extension().is_some_and(|end| end == "json");
        let case = if is_json { Self::from_json(&text) } else { Self::from_toml(&text) };
        case.map_err(|error| failed(error.0))
    }

    /// Reads a case.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_toml(text: &str) -> Result<Self, CaseError> {
        let case: Self =
            toml::from_str(text).map_err(|error| CaseError(error.to_string().trim_end().into()))?;
        case.checked()
    }

    /// Reads a case.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_json(text: &str) -> Result<Self, CaseError> {
        let case: Self =
            serde_json::from_str(text).map_err(|error| CaseError(error.to_string()))?;
        case.checked()
    }

    /// The case as TOML.
    ///
    /// # Errors
    /// A value that TOML doesn't have: null.
    pub fn to_toml(&self) -> Result<String, CaseError> {
        toml::to_string(self).map_err(|error| CaseError(format!("it can't be written: {error}")))
    }

    fn checked(self) -> Result<Self, CaseError> {
        if self.calls.is_empty() {
            return Err(CaseError(
                "a case has a call at least: write [[call]], then [[call.message]]".to_owned(),
            ));
        }
        Ok(self)
    }

    /// The config as the plugin gets it.
    ///
    /// # Errors
    /// A value that has no form in MessagePack.
    pub fn config(&self) -> Result<Vec<u8>, CaseError> {
        rmp_serde::to_vec_named(&self.config)
            .map_err(|error| CaseError(format!("config: it can't be handed over: {error}")))
    }

    /// What the plugin may use.
    ///
    /// # Errors
    /// A size or a time that can't be read.
    pub fn limits(&self) -> Result<PluginLimits, CaseError> {
        self.limits.as_ref().map_or_else(|| Ok(PluginLimits::default()), Limits::read)
    }
}

// === impl Call ===

impl Call {
    /// Its time in microseconds, `before` being the call's before.
    ///
    /// # Errors
    /// A time that can't be read.
    pub fn now_us(&self, before: u64) -> Result<u64, CaseError> {
        let times = [&self.now, &self.after, &self.pass, &self.down];
        if times.iter().filter(|time| time.is_some()).count() > 1 {
            let text = "`now`, `after`, `pass` or `down`: a call has one time";
            return Err(CaseError(text.to_owned()));
        }
        match (&self.now, &self.after) {
            (None, None) => Ok(before),
            (_, Some(after)) => {
                let after = u64::try_from(time("after", after)?.as_micros()).unwrap_or(u64::MAX);
                Ok(before.saturating_add(after))
            }
            (Some(now), None) => now
                .parse::<Timestamp>()
                .ok()
                .and_then(|now| u64::try_from(now.as_microsecond()).ok())
                .ok_or_else(|| {
                    CaseError(format!("now: '{now}' is no time since 1970: 2026-01-01T00:00:00Z"))
                }),
        }
    }

    /// What time passes in it, and whether the host is down meanwhile; `None` where it is a batch.
    ///
    /// # Errors
    /// A time that can't be read, or what such a call doesn't have.
    pub fn passing(&self) -> Result<Option<(Duration, bool)>, CaseError> {
        let passing = match (&self.pass, &self.down) {
            (Some(pass), _) => (time("pass", pass)?, false),
            (None, Some(down)) => (time("down", down)?, true),
            (None, None) => return Ok(None),
        };
        if !self.messages.is_empty() {
            let text =
                "a call in which time passes has no messages; write another [[call]] behind it";
            return Err(CaseError(text.to_owned()));
        }
        Ok(Some(passing))
    }
}

/// A time span as people write it.
pub(super) fn time(what: &str, text: &str) -> Result<Duration, CaseError> {
    config::duration(text)
        .ok_or_else(|| CaseError(format!("{what}: '{text}' is no time: 50ms, 10m, 1h30m")))
}

// === impl Message ===

impl Default for Message {
    fn default() -> Self {
        Self {
            exchange: String::new(),
            routing_key: String::new(),
            key: None,
            attempt: 1,
            seed: None,
            headers: Map::new(),
            properties: Props::default(),
            row: Map::new(),
            body: None,
            expect: None,
        }
    }
}

impl Message {
    /// Its properties, as a broker carries them.
    ///
    /// # Errors
    /// A header that AMQP can't have.
    pub fn properties(&self) -> Result<Properties, CaseError> {
        let from = self.properties.clone();
        let implied = self.body.as_ref().and_then(Content::content_type);
        let content_type = from.content_type.or_else(|| implied.map(str::to_owned));
        Ok(Properties {
            content_type: content_type.filter(|text| !text.is_empty()),
            content_encoding: from.content_encoding,
            headers: table(&self.headers)?,
            delivery_mode: from.delivery_mode,
            priority: from.priority,
            correlation_id: from.correlation_id,
            reply_to: from.reply_to,
            expiration: from.expiration,
            message_id: from.message_id,
            timestamp: from.timestamp,
            kind: from.kind,
            user_id: from.user_id,
            app_id: from.app_id,
            cluster_id: from.cluster_id,
        })
    }
}

/// What derived ids start from; unless it is said, the input's number in the case.
///
/// # Errors
/// A seed that isn't 32 hexadecimal digits.
pub fn seed(said: Option<&str>, number: u64) -> Result<[u8; 16], CaseError> {
    let Some(text) = said else { return Ok(u128::from(number).to_le_bytes()) };
    let bad = || CaseError(format!("seed: '{text}' isn't 32 hexadecimal digits"));
    content::hex(text).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(bad)
}

/// A key's rows, as a plugin gets them.
///
/// # Errors
/// A value that has no form in MessagePack.
pub fn row(tables: &Map<String, Value>) -> Result<Option<Vec<u8>>, CaseError> {
    if tables.is_empty() {
        return Ok(None);
    }
    let packed = rmp_serde::to_vec_named(tables);
    packed.map(Some).map_err(|error| CaseError(format!("row: it can't be handed over: {error}")))
}

#[cfg(test)]
mod tests;
