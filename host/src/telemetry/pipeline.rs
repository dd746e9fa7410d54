//! What happens in one pipeline, counted and, where an operator should hear of it, logged.

mod plugin;
mod state;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::Instant;

use self::plugin::{Plugin, PluginFamilies};
use self::state::Keyed;
use super::bounded::Bounded;
use super::failures::{Failed, Failures};
use super::families::{Families, Labels};
use super::histogram::Histogram;
use super::notices::Notices;
use super::outcome::{Outcome, Together};
use super::snapshot::PipelineSnapshot;
use super::throttle::Throttle;
use super::timers::TimerMetrics;
use crate::limits;
use crate::report::Report;
use crate::verdict::FailureClass;

/// The metrics of one pipeline. Cheap to clone; callable from any thread.
#[derive(Clone, Debug)]
pub struct PipelineMetrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    received: Counter,
    redelivered: Counter,
    settled: [Counter; Outcome::ALL.len()],
    in_flight: Gauge,
    latency: Histogram,
    published: Counter,
    confirms: Histogram,
    swap_pauses: Histogram,
    rewound: Counter,
    held_back: Counter<f64, AtomicU64>,
    batch_limit: Gauge,
    shards: Gauge,
    tuning_lines: Throttle,
    timers: TimerMetrics,
    ran_alone: Counter,
    id_conflicts: Counter,
    forged: Counter,
    forged_lines: Throttle,
    reports_unsent: Counter,
    state: Keyed,
    paused: Gauge,
    paused_why: Mutex<Option<String>>,
    failures: Failures,
    notices: Arc<Notices>,
    emitted: Bounded<String, Counter>,
    emitted_family: Family<Labels, Counter>,
    refused: Bounded<String, Counter>,
    refused_family: Family<Labels, Counter>,
    plugins: Bounded<String, Plugin>,
    plugin_families: PluginFamilies,
}

// === impl PipelineMetrics ===

impl PipelineMetrics {
    pub(super) fn new(name: &str, families: &Families, notices: &Arc<Notices>) -> Self {
        let labels: Labels = vec![("pipeline", name.to_owned())];
        let counter = |family: &Family<Labels, Counter>| family.get_or_create_owned(&labels);
        let gauge = |family: &Family<Labels, Gauge>| family.get_or_create_owned(&labels);
        Self(Arc::new(Inner {
            name: name.to_owned(),
            received: counter(&families.received),
            redelivered: counter(&families.redelivered),
            settled: Outcome::ALL.map(|outcome| {
                families.settled.get_or_create_owned(&with(name, "outcome", outcome.as_str()))
            }),
            in_flight: gauge(&families.in_flight),
            latency: families.latency.get_or_create_owned(&labels),
            published: counter(&families.published),
            confirms: families.confirms.get_or_create_owned(&labels),
            swap_pauses: families.swap_pauses.get_or_create_owned(&labels),
            rewound: counter(&families.rewound),
            held_back: families.held_back.get_or_create_owned(&labels),
            batch_limit: gauge(&families.batch_limit),
            shards: gauge(&families.shards),
            tuning_lines: Throttle::every(limits::BATCH_TUNING_LOG_INTERVAL),
            timers: TimerMetrics::new(name, families),
            ran_alone: counter(&families.ran_alone),
            id_conflicts: counter(&families.id_conflicts),
            forged: counter(&families.forged_headers),
            forged_lines: Throttle::every(limits::FORGED_LOG_INTERVAL),
            reports_unsent: counter(&families.reports_unsent),
            state: Keyed::new(&families.state, &labels),
            paused: gauge(&families.paused),
            paused_why: Mutex::default(),
            failures: Failures::new(families),
            notices: Arc::clone(notices),
            emitted: Bounded::new(limits::NAME_SERIES_MAX),
            emitted_family: families.emissions.clone(),
            refused: Bounded::new(limits::NAME_SERIES_MAX),
            refused_family: families.publishes_refused.clone(),
            plugins: Bounded::new(limits::NAME_SERIES_MAX),
            plugin_families: PluginFamilies::of(families),
        }))
    }

