//! What `sluicegate status` shows, as it travels over the control socket.

use serde::{Deserialize, Serialize};

use crate::telemetry::PipelineSnapshot;

/// Whether messages flow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Every pipeline takes deliveries and nothing is in their way.
    pub ready: bool,
    /// What is in the way; empty where ready.
    pub reasons: Vec<String>,
    /// What isn't in the way and should be known all the same: a config that couldn't be applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A host at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The host's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// Whether messages flow.
    pub readiness: Readiness,
    /// Its brokers, by name.
    pub brokers: Vec<BrokerStatus>,
    /// Its pipelines, in the order of the config.
    pub pipelines: Vec<PipelineStatus>,
    /// Its plugins, by name.
    pub plugins: Vec<PluginStatus>,
}

/// A broker at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerStatus {
    /// Its name in the config.
    pub name: String,
    /// `amqp` or `embedded`.
    pub kind: String,
    /// Whether it is connected.
    pub connected: bool,
    /// Product and version, where it was connected once.
    pub server: Option<String>,
    /// Why it isn't connected.
    pub error: Option<String>,
}

/// A pipeline at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PipelineStatus {
    /// Its name in the config.
    pub name: String,
    /// The queue that it consumes.
    pub queue: String,
    /// What it is doing.
    pub state: PipelineState,
    /// Its figures since the start.
    pub counters: PipelineSnapshot,
}

/// What a pipeline is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PipelineState {
    /// Waiting for its broker.
    #[default]
    Connecting,
    /// Taking deliveries.
    Running,
    /// Taking none, because an operator or an obstacle says so.
    Paused,
    /// Finishing what is in hand.
    Draining,
    /// Over.
    Stopped,
}

/// A plugin at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginStatus {
    /// Its name in the config.
    pub name: String,
    /// The plugin's own version.
    pub version: String,
    /// SHA-256 of its file, in hexadecimal.
    pub digest: String,
    /// The SDK that it was built with.
    pub sdk: String,
    /// The pipelines that it is a stage of.
    #[serde(default)]
    pub pipelines: Vec<String>,
    /// Memory of its largest instance that was called last by a pipeline, in bytes; 0 before any was.
    pub memory_bytes: u64,
    /// How its last reload ended, or how far one is.
    #[serde(default)]
    pub reload: Option<String>,
    /// Why its breaker is open.
    #[serde(default)]
    pub broken: Option<String>,
    /// What it answered differently when a call was run again.
    #[serde(default)]
    pub impure: Option<String>,
}

// === impl Readiness ===

impl Readiness {
    /// Ready where there are no reasons against it.
    #[must_use]
    pub fn unless(reasons: Vec<String>) -> Self {
        Self { ready: reasons.is_empty(), reasons, notes: Vec::new() }
    }
}

// === impl PipelineState ===

impl PipelineState {
    /// The name in `status`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }
}
