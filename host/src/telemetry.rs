//! What the host tells of itself: metrics, and log events that go with them.
//!
//! [`Telemetry`] is one per process. A pipeline asks it once for its [`PipelineMetrics`], whose methods
//! are named for what happened and are cheap enough for shard threads; each counts, and where an operator
//! should hear of it, logs. [`Telemetry::render`] is the text for Prometheus; [`Telemetry::snapshot`] the
//! same figures for `status` and the demo. How many series a metric can have is bounded whatever plugins
//! say: what goes past a bound is counted as `other`.

mod bounded;
mod broker;
mod dead_letters;
mod failures;
mod families;
mod histogram;
pub mod logging;
mod notices;
mod notify;
mod outcome;
mod pipeline;
mod process;
mod recorder;
mod snapshot;
mod state;
mod throttle;
mod timers;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;

pub use self::broker::{BrokerMetrics, BrokerSnapshot};
pub use self::dead_letters::DeadLetterMetrics;
pub use self::failures::Failed;
pub use self::notify::NotifyMetrics;
pub use self::outcome::{Outcome, Together};
pub use self::pipeline::PipelineMetrics;
pub use self::recorder::RecorderMetrics;
pub use self::snapshot::{PipelineSnapshot, PluginSnapshot};
pub use self::state::StateMetrics;
pub use self::timers::TimerMetrics;

use self::families::Families;
use self::notices::Notices;
use crate::clock::Clock;
use crate::notice::{Condition, ConditionKind, Notice};

/// All metrics of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Telemetry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    registry: Registry,
    families: Families,
    notices: Arc<Notices>,
    pipelines: Mutex<BTreeMap<String, PipelineMetrics>>,
    brokers: Mutex<BTreeMap<String, BrokerMetrics>>,
}

// === impl Telemetry ===

impl Telemetry {
    /// No pipelines yet; the process's own figures are there.
    #[must_use]
    pub fn new() -> Self {
        Self::on(Clock::system())
    }

    /// The same of a host that goes by that clock.
    #[must_use]
    pub fn on(clock: Clock) -> Self {
        let mut registry = Registry::default();
        let families = Families::register(&mut registry);
        process::register(&mut registry, clock.now_us());
        let notices = Arc::new(Notices::new(&families, clock.clone()));
        Self(Arc::new(Inner {
            clock,
            registry,
            families,
            notices,
            pipelines: Mutex::default(),
            brokers: Mutex::default(),
        }))
    }

    /// The clock that the host goes by, of which all is told.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The metrics of the pipeline of that name; the same ones each time.
    #[must_use]
    pub fn pipeline(&self, name: &str) -> PipelineMetrics {
        let mut pipelines = self.0.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        pipelines
            .entry(name.to_owned())
            .or_insert_with(|| PipelineMetrics::new(name, &self.0.families, &self.0.notices))
            .clone()
    }

    /// The metrics of the store of state.
    #[must_use]
    pub fn state(&self) -> StateMetrics {
        StateMetrics::new(&self.0.families.state)
    }

    /// The metrics of the broker of that name; the same ones each time.
    #[must_use]
    pub fn broker(&self, name: &str) -> BrokerMetrics {
        let mut brokers = self.0.brokers.lock().unwrap_or_else(PoisonError::into_inner);
        brokers
            .entry(name.to_owned())
            .or_insert_with(|| BrokerMetrics::new(name, &self.0.families))
            .clone()
    }

    /// The metrics of a notification rule's way to one of its receivers.
    #[must_use]
    pub fn notify(&self, rule: &str, receiver: &'static str) -> NotifyMetrics {
        NotifyMetrics::new(rule, receiver, &self.0.families)
    }

    /// What the recorder does for a pipeline.
    #[must_use]
    pub fn recorder(&self, pipeline: &str) -> RecorderMetrics {
        RecorderMetrics::new(pipeline, &self.0.families)
    }

    /// The metrics of a dead-letter queue.
    #[must_use]
    pub fn dead_letters(&self, broker: &str, queue: &str) -> DeadLetterMetrics {
        DeadLetterMetrics::new(broker, queue, &self.0.families)
    }

    /// What became of another version of a plugin: one of a small closed set.
    pub fn plugin_reload(&self, plugin: &str, outcome: &'static str) {
        let labels = vec![("plugin", plugin.to_owned()), ("outcome", outcome.to_owned())];
        self.0.families.reloads.get_or_create_owned(&labels).inc();
    }

    /// What people may have to be told of, from now on; whoever listened before hears no more. Notices
    /// that nobody takes in time are lost and counted, see [`Telemetry::notices_lost`].
    #[must_use]
    pub fn listen(&self) -> mpsc::Receiver<Notice> {
        self.0.notices.listen()
    }

    /// Notices lost since the start.
    #[must_use]
    pub fn notices_lost(&self) -> u64 {
        self.0.notices.lost()
    }

    /// The condition holds because of that, or doesn't: call it as often as it is looked at. Counted,
    /// logged and told where it changes.
    pub fn condition(&self, kind: ConditionKind, subject: &str, why: Option<&str>) {
        self.0.notices.condition(kind, subject, why);
    }

    /// The conditions that hold now.
    #[must_use]
    pub fn conditions(&self) -> Vec<Condition> {
        self.0.notices.conditions()
    }

    /// The config was read again, with that outcome of a small closed set.
    pub fn config_reloaded(&self, outcome: &'static str) {
        let labels = vec![("outcome", outcome.to_owned())];
        self.0.families.told.config_reloads.get_or_create_owned(&labels).inc();
    }

    /// Every metric in the OpenMetrics text format, which Prometheus reads.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::new();
        // Writing to a String can't fail, nor can any of our metrics' encoders.
        if text::encode(&mut out, &self.0.registry).is_err() {
            tracing::error!("metrics can't be encoded");
        }
        out
    }

    /// The figures of every pipeline, by name.
    #[must_use]
    pub fn snapshot(&self) -> Vec<PipelineSnapshot> {
        let pipelines = self.0.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        pipelines.values().map(PipelineMetrics::snapshot).collect()
    }

    /// The figures of every broker, by name.
    #[must_use]
    pub fn broker_snapshots(&self) -> Vec<BrokerSnapshot> {
        let brokers = self.0.brokers.lock().unwrap_or_else(PoisonError::into_inner);
        brokers.values().map(BrokerMetrics::snapshot).collect()
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}