    /// Deliveries came, of which so many were delivered before.
    pub fn received(&self, deliveries: usize, redelivered: usize) {
        self.0.received.inc_by(deliveries as u64);
        if redelivered > 0 {
            self.0.redelivered.inc_by(redelivered as u64);
        }
    }

    /// Deliveries were settled.
    pub fn settled(&self, together: &Together) {
        for (counter, settled) in self.0.settled.iter().zip(together.outcomes) {
            if settled > 0 {
                counter.inc_by(settled);
            }
        }
        self.0.latency.observe_all(&together.latencies);
    }

    /// The queue that the pipeline consumes: failures are counted under it.
    #[must_use]
    pub fn of_queue(self, queue: &str) -> Self {
        self.0.failures.of_queue(queue);
        self
    }

    /// A message failed: counted by class, code, plugin and what becomes of it, and logged, at most a
    /// few times a second.
    pub fn failed(&self, failed: Failed<'_>) {
        self.0.failures.note(&self.0.name, failed);
    }

    /// A message ends as a failure: told to whoever tells people. Never blocks.
    pub fn ended(&self, report: &Report) {
        self.0.notices.failure(report);
    }

    /// A plugin put a message on that output.
    pub fn emitted(&self, output: &str) {
        let make = |output: &String| {
            self.0.emitted_family.get_or_create_owned(&with(&self.0.name, "output", output))
        };
        self.0.emitted.get(output, other, make).inc();
    }

    /// A plugin's `process` call returned.
    pub fn called(&self, plugin: &str, messages: usize, wall: Duration, memory_bytes: usize) {
        let plugin = self.plugin(plugin);
        plugin.calls.observe(wall);
        plugin.messages.inc_by(messages as u64);
        plugin.memory.set(i64::try_from(memory_bytes).unwrap_or(i64::MAX));
    }

    /// An instance was thrown away after a failed call.
    pub fn instance_replaced(&self, plugin: &str, class: FailureClass) {
        self.plugin(plugin).replaced[class as usize].inc();
    }

    /// An instance was replaced because its memory had grown.
    pub fn instance_recycled(&self, plugin: &str) {
        self.plugin(plugin).recycled.inc();
    }

    /// A call was run again on a fresh instance, and was answered the same, or not.
    pub fn rechecked(&self, plugin: &str, same: bool) {
        self.plugin(plugin).rechecked[usize::from(!same)].inc();
    }

    /// A group of messages was published and every outcome is known.
    pub fn published(&self, messages: usize, elapsed: Duration) {
        self.0.published.inc_by(messages as u64);
        self.0.confirms.observe(elapsed);
    }

    /// Those of its timers.
    #[must_use]
    pub fn timers(&self) -> &TimerMetrics {
        &self.0.timers
    }

    /// A lane began nothing new so long, so that another version of a plugin could take over.
    pub fn swap_paused(&self, elapsed: Duration) {
        self.0.swap_pauses.observe(elapsed);
    }

    /// A publish wasn't accepted. Reasons are a small closed set.
    pub fn publish_refused(&self, reason: &'static str) {
        let make = |reason: &String| {
            self.0.refused_family.get_or_create_owned(&with(&self.0.name, "reason", reason))
        };
        self.0.refused.get(reason, other, make).inc();
    }

    /// Messages run again after a failure of their key.
    pub fn rewound(&self, messages: usize) {
        self.0.rewound.inc_by(messages as u64);
    }

    /// Messages were here so long before the pipeline's rate let one pass.
    pub fn held_back(&self, time: Duration) {
        self.0.held_back.inc_by(time.as_secs_f64());
    }

    /// The pipeline uses so many shards from now on.
    pub fn shards(&self, shards: usize) {
        self.0.shards.set(i64::try_from(shards).unwrap_or(i64::MAX));
    }

    /// A lane has found how many messages a batch is to take at most, from what each takes, in seconds.
    pub fn batch_limit(&self, messages: usize, message_s: f64) {
        self.0.batch_limit.set(i64::try_from(messages).unwrap_or(i64::MAX));
        if self.0.tuning_lines.admit(Instant::now().into_std()).is_none() {
            return;
        }
        tracing::info!(
            pipeline = self.0.name,
            messages,
            message_us = (message_s * 1e7).round() / 10.0,
            "batches take as many messages at most"
        );
    }

