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
mod mqtt;
mod notes;
mod notify;
mod objects;
mod pipeline;
mod place;
mod plugin;
mod problem;
mod queue;
mod record;
mod redact;
mod reload;
mod scalar;
mod secret;
mod section;
mod service;
mod state;
mod table;
#[cfg(test)]
mod tests;
mod told;
mod work;

pub use file::{load, parse, read};
pub use locator::Locator;
pub use mqtt::{Filter, Mqtt, MqttVersion, Quarantine, Session, Will};
pub use objects::{
    Binding, DeadLetter, DeadLetterTarget, Exchange, ExchangeKind, Overflow, PastLimit, Queue,
    QueueKind,
};
pub use problem::{Problem, Severity, Warning, render_all};
pub use reload::{Probation, Reload, Trial};
pub use scalar::{duration, size};
pub use secret::{Credentials, Login, Secret};
pub use told::{About, Notify, NotifyExchange, Webhook, WebhookFormat};
pub use work::{
    BatchLimits, Bodies, ContentType, IdSource, IdWindow, KeySource, KindSource, OnBroken, Output,
    Pipeline, Plugin, PluginBreaker, PluginLimits, PluginSource, Rate, Record, Retry, RetryOrder,
    Shards, Stage, Table, Unroutable, When,
};

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::state::Durability;

/// A whole config file, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Brokers by name, at least one.
    pub brokers: BTreeMap<String, Broker>,
    /// Exchanges to declare or rely on.
    pub exchanges: Vec<Exchange>,
    /// Queues to declare or rely on.
    pub queues: Vec<Queue>,
    /// Plugins by name.
    pub plugins: BTreeMap<String, Plugin>,
    /// Tables of reference data by name.
    pub tables: BTreeMap<String, Table>,
    /// Pipelines, in the order of the file.
    pub pipelines: Vec<Pipeline>,
    /// Where failure reports go.
    pub failures: Failures,
    /// Who is told of what, in the order of the file.
    pub notify: Vec<Notify>,
    /// How state is kept.
    pub state: State,
    /// The process itself.
    pub service: Service,
}

/// One broker.
#[derive(Clone, Debug, PartialEq)]
pub struct Broker {
    /// How to reach it.
    pub kind: BrokerKind,
    /// Whether the host may create what the config names.
    pub declare: Declare,
}

/// The kinds of broker.
#[derive(Clone, Debug, PartialEq)]
pub enum BrokerKind {
    /// RabbitMQ over AMQP 0-9-1.
    Amqp(Amqp),
    /// A broker that speaks MQTT.
    Mqtt(Mqtt),
    /// In this process, in memory.
    Embedded,
}

/// How to reach a RabbitMQ.
#[derive(Clone, Debug, PartialEq)]
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

/// TLS options beside the system's roots.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tls {
    /// Additional roots, PEM.
    pub ca: Option<PathBuf>,
    /// Client identity, PKCS #12.
    pub identity: Option<PathBuf>,
    /// A file with the identity's password.
    pub identity_password: Option<Secret>,
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

/// How state is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// What a commit outlasts.
    pub durability: Durability,
    /// Bytes of state that each pipeline holds in memory above the store.
    pub cache_bytes: usize,
    /// Keys that each pipeline may have, counted once per stage.
    pub keys: u64,
    /// Keys of each pipeline that may have a timer, counted once per stage.
    pub timers: usize,
}

/// The process itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Where `/live`, `/ready` and `/metrics` answer; `None` is nowhere.
    pub http: Option<SocketAddr>,
    /// The control socket; `None` takes the runtime folder's.
    pub socket: Option<PathBuf>,
    /// Threads that run plugins; 0 is one per core.
    pub shards: usize,
    /// The config is read again when its file changes.
    pub watch: bool,
    /// Time to finish what is in hand at a shutdown.
    pub drain: Duration,
    /// Where the journal of undeliverable failure reports and the like are kept.
    pub state_dir: PathBuf,
    /// Where dead letters are archived that their queue keeps no longer.
    pub archive_dir: PathBuf,
    /// Most bytes that are kept there.
    pub archive_bytes: u64,
    /// Compiled plugins are cached here; `None` compiles at each start.
    pub cache_dir: Option<PathBuf>,
}

// === impl Config ===

impl Config {
    /// Whether the broker of that name speaks MQTT, which has no exchanges and no dead letters.
    #[must_use]
    pub fn speaks_mqtt(&self, broker: &str) -> bool {
        let kind = self.brokers.get(broker).map(|broker| &broker.kind);
        matches!(kind, Some(BrokerKind::Mqtt(_)))
    }

    /// What separates the levels of topics on that broker.
    #[must_use]
    pub fn separator_of(&self, broker: &str) -> char {
        match self.brokers.get(broker).map(|broker| &broker.kind) {
            Some(BrokerKind::Mqtt(mqtt)) => mqtt.separator,
            _ => '/',
        }
    }

    /// The broker that takes a pipeline's failure reports and the copies that the host makes of its
    /// messages: its own, or that of its dead letters where its own has no exchanges.
    #[must_use]
    pub fn home_of<'c>(&'c self, pipeline: &'c Pipeline) -> &'c str {
        if !self.speaks_mqtt(&pipeline.broker) {
            return &pipeline.broker;
        }
        let queue = self
            .queues
            .iter()
            .find(|queue| queue.name == pipeline.queue && queue.broker == pipeline.broker);
        let letters = match queue.map(|queue| &queue.dead_letter) {
            Some(DeadLetter::To(target)) => Some(target.broker.as_str()),
            _ => None,
        };
        let outputs = pipeline.outputs.values().map(|output| output.broker.as_str());
        let others = self.brokers.keys().map(String::as_str);
        let mut homes = letters.into_iter().chain(outputs).chain(others);
        homes.find(|broker| !self.speaks_mqtt(broker)).unwrap_or(&pipeline.broker)
    }
}
