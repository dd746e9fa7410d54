//! Plugins, and pipelines of them, as the operator means them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::reload::Reload;
use crate::verdict::FailureClass;

/// A plugin.
#[derive(Clone, PartialEq)]
pub struct Plugin {
    /// Its name in this config.
    pub name: String,
    /// Where its code is.
    pub source: PluginSource,
    /// SHA-256 that the file must have, in hexadecimal.
    pub sha256: Option<String>,
    /// Handed to the plugin's `configure`: a MessagePack map.
    pub config: Vec<u8>,
    /// What it may use.
    pub limits: PluginLimits,
    /// When it counts as broken; `None` is never.
    pub breaker: Option<PluginBreaker>,
    /// The share of its calls that are run again elsewhere, to see whether it answers the same.
    pub purity_sample: f64,
    /// How another version of it comes into service.
    pub reload: Reload,
}

impl fmt::Debug for Plugin {
    /// Without the plugin's own config, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.name)
            .field("source", &self.source)
            .field("sha256", &self.sha256)
            .field("config", &format_args!("{} bytes", self.config.len()))
            .field("limits", &self.limits)
            .field("breaker", &self.breaker)
            .field("purity_sample", &self.purity_sample)
            .field("reload", &self.reload)
            .finish()
    }
}

/// Where a plugin's code is.
#[derive(Clone, Debug, PartialEq)]
pub enum PluginSource {
    /// A component file.
    File(PathBuf),
    /// A component that this binary carries, by name (`builtin:meter-anomaly`).
    Builtin(String),
}

/// What a plugin may use. Defaults are in [`crate::limits`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginLimits {
    /// Bytes of linear memory of an instance.
    pub memory_bytes: usize,
    /// Processor time of one `process` call.
    pub call: Duration,
    /// Emissions of one message.
    pub emissions: usize,
    /// Bytes of the emissions of one message.
    pub emission_bytes: usize,
    /// Bytes returned by one call.
    pub output_bytes: usize,
    /// Bytes that one call may hand over in calls of the host: log lines, standard output.
    pub host_call_bytes: usize,
    /// Bytes of one key's state.
    pub state_bytes: usize,
    /// Log lines per second.
    pub log_lines_per_s: u32,
    /// Bytes of the component.
    pub file_bytes: u64,
    /// Time that compiling it may take.
    pub compile: Duration,
    /// Address space of the process that compiles it, in bytes.
    pub compile_memory_bytes: u64,
}

/// When a plugin counts as broken, and what then.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginBreaker {
    /// The share of messages that must fail in its calls.
    pub rate: f64,
    /// How many must fail at least.
    pub at_least: u32,
    /// The time in which.
    pub window: Duration,
    /// What becomes of its messages then.
    pub on_broken: OnBroken,
}

/// What becomes of the messages of a broken plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnBroken {
    /// The pipelines that use it pause.
    Pause,
    /// They fail without a call.
    DeadLetter,
}

/// A queue's way through plugins.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// Its name: metrics, logs, headers and derived ids carry it.
    pub name: String,
    /// The queue it consumes, by its name in this config.
    pub queue: String,
    /// The broker of that queue.
    pub broker: String,
    /// What orders messages and finds their state.
    pub key: Option<KeySource>,
    /// A message without the key is rejected (`no_key`) instead of running keyless.
    pub key_required: bool,
    /// What bodies are that don't say it.
    pub content_type: Option<ContentType>,
    /// What messages are that don't say it: their `type`.
    pub kind: Option<KindSource>,
    /// Where a message's identity comes from.
    pub id: IdSource,
    /// How long and how many identities are remembered.
    pub id_window: IdWindow,
    /// When state of keys that aren't used is forgotten; `None` is never.
    pub state_ttl: Option<Duration>,
    /// Plugins in order, at least one.
    pub stages: Vec<Stage>,
    /// Where emissions may go, by name.
    pub outputs: BTreeMap<String, Output>,
    /// Unacknowledged messages held.
    pub prefetch: u16,
    /// How fast messages are taken; `None` is as fast as they can be.
    pub rate: Option<Rate>,
    /// The shards that it uses; `None` is all.
    pub shards: Option<Shards>,
    /// Bounds of one call's batch.
    pub batch: BatchLimits,
    /// Consumers alone on the queue.
    pub exclusive: bool,
    /// What is tried again, how often, after how long.
    pub retry: Retry,
    /// What is recorded of its calls.
    pub record: Record,
}

/// How fast a pipeline takes messages, over all its shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// So many messages.
    pub messages: u32,
    /// Within that time.
    pub within: Duration,
    /// Messages that pass at once after a quiet time.
    pub burst: u32,
}

/// How many shards a pipeline uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shards {
    /// At least, and at first.
    pub least: usize,
    /// At most.
    pub most: usize,
    /// What messages may take from receipt to settlement on average before there is another one.
    pub latency: Duration,
}

/// Where a message's key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A header.
    Header(String),
    /// A dot-separated word of the routing key, from 0.
    RoutingKeySegment(usize),
    /// The whole routing key.
    RoutingKey,
    /// A level of the topic that it came by, from 0.
    TopicLevel(usize),
    /// A top-level field of a JSON or MessagePack body.
    BodyField(String),
}

