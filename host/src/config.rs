//! What the operator means: a config that has passed every check, in the words of the field.
//!
//! `config/` turns text into these types and reports every problem with its line. The
//! rest of the host sees only what is meant, never what was typed. [`read`] takes a file, [`parse`]
//! a text; both answer with everything that is wrong at once, each [`Problem`] with its place and
//! its remedy.

mod broker;
mod check;
mod exchange;
mod file;
mod locator;
mod notes;
mod pipeline;
mod plugin;
mod problem;
mod queue;
mod redact;
mod scalar;
mod section;
mod service;
#[cfg(test)]
mod tests;

pub use file::{load, parse, read};
pub use locator::Locator;
pub use problem::{Problem, Severity, Warning, render_all};

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::message::Table;
use crate::verdict::FailureClass;

/// A whole config file, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Brokers by name, at least one.
    pub brokers: BTreeMap<String, Broker>,
    /// Exchanges to declare or rely on.
    pub exchanges: Vec<Exchange>,
    /// Queues to declare or rely on.
    pub queues: Vec<Queue>,
    /// Plugins by name.
    pub plugins: BTreeMap<String, Plugin>,
    /// Pipelines, in the order of the file.
    pub pipelines: Vec<Pipeline>,
    /// Where failure reports go.
    pub failures: Failures,
    /// The process itself.
    pub service: Service,
}

/// One broker.
#[derive(Clone, Debug)]
pub struct Broker {
    /// How to reach it.
    pub kind: BrokerKind,
    /// Whether the host may create what the config names.
    pub declare: Declare,
}

/// The kinds of broker.
#[derive(Clone, Debug)]
pub enum BrokerKind {
    /// RabbitMQ over AMQP 0-9-1.
    Amqp(Amqp),
    /// In this process, in memory.
    Embedded,
}

/// How to reach a RabbitMQ.
#[derive(Clone, Debug)]
pub struct Amqp {
    /// Addresses, `amqp://` or `amqps://`, without credentials; tried in random order.
    pub urls: Vec<String>,
    /// User and password.
    pub credentials: Credentials,
    /// What `amqps://` verifies with.
    pub tls: Tls,
    /// AMQP heartbeat; 0 turns it off.
    pub heartbeat: Duration,
    /// Stated by the operator; `None` asks the broker.
    pub version: Option<String>,
    /// The management API, `http://host:15672`; used by `declare = "verify"` alone.
    pub management: Option<String>,
    /// A definitions export to verify against where there is no management API.
    pub definitions: Option<PathBuf>,
}

/// Where user and password come from. Never printed.
#[derive(Clone)]
pub enum Credentials {
    /// RabbitMQ's `guest`.
    Default,
    /// Written in the URL.
    Inline {
        /// User.
        user: String,
        /// Password.
        password: String,
    },
    /// A file of one line `user:password`, read again at each connect.
    File(PathBuf),
    /// An environment variable holding `user:password`.
    Env(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("Default"),
            Self::Inline { user, .. } => write!(f, "Inline({user}:…)"),
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Env(name) => write!(f, "Env({name})"),
        }
    }
}

/// TLS options beside the system's roots.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Additional roots, PEM.
    pub ca: Option<PathBuf>,
    /// Client identity, PKCS #12.
    pub identity: Option<PathBuf>,
    /// A file with the identity's password.
    pub identity_password: Option<PathBuf>,
}

/// What the host may do to the broker's objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declare {
    /// Create what is missing; what exists must match.
    Create,
    /// Create nothing; compare what can be compared, list the rest.
    Verify,
    /// Use what is there.
    None,
}

/// An exchange.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Name.
    pub name: String,
    /// The broker it is on.
    pub broker: String,
    /// How it routes.
    pub kind: ExchangeKind,
    /// Survives a restart of the broker.
    pub durable: bool,
    /// Deleted with its last binding.
    pub auto_delete: bool,
    /// Takes no publishes, only bindings from exchanges.
    pub internal: bool,
    /// Where unroutable messages go.
    pub alternate: Option<String>,
    /// Exchanges that feed this one.
    pub bind: Vec<Binding>,
    /// Arguments beyond these.
    pub arguments: Table,
}

/// AMQP's four kinds of exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeKind {
    /// Binding key equals routing key.
    Direct,
    /// Binding key is a pattern of words, `*` and `#`.
    Topic,
    /// Every binding.
    Fanout,
    /// By header arguments.
    Headers,
}

/// A queue.
#[derive(Clone, Debug)]
pub struct Queue {
    /// Its name in this config, and on the broker unless `server_named`.
    pub name: String,
    /// The broker chooses its name at each declaration.
    pub server_named: bool,
    /// The broker it is on.
    pub broker: String,
    /// The kind of queue.
    pub kind: QueueKind,
    /// Survives a restart of the broker.
    pub durable: bool,
    /// Belongs to one connection and goes with it.
    pub exclusive: bool,
    /// Deleted with its last consumer.
    pub auto_delete: bool,
    /// `x-max-priority`: 1 to 255.
    pub max_priority: Option<u8>,
    /// `x-message-ttl`.
    pub message_ttl: Option<Duration>,
    /// `x-expires`: deleted when unused for so long.
    pub expires: Option<Duration>,
    /// `x-max-length`, in messages.
    pub max_length: Option<u64>,
    /// `x-max-length-bytes`.
    pub max_bytes: Option<u64>,
    /// What happens past a maximum.
    pub overflow: Option<Overflow>,
    /// Where failed, expired and overflowed messages go.
    pub dead_letter: DeadLetter,
    /// `x-delivery-limit`, quorum queues alone.
    pub delivery_limit: Option<u32>,
    /// `x-single-active-consumer`.
    pub single_active_consumer: bool,
    /// What feeds it.
    pub bind: Vec<Binding>,
    /// Arguments beyond these.
    pub arguments: Table,
}

