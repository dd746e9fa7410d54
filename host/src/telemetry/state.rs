//! What the store of state does, for all pipelines together.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;

use super::families::StateFamilies;
use super::histogram::Histogram;

/// The store's metrics. Cheap to clone; callable from any thread.
#[derive(Clone, Debug)]
pub struct StateMetrics {
    commits: Counter,
    groups: Histogram,
    records: Counter,
    refused: Counter,
}

impl StateMetrics {
    pub(super) fn new(families: &StateFamilies) -> Self {
        Self {
            commits: families.commits.clone(),
            groups: families.groups.clone(),
            records: families.records.clone(),
            refused: families.refused.clone(),
        }
    }

    /// That many commits, with so many keys, were kept in one transaction that took so long.
    pub fn committed(&self, commits: usize, records: usize, took: Duration) {
        self.commits.inc_by(commits as u64);
        self.records.inc_by(records as u64);
        self.groups.observe(took);
    }

    /// A transaction failed, and will be tried again.
    pub fn refused(&self) {
        self.refused.inc();
    }
}
