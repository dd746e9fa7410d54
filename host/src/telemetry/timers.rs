//! Timers of a pipeline: how many wait, what became of those that were due, how late they were.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::Outcome;
use super::families::{Families, Labels, add};
use super::histogram::Histogram;

/// The metrics of timers, without their labels.
#[derive(Debug)]
pub(super) struct TimerFamilies {
    waiting: Family<Labels, Gauge>,
    run: Family<Labels, Counter>,
    late: Family<Labels, Histogram>,
}

/// Those of one pipeline.
#[derive(Clone, Debug)]
pub struct TimerMetrics {
    pipeline: String,
    waiting: Gauge,
    run: Family<Labels, Counter>,
    late: Histogram,
}

impl TimerFamilies {
    pub(super) fn register(r: &mut Registry) -> Self {
        let late = Family::default();
        let help = "From when a timer was due to when what it did was kept";
        r.register_with_unit("timer_lateness", help, Unit::Seconds, late.clone());
        Self {
            waiting: add(r, "timer_keys", "Keys of which a timer waits, by stage"),
            run: add(r, "timers_run", "Timers that were due, by how they ended"),
            late,
        }
    }
}

impl TimerMetrics {
    pub(super) fn new(pipeline: &str, families: &Families) -> Self {
        let labels: Labels = vec![("pipeline", pipeline.to_owned())];
        let TimerFamilies { waiting, run, late } = &families.timers;
        Self {
            pipeline: pipeline.to_owned(),
            waiting: waiting.get_or_create_owned(&labels),
            run: run.clone(),
            late: late.get_or_create_owned(&labels),
        }
    }

    /// So many more keys have a timer that waits, or so many fewer.
    pub fn waiting(&self, change: i64) {
        self.waiting.inc_by(change);
    }

    /// One ended so, so long after it was due.
    pub fn run(&self, outcome: Outcome, late: Duration) {
        let labels =
            vec![("pipeline", self.pipeline.clone()), ("outcome", outcome.as_str().to_owned())];
        self.run.get_or_create_owned(&labels).inc();
        self.late.observe(late);
    }
}
