//! Calls that the recorder kept, and those that it couldn't.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::families::{Families, Labels, add};

/// The recorder's metrics, without their labels.
#[derive(Debug)]
pub(super) struct RecorderFamilies {
    recorded: Family<Labels, Counter>,
    lost: Family<Labels, Counter>,
}

/// What the recorder does for one pipeline. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RecorderMetrics {
    pipeline: String,
    recorded: Family<Labels, Counter>,
    lost: Family<Labels, Counter>,
}

impl RecorderFamilies {
    pub(super) fn register(r: &mut Registry) -> Self {
        Self {
            recorded: add(r, "capsules_recorded", "Calls recorded as capsules, by why"),
            lost: add(r, "capsules_lost", "Calls that were to be recorded and couldn't be, by why"),
        }
    }
}

impl RecorderMetrics {
    pub(super) fn new(pipeline: &str, families: &Families) -> Self {
        let RecorderFamilies { recorded, lost } = &families.recorder;
        Self { pipeline: pipeline.to_owned(), recorded: recorded.clone(), lost: lost.clone() }
    }

    /// A call is kept.
    pub fn recorded(&self, why: &'static str) {
        self.recorded.get_or_create_owned(&self.labels("why", why)).inc();
    }

    /// One isn't.
    pub fn lost(&self, why: &'static str) {
        self.lost.get_or_create_owned(&self.labels("why", why)).inc();
    }

    fn labels(&self, name: &'static str, value: &str) -> Labels {
        vec![("pipeline", self.pipeline.clone()), (name, value.to_owned())]
    }
}