/// What a body is that doesn't say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContentType {
    /// This.
    Is(String),
    /// JSON or MessagePack, by its first byte.
    Detected,
}

/// What a message is that doesn't say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KindSource {
    /// This.
    Is(String),
    /// A level of the topic that it came by, from 0.
    TopicLevel(usize),
}

/// Where a message's identity is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdSource {
    /// The `message_id` property; without one, no deduplication.
    Property,
    /// A header.
    Header(String),
    /// Top-level fields of a JSON or MessagePack body, together.
    BodyFields(Vec<String>),
    /// The digest of the body alone.
    Hash,
    /// No identity, no deduplication.
    None,
}

/// How long and how many identities are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdWindow {
    /// Age.
    pub age: Duration,
    /// Number, per shard.
    pub entries: usize,
}

/// One plugin of a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// The plugin's name in this config.
    pub plugin: String,
    /// Which messages it sees; `None` is all, the rest pass by.
    pub when: Option<When>,
    /// Names of the tables whose row of the message's key it is handed.
    pub tables: Vec<String>,
}

/// A table of reference data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name in this config; plugins ask for rows by it.
    pub name: String,
    /// Its file: CSV with a header, or JSON lines.
    pub file: PathBuf,
    /// The column that holds the messages' key.
    pub key: String,
}

/// A condition, matched by the host. All that is set must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct When {
    /// A topic pattern for the routing key.
    pub routing_key: Option<String>,
    /// A header that must be there, with this text or (empty) any value.
    pub header: Option<(String, Option<String>)>,
    /// The `type` property.
    pub kind: Option<String>,
}

/// Where emissions of one name go.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The broker; the pipeline's own unless set.
    pub broker: String,
    /// The exchange.
    pub exchange: String,
    /// Used where an emission sets none; `None` takes the input's.
    pub routing_key: Option<String>,
    /// What an unroutable message means.
    pub unroutable: Unroutable,
}

/// What it means that an exchange routes a message nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unroutable {
    /// The input fails.
    Fail,
    /// Normal: a fanout without subscribers.
    Drop,
}

/// Bounds of one call's batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Messages.
    pub messages: usize,
    /// Messages below which a lane doesn't tune itself.
    pub least: usize,
    /// Bytes of bodies.
    pub bytes: usize,
}

/// What is recorded of a pipeline's calls.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Calls that failed, and messages that plugins refused.
    pub failures: bool,
    /// The share of messages whose calls are recorded, whatever comes of them.
    pub sample: f64,
    /// What is kept of bodies, state and rows.
    pub bodies: Bodies,
    /// Capsules kept.
    pub max_files: usize,
    /// Bytes of them.
    pub max_bytes: u64,
    /// Their age.
    pub max_age: Duration,
}

/// What a capsule holds of bodies, state and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bodies {
    /// All: it can be replayed to the bit.
    Keep,
    /// Their shape without their values.
    Redact,
    /// Nothing.
    None,
}

/// What is tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Attempts by class, the first included; 1 is no retry, and so is a class that isn't here.
    pub attempts: BTreeMap<FailureClass, u32>,
    /// Delays, ascending; attempt n waits on rung n unless the plugin asks for longer.
    pub rungs: Vec<Duration>,
    /// The delays of classes that have their own.
    pub class_rungs: BTreeMap<FailureClass, Vec<Duration>>,
    /// What becomes of a key's later messages while one of it waits to be tried again.
    pub order: RetryOrder,
    /// Messages that may wait in the host for their key, below the prefetch.
    pub park: usize,
}

/// What becomes of a key's later messages while one of it waits to be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryOrder {
    /// They go on; the retried one comes behind.
    Free,
    /// They wait behind it, in order.
    Key,
}

// === impl Retry ===

impl Retry {
    /// Nothing is tried again.
    #[must_use]
    pub fn never() -> Self {
        Self {
            attempts: BTreeMap::new(),
            rungs: Vec::new(),
            class_rungs: BTreeMap::new(),
            order: RetryOrder::Free,
            park: 0,
        }
    }

    /// Attempts of that class, the first included.
    #[must_use]
    pub fn attempts_of(&self, class: FailureClass) -> u32 {
        self.attempts.get(&class).copied().unwrap_or(1)
    }

    /// Messages that may wait in the host for their key.
    #[must_use]
    pub fn parked(&self) -> usize {
        match self.order {
            RetryOrder::Free => 0,
            RetryOrder::Key => self.park,
        }
    }

    /// The delays of that class, ascending.
    #[must_use]
    pub fn rungs_of(&self, class: FailureClass) -> &[Duration] {
        self.class_rungs.get(&class).unwrap_or(&self.rungs)
    }

    /// All delays that a message may wait for, ascending: every rung of a class that is tried again,
    /// because a plugin may ask for any.
    #[must_use]
    pub fn rungs_used(&self) -> BTreeSet<Duration> {
        let retried = self.attempts.iter().filter(|(_, attempts)| **attempts > 1);
        retried.flat_map(|(class, _)| self.rungs_of(*class)).copied().collect()
    }
}
