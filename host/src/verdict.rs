//! What plugins decide and what failing means: plain data between `plugin`, which produces it, and
//! `pipeline`, which acts on it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::message::{Properties, Table, blob};

/// A plugin's answer for one message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// What becomes of the message.
    pub verdict: Verdict,
    /// What is to be published because of it. Empty for `Retry` and `Reject`.
    pub emissions: Vec<Emission>,
}

/// What becomes of a message after a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// On to the next stage; after the last one it means `Done`. With what is changed, boxed, since
    /// mostly nothing is.
    Next(Option<Box<Replacement>>),
    /// Finished; acknowledge.
    Done,
    /// Finished on purpose without a result; acknowledge, count apart.
    Drop {
        /// Why, in a few words; becomes a log field.
        reason: String,
    },
    /// Try again later.
    Retry {
        /// Low-cardinality reason, for metrics and policies.
        code: String,
        /// For people.
        text: String,
        /// The delay that the plugin wishes for; rounded up to a rung.
        after: Option<Duration>,
    },
    /// This message will never succeed: dead letter.
    Reject {
        /// Low-cardinality reason, for metrics and grouping.
        code: String,
        /// For people.
        text: String,
    },
}

/// What `Next` changes for the stages behind it; `None` keeps what was there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Replacement {
    /// The new body.
    #[serde(with = "blob::maybe")]
    pub body: Option<Bytes>,
    /// The new content type.
    pub content_type: Option<String>,
    /// The new headers, all of them.
    pub headers: Option<Table>,
}

/// A message that a plugin wants published on one of its pipeline's outputs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Emission {
    /// The output's name in the pipeline's config.
    pub output: String,
    /// `None`: the output's own, else the input's.
    pub routing_key: Option<String>,
    /// What the plugin set; the rest is inherited or filled by the host.
    pub properties: Properties,
    /// `None`: the message's body as this stage saw it.
    #[serde(default, with = "blob::maybe")]
    pub body: Option<Bytes>,
}

/// Why a message failed: one shape for every cause, and what a failure report says.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The kind of cause; retry policies go by it.
    pub class: FailureClass,
    /// Low-cardinality reason: the plugin's own, or the host's (`trap`, `unroutable`).
    pub code: String,
    /// For people: what happened, where, and what to do.
    pub text: String,
    /// Where it happened; absent where no stage was to blame.
    pub stage: Option<FailedStage>,
    /// The guest's stack at a trap, innermost first.
    pub backtrace: Vec<String>,
    /// The delay that the plugin wishes for before the next attempt.
    pub retry_after: Option<Duration>,
}

/// The stage that a failure belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct FailedStage {
    /// Position in the pipeline, from 0.
    pub index: usize,
    /// The plugin's name in the config.
    pub plugin: String,
    /// SHA-256 of the plugin's file, in hexadecimal.
    pub digest: String,
    /// Digests of the tables that rows came from, by name.
    pub tables: BTreeMap<String, String>,
}

/// The kinds of cause that a failure can have. A closed set: metrics label by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The plugin trapped: a panic, an out-of-bounds access, a call that the sandbox forbids.
    Trap,
    /// The plugin's call took longer than its `call` limit.
    Deadline,
    /// The plugin asked for more memory than its limit.
    Memory,
    /// The plugin's answer broke the contract: bad offsets, unknown output, too large.
    Malformed,
    /// The plugin asked for a retry.
    Retry,
    /// The plugin rejected the message.
    Reject,
    /// The message can't enter the pipeline: no key, an unknown or broken content encoding.
    Intake,
    /// An output can't be published, ever: unroutable, too large.
    Publish,
    /// Hosts died while the message ran, again and again.
    Crash,
}

// === impl Decision ===

impl From<Verdict> for Decision {
    /// That verdict, and nothing to publish.
    fn from(verdict: Verdict) -> Self {
        Self { verdict, emissions: Vec::new() }
    }
}

// === impl FailureClass ===

impl FailureClass {
    /// Every class, in the order in which they are documented.
    pub const ALL: [Self; 9] = [
        Self::Trap,
        Self::Deadline,
        Self::Memory,
        Self::Malformed,
        Self::Retry,
        Self::Reject,
        Self::Intake,
        Self::Publish,
        Self::Crash,
    ];

    /// The name in configs, headers and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::Malformed => "malformed",
            Self::Retry => "retry",
            Self::Reject => "reject",
            Self::Intake => "intake",
            Self::Publish => "publish",
            Self::Crash => "crash",
        }
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
