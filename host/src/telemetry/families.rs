//! Every metric's name and help, in one place.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};

use super::histogram::Histogram;
use super::recorder::RecorderFamilies;
use super::timers::TimerFamilies;

/// Label names and values. Names are ours; values come from the config or from closed sets, or are
/// bounded where they are counted.
pub(super) type Labels = Vec<(&'static str, String)>;

/// The metrics, without their labels. `_total`, `_seconds` and `_bytes` are added to the names.
#[derive(Debug)]
pub(super) struct Families {
    pub(super) received: Family<Labels, Counter>,
    pub(super) redelivered: Family<Labels, Counter>,
    pub(super) settled: Family<Labels, Counter>,
    pub(super) in_flight: Family<Labels, Gauge>,
    pub(super) latency: Family<Labels, Histogram>,
    pub(super) failures: Family<Labels, Counter>,
    pub(super) emissions: Family<Labels, Counter>,
    pub(super) calls: Family<Labels, Histogram>,
    pub(super) called_messages: Family<Labels, Counter>,
    pub(super) plugin_memory: Family<Labels, Gauge>,
    pub(super) instances: InstanceFamilies,
    pub(super) published: Family<Labels, Counter>,
    pub(super) confirms: Family<Labels, Histogram>,
    pub(super) swap_pauses: Family<Labels, Histogram>,
    pub(super) reloads: Family<Labels, Counter>,
    pub(super) publishes_refused: Family<Labels, Counter>,
    pub(super) rewound: Family<Labels, Counter>,
    pub(super) held_back: Family<Labels, Counter<f64, AtomicU64>>,
    pub(super) batch_limit: Family<Labels, Gauge>,
    pub(super) shards: Family<Labels, Gauge>,
    pub(super) ran_alone: Family<Labels, Counter>,
    pub(super) id_conflicts: Family<Labels, Counter>,
    pub(super) forged_headers: Family<Labels, Counter>,
    pub(super) reports_unsent: Family<Labels, Counter>,
    pub(super) state: StateFamilies,
    pub(super) paused: Family<Labels, Gauge>,
    pub(super) told: ToldFamilies,
    pub(super) dead_letters: DeadLetterFamilies,
    pub(super) recorder: RecorderFamilies,
    pub(super) timers: TimerFamilies,
    pub(super) broker_connected: Family<Labels, Gauge>,
    pub(super) broker_blocked: Family<Labels, Gauge>,
    pub(super) broker_reconnects: Family<Labels, Counter>,
    pub(super) broker_receipts_dropped: Family<Labels, Counter>,
}

/// What is kept of keys.
#[derive(Debug)]
pub(super) struct StateFamilies {
    pub(super) keys: Family<Labels, Gauge>,
    pub(super) bytes: Family<Labels, Gauge>,
    pub(super) hits: Family<Labels, Counter>,
    pub(super) misses: Family<Labels, Counter>,
    pub(super) swept: Family<Labels, Counter>,
    pub(super) commits: Counter,
    pub(super) groups: Histogram,
    pub(super) records: Counter,
    pub(super) refused: Counter,
}

/// What becomes of plugins' instances.
#[derive(Debug)]
pub(super) struct InstanceFamilies {
    pub(super) replaced: Family<Labels, Counter>,
    pub(super) recycled: Family<Labels, Counter>,
    pub(super) rechecked: Family<Labels, Counter>,
}

/// What is the matter, and who is told.
#[derive(Debug)]
pub(super) struct ToldFamilies {
    pub(super) conditions: Family<Labels, Gauge>,
    pub(super) notices_lost: Counter,
    pub(super) notifications: Family<Labels, Counter>,
    pub(super) config_reloads: Family<Labels, Counter>,
}

/// What dead-letter queues hold.
#[derive(Debug)]
pub(super) struct DeadLetterFamilies {
    pub(super) messages: Family<Labels, Gauge>,
    pub(super) age: Family<Labels, Gauge>,
    pub(super) share: Family<Labels, Gauge<f64, AtomicU64>>,
    pub(super) archived: Family<Labels, Counter>,
}

// === impl Families ===

impl Families {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let r = registry.sub_registry_with_prefix("sluicegate");
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        r.register("build", "The version that runs", build);
        Self {
            received: add(r, "messages_received", "Deliveries taken from the queue"),
            redelivered: add(
                r,
                "messages_redelivered",
                "Deliveries that the broker marked as delivered before",
            ),
            settled: add(r, "messages_settled", "Deliveries settled, by how they ended"),
            in_flight: add(r, "messages_in_flight", "Deliveries taken and not yet settled"),
            latency: seconds(r, "message_duration", "From delivery to settlement"),
            failures: add(r, "failures", "Failed messages, by class, code, plugin"),
            emissions: add(r, "emissions", "Messages that plugins put on an output"),
            calls: seconds(r, "plugin_call_duration", "Wall time of a plugin's process call"),
            called_messages: add(r, "plugin_messages", "Messages handed to a plugin"),
            plugin_memory: bytes(r, "plugin_memory", "Memory of the instance that was called last"),
            instances: InstanceFamilies::register(r),
            published: add(r, "messages_published", "Messages published and judged"),
            confirms: seconds(r, "publish_confirm_duration", "Until a group's last confirm"),
            swap_pauses: seconds(r, "plugin_swap_pause", "What a lane waited to change versions"),
            reloads: add(r, "plugin_reloads", "Other versions of plugins, by what became of them"),
            publishes_refused: add(r, "publishes_refused", "Publishes not accepted, by reason"),
            rewound: add(r, "messages_rewound", "Messages run again after a failure of their key"),
            batch_limit: add(r, "pipeline_batch_limit", "Messages of a batch at most"),
            shards: add(r, "pipeline_shards", "Shards that a pipeline uses"),
            held_back: seconds(r, "pipeline_held_back", "What messages waited for a rate"),
            ran_alone: add(
                r,
                "messages_run_alone",
                "Messages run alone because a host died while they ran",
            ),
            id_conflicts: add(r, "id_conflicts", "Messages with a known id and another body"),
            forged_headers: add(
                r,
                "messages_forged_headers",
                "Messages whose sluicegate-* headers were taken off: nobody else may write them",
            ),
            reports_unsent: add(
                r,
                "failure_reports_unsent",
                "Failure reports that weren't confirmed in time",
            ),
            state: StateFamilies::register(r),
            paused: add(r, "pipeline_paused", "1 while the pipeline takes no deliveries"),
            told: ToldFamilies::register(r),
            dead_letters: DeadLetterFamilies::register(r),
            recorder: RecorderFamilies::register(r),
            timers: TimerFamilies::register(r),
            broker_connected: add(r, "broker_connected", "1 while the broker is connected"),
            broker_blocked: add(
                r,
                "broker_blocked",
                "1 while the broker takes no publishes (memory or disk alarm)",
            ),
            broker_reconnects: add(r, "broker_reconnects", "Connections made again"),
            broker_receipts_dropped: add(
                r,
                "broker_receipts_dropped",
                "Deliveries of this broker released because nothing settled them: a bug",
            ),
        }
    }
}

