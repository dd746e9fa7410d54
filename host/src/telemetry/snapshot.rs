//! A pipeline's figures at one moment, for `status`, the demo and tests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::verdict::FailureClass;

/// The figures of one pipeline. Counters start at 0 with the process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PipelineSnapshot {
    /// Its name in the config.
    pub name: String,
    /// Deliveries taken from the queue.
    pub received: u64,
    /// Of these, marked as delivered before.
    pub redelivered: u64,
    /// Acknowledged after their outputs were confirmed.
    pub done: u64,
    /// Finished on purpose without a result.
    pub dropped: u64,
    /// Acknowledged without running: their outputs were already safe.
    pub duplicates: u64,
    /// Nacked into the queue's dead-letter exchange.
    pub dead_lettered: u64,
    /// Copied to a dead-letter exchange with their reason, then acknowledged.
    pub annotated: u64,
    /// Failed and acknowledged, as the config asks.
    pub discarded: u64,
    /// Copied to a retry queue, then acknowledged.
    pub retried: u64,
    /// Given back to the queue.
    pub released: u64,
    /// Taken and not yet settled.
    pub in_flight: i64,
    /// Failures by class and code.
    #[serde(with = "failure_list")]
    pub failures: BTreeMap<(FailureClass, String), u64>,
    /// Emissions by output.
    pub emitted: BTreeMap<String, u64>,
    /// Plugins by name, as this pipeline calls them.
    pub plugins: BTreeMap<String, PluginSnapshot>,
    /// `process` calls of all plugins.
    pub batches: u64,
    /// Messages in these calls.
    pub messages_called: u64,
    /// Wall time of these calls in seconds.
    pub call_seconds: f64,
    /// Messages published and judged.
    pub published: u64,
    /// Publishes that weren't accepted.
    pub publishes_refused: u64,
    /// Messages run again after a failure of their key.
    pub rewound: u64,
    /// Time that messages waited for the pipeline's rate, in seconds.
    #[serde(default)]
    pub held_back_s: f64,
    /// Messages that a batch takes at most, as a shard found last; 0 until one has.
    #[serde(default)]
    pub batch_limit: i64,
    /// Shards that it uses; 0 before it begins.
    #[serde(default)]
    pub shards: i64,
    /// Messages with a known id and another body.
    pub id_conflicts: u64,
    /// Messages whose `sluicegate-*` headers were taken off: nobody else may write them.
    #[serde(default)]
    pub forged_headers: u64,
    /// Failure reports that weren't confirmed in time.
    pub reports_unsent: u64,
    /// Keys that have state.
    pub state_keys: i64,
    /// Their state in bytes.
    pub state_bytes: i64,
    /// Why the pipeline takes no deliveries; `None` while it does.
    pub paused: Option<String>,
    /// From delivery to settlement in seconds, half of all stay below; an estimate.
    pub latency_p50_s: Option<f64>,
    /// 99 of 100 stay below; an estimate.
    pub latency_p99_s: Option<f64>,
}

/// What one plugin cost in one pipeline.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PluginSnapshot {
    /// `process` calls.
    pub calls: u64,
    /// Messages in these calls.
    pub messages: u64,
    /// Wall time of these calls in seconds.
    pub call_seconds: f64,
    /// Memory of the instance that was called last, in bytes.
    pub memory_bytes: i64,
    /// Instances thrown away after a failed call.
    pub instances_replaced: u64,
}

/// Failures as a list of objects: JSON's keys are only strings.
mod failure_list {
    use std::collections::BTreeMap;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::verdict::FailureClass;

    #[derive(Serialize, Deserialize)]
    struct Row {
        class: String,
        code: String,
        count: u64,
    }

    pub(super) fn serialize<S: Serializer>(
        failures: &BTreeMap<(FailureClass, String), u64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(failures.iter().map(|((class, code), count)| Row {
            class: class.as_str().to_owned(),
            code: code.clone(),
            count: *count,
        }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<(FailureClass, String), u64>, D::Error> {
        let rows = Vec::<Row>::deserialize(deserializer)?;
        rows.into_iter()
            .map(|row| {
                let class = FailureClass::ALL
                    .into_iter()
                    .find(|class| class.as_str() == row.class)
                    .ok_or_else(|| Error::custom(format!("no failure class '{}'", row.class)))?;
                Ok(((class, row.code), row.count))
            })
            .collect()
    }
}