    /// A message ran alone, for a host died while it ran.
    pub fn ran_alone(&self) {
        self.0.ran_alone.inc();
    }

    /// A message had a known id and another body.
    pub fn id_conflict(&self) {
        self.0.id_conflicts.inc();
    }

    /// A message carried headers that only hosts write and that count from nobody else: taken off,
    /// counted, and logged once in a while.
    pub fn forged_headers(&self) {
        self.0.forged.inc();
        let Some(suppressed) = self.0.forged_lines.admit(Instant::now().into_std()) else { return };
        tracing::warn!(
            pipeline = self.0.name,
            suppressed = (suppressed > 0).then_some(suppressed),
            "a message came with sluicegate-* headers by a way that isn't the host's; they were taken off"
        );
    }

    /// A failure report wasn't confirmed in time.
    pub fn report_unsent(&self) {
        self.0.reports_unsent.inc();
    }

    /// More, or fewer, deliveries are in hand.
    pub fn in_flight(&self, delta: i64) {
        self.0.in_flight.inc_by(delta);
    }

    /// The pipeline takes no deliveries because of this, or takes them again. Logged where it changes.
    pub fn paused(&self, why: Option<&str>) {
        let mut current = self.0.paused_why.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_deref() == why {
            return;
        }
        self.0.paused.set(why.is_some().into());
        *current = why.map(str::to_owned);
        let pipeline = &self.0.name;
        match why {
            Some(why) => tracing::warn!(pipeline, why, "pipeline paused"),
            None => tracing::info!(pipeline, "pipeline goes on"),
        }
    }

    /// Why the pipeline takes no deliveries; `None` while it does.
    #[must_use]
    pub fn paused_why(&self) -> Option<String> {
        self.0.paused_why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The figures now.
    #[must_use]
    pub fn snapshot(&self) -> PipelineSnapshot {
        let it = &*self.0;
        let settled = |outcome: Outcome| it.settled[outcome as usize].get();
        let plugins: BTreeMap<_, _> =
            it.plugins.all().into_iter().map(|(name, p)| (name, p.snapshot())).collect();
        PipelineSnapshot {
            name: it.name.clone(),
            received: it.received.get(),
            redelivered: it.redelivered.get(),
            done: settled(Outcome::Done),
            dropped: settled(Outcome::Dropped),
            duplicates: settled(Outcome::Duplicate),
            dead_lettered: settled(Outcome::DeadLettered),
            annotated: settled(Outcome::Annotated),
            discarded: settled(Outcome::Discarded),
            retried: settled(Outcome::Retried),
            released: settled(Outcome::Released),
            in_flight: it.in_flight.get(),
            failures: it.failures.counts(),
            emitted: it.emitted.all().into_iter().map(|(name, c)| (name, c.get())).collect(),
            batches: plugins.values().map(|p| p.calls).sum(),
            messages_called: plugins.values().map(|p| p.messages).sum(),
            call_seconds: plugins.values().map(|p| p.call_seconds).sum(),
            plugins,
            published: it.published.get(),
            publishes_refused: it.refused.all().iter().map(|(_, c)| c.get()).sum(),
            rewound: it.rewound.get(),
            held_back_s: it.held_back.get(),
            batch_limit: it.batch_limit.get(),
            shards: it.shards.get(),
            id_conflicts: it.id_conflicts.get(),
            forged_headers: it.forged.get(),
            reports_unsent: it.reports_unsent.get(),
            state_keys: it.state.keys.get(),
            state_bytes: it.state.bytes.get(),
            paused: self.paused_why(),
            latency_p50_s: it.latency.quantile_s(0.5),
            latency_p99_s: it.latency.quantile_s(0.99),
        }
    }

    fn plugin(&self, name: &str) -> Plugin {
        self.0.plugins.get(name, other, |name| {
            self.0.plugin_families.plugin(&with(&self.0.name, "plugin", name))
        })
    }
}

/// What is past a bound is counted under this name.
pub(super) const OTHER: &str = "other";

fn other() -> String {
    OTHER.to_owned()
}

fn with(pipeline: &str, name: &'static str, value: &str) -> Labels {
    vec![("pipeline", pipeline.to_owned()), (name, value.to_owned())]
}
