//! What becomes of a message, in the words of a case: expected, or seen.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Content;
use crate::message::Properties;

/// What becomes of a message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// `next`, `done`, `drop`, `retry`, `reject`; `trap`, `deadline`, `memory`, `malformed` where the
    /// call fails.
    pub verdict: Verdict,
    /// The code of a retry or a rejection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// A part of its text, of a drop's reason, or of a failed call's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The delay that a retry wishes for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// What `next` changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Changed>,
    /// What is emitted, in order; left out, nothing.
    #[serde(default, rename = "emit", skip_serializing_if = "Vec::is_empty")]
    pub emissions: Vec<Emitted>,
}

/// The kinds of end that a message can have at a stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// On to the next stage.
    #[default]
    Next,
    /// Finished.
    Done,
    /// Finished without a result.
    Drop,
    /// Again later.
    Retry,
    /// Dead letter.
    Reject,
    /// The plugin trapped.
    Trap,
    /// It took too long.
    Deadline,
    /// It wanted too much memory.
    Memory,
    /// Its answer breaks the contract.
    Malformed,
}

/// What `next` makes of the message; what is left out isn't looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Changed {
    /// The new body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Content>,
    /// The new content type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The new headers, all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<Map<String, Value>>,
}

/// An emission; what is left out isn't looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Emitted {
    /// The output's name.
    pub output: String,
    /// The routing key that was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routing_key: Option<String>,
    /// The headers that were set, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<Map<String, Value>>,
    /// Properties that were set.
    #[serde(default, skip_serializing_if = "Props::is_empty")]
    pub properties: Props,
    /// The body that was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Content>,
}

/// AMQP's basic properties, without the headers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Props {
    /// MIME type of the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// How it is encoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
    /// The kind of message.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The producer's identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// What it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// Where an answer is expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// The publishing application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// The publishing user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// AMQP's obsolete property.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// Time to live, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration: Option<String>,
    /// Seconds since 1970-01-01 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<u64>,
    /// 0 to 255.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// 1 is transient, 2 persistent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_mode: Option<u8>,
}

// === impl Props ===

impl Props {
    /// Whether none is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These of a message.
    #[must_use]
    pub fn of(from: &Properties) -> Self {
        Self {
            content_type: from.content_type.clone(),
            content_encoding: from.content_encoding.clone(),
            kind: from.kind.clone(),
            message_id: from.message_id.clone(),
            correlation_id: from.correlation_id.clone(),
            reply_to: from.reply_to.clone(),
            app_id: from.app_id.clone(),
            user_id: from.user_id.clone(),
            cluster_id: from.cluster_id.clone(),
            expiration: from.expiration.clone(),
            timestamp: from.timestamp,
            priority: from.priority,
            delivery_mode: from.delivery_mode,
        }
    }
}