// === impl StateFamilies ===

impl StateFamilies {
    fn register(r: &mut Registry) -> Self {
        Self {
            keys: add(r, "state_keys", "Keys that have state, each counted once per stage"),
            bytes: bytes(r, "state", "State of all keys"),
            hits: add(r, "state_cache_hits", "State that a batch needed and that was in memory"),
            misses: add(r, "state_cache_misses", "State that was read from the store first"),
            swept: add(r, "state_keys_swept", "Keys forgotten because they weren't used"),
            commits: add(r, "state_commits", "Commits of lanes that were kept"),
            groups: seconds(r, "state_commit_duration", "One transaction of such commits"),
            records: add(r, "state_records", "Entries of keys that were written"),
            refused: add(r, "state_commits_refused", "Transactions that failed, to be tried again"),
        }
    }
}

// === impl InstanceFamilies ===

impl InstanceFamilies {
    fn register(r: &mut Registry) -> Self {
        Self {
            replaced: add(
                r,
                "plugin_instances_replaced",
                "Plugin instances thrown away after a failed call",
            ),
            recycled: add(
                r,
                "plugin_instances_recycled",
                "Plugin instances replaced because their memory had grown",
            ),
            rechecked: add(
                r,
                "plugin_calls_rechecked",
                "Calls run again on a fresh instance, by whether they were answered the same",
            ),
        }
    }
}

// === impl DeadLetterFamilies ===

impl DeadLetterFamilies {
    fn register(r: &mut Registry) -> Self {
        Self {
            messages: add(r, "dead_letters", "Messages in a dead-letter queue"),
            age: seconds(r, "dead_letters_oldest", "How long the oldest of them has been there"),
            share: add(
                r,
                "dead_letters_limit_share",
                "How near a dead-letter queue is to its limit: 1 is full",
            ),
            archived: add(r, "dead_letters_archived", "Dead letters written to the archive"),
        }
    }
}

// === impl ToldFamilies ===

impl ToldFamilies {
    fn register(r: &mut Registry) -> Self {
        Self {
            conditions: add(r, "condition", "1 while something is the matter, by what with what"),
            notifications: add(
                r,
                "notifications",
                "Attempts to tell a receiver, by how they ended",
            ),
            config_reloads: add(r, "config_reloads", "Times the config was read again, by outcome"),
            notices_lost: add(
                r,
                "notices_lost",
                "Failures and conditions that came faster than notifications could take them",
            ),
        }
    }
}

/// Registers a metric that has no unit.
pub(super) fn add<M: Metric + Default + Clone>(
    registry: &mut Registry,
    name: &str,
    help: &str,
) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

fn seconds<M: Metric + Default + Clone>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
    metric
}

fn bytes<M: Metric + Default + Clone>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register_with_unit(name, help, Unit::Bytes, metric.clone());
    metric
}