/// RabbitMQ's kinds of queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueKind {
    /// `x-queue-type: classic`
    Classic,
    /// `x-queue-type: quorum`
    Quorum,
    /// `x-queue-type: stream`; a target, never a pipeline's source.
    Stream,
}

/// `x-overflow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// The oldest goes, dead-lettered where there is a DLX.
    DropHead,
    /// The publisher gets a nack.
    RejectPublish,
    /// The same, and the message is dead-lettered; classic queues alone.
    RejectPublishDlx,
}

/// What becomes of a queue's dead letters.
#[derive(Clone, Debug, PartialEq)]
pub enum DeadLetter {
    /// Nothing is said; a pipeline refuses such a queue.
    Unset,
    /// A dead-letter exchange.
    To(DeadLetterTarget),
    /// A policy on the broker sets it: the operator vouches.
    Policy,
    /// Dead letters are thrown away, on purpose.
    Discard,
}

/// A dead-letter exchange and the queue that catches what it gets.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetterTarget {
    /// `x-dead-letter-exchange`.
    pub exchange: String,
    /// `x-dead-letter-routing-key`; `None` keeps the message's own.
    pub routing_key: Option<String>,
    /// `x-dead-letter-strategy: at-least-once`, quorum queues with `reject-publish` alone.
    pub at_least_once: bool,
    /// `true`: a nack carries it; `false` ("annotate"): a confirmed copy with the reason in its
    /// headers is published there, then the original is acked.
    pub nack: bool,
}

/// A binding of a queue or exchange to an exchange.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    /// The source.
    pub exchange: String,
    /// Routing key or pattern.
    pub key: String,
    /// Header arguments, `x-match` included.
    pub arguments: Table,
}

/// A plugin.
#[derive(Clone)]
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
            .finish()
    }
}

/// Where a plugin's code is.
#[derive(Clone, Debug)]
pub enum PluginSource {
    /// A component file.
    File(PathBuf),
    /// A component that this binary carries, by name (`builtin:meter-anomaly`).
    Builtin(String),
}

/// What a plugin may use. Defaults are in [`crate::limits`].
#[derive(Clone, Debug, PartialEq)]
pub struct PluginLimits {
    /// Bytes of linear memory of an instance.
    pub memory_bytes: usize,
    /// Processor time of one `process` call.
    pub call: Duration,
    /// Bytes of stack.
    pub stack_bytes: usize,
    /// Emissions of one message.
    pub emissions: usize,
    /// Bytes returned by one call.
    pub output_bytes: usize,
    /// Bytes of one key's state.
    pub state_bytes: usize,
    /// Log lines per second.
    pub log_lines_per_s: u32,
}

/// A queue's way through plugins.
#[derive(Clone, Debug)]
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
    /// Where a message's identity comes from.
    pub id: IdSource,
    /// How long and how many identities are remembered.
    pub id_window: IdWindow,
    /// Plugins in order, at least one.
    pub stages: Vec<Stage>,
    /// Where emissions may go, by name.
    pub outputs: BTreeMap<String, Output>,
    /// Unacknowledged messages held.
    pub prefetch: u16,
    /// Bounds of one call's batch.
    pub batch: BatchLimits,
    /// Consumers alone on the queue.
    pub exclusive: bool,
    /// What is tried again, how often, after how long.
    pub retry: Retry,
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
    /// A top-level field of a JSON or MessagePack body.
    BodyField(String),
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
#[derive(Clone, Debug)]
pub struct Stage {
    /// The plugin's name in this config.
    pub plugin: String,
    /// Which messages it sees; `None` is all, the rest pass by.
    pub when: Option<When>,
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
    /// Bytes of bodies.
    pub bytes: usize,
}

/// What is tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Attempts by class, the first included; 1 is no retry.
    pub attempts: BTreeMap<FailureClass, u32>,
    /// Delays, ascending; attempt n waits on rung n unless the plugin asks for longer.
    pub rungs: Vec<Duration>,
}

/// Where failure reports go, on each broker that a pipeline consumes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Failures {
    /// The topic exchange; also the name of the queue that keeps reports.
    pub exchange: String,
    /// Reports kept.
    pub max_length: u64,
    /// How long they are kept.
    pub ttl: Duration,
}

/// The process itself.
#[derive(Clone, Debug)]
pub struct Service {
    /// Where `/live`, `/ready` and `/metrics` answer; `None` is nowhere.
    pub http: Option<SocketAddr>,
    /// The control socket; `None` takes the runtime folder's.
    pub socket: Option<PathBuf>,
    /// Threads that run plugins; 0 is one per core.
    pub shards: usize,
    /// Time to finish what is in hand at a shutdown.
    pub drain: Duration,
    /// Where the journal of undeliverable failure reports and the like are kept.
    pub state_dir: PathBuf,
    /// Compiled plugins are cached here; `None` compiles at each start.
    pub cache_dir: Option<PathBuf>,
}
