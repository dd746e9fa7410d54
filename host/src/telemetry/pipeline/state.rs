//! What one pipeline keeps of its keys.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::{Labels, PipelineMetrics};
use crate::telemetry::families::StateFamilies;

/// The state of a pipeline's keys.
#[derive(Clone, Debug)]
pub(super) struct Keyed {
    pub(super) keys: Gauge,
    pub(super) bytes: Gauge,
    hits: Counter,
    misses: Counter,
    swept: Counter,
}

impl Keyed {
    pub(super) fn new(families: &StateFamilies, labels: &Labels) -> Self {
        Self {
            keys: families.keys.get_or_create_owned(labels),
            bytes: families.bytes.get_or_create_owned(labels),
            hits: families.hits.get_or_create_owned(labels),
            misses: families.misses.get_or_create_owned(labels),
            swept: families.swept.get_or_create_owned(labels),
        }
    }
}

impl PipelineMetrics {
    /// So many keys have state, of so many bytes.
    pub fn state(&self, keys: u64, bytes: u64) {
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        self.0.state.keys.set(signed(keys));
        self.0.state.bytes.set(signed(bytes));
    }

    /// Entries that were needed: found in memory, or read from the store.
    pub fn state_cache(&self, hits: u64, misses: u64) {
        self.0.state.hits.inc_by(hits);
        self.0.state.misses.inc_by(misses);
    }

    /// So many idle keys were forgotten.
    pub fn state_swept(&self, keys: usize) {
        self.0.state.swept.inc_by(keys as u64);
    }
}
