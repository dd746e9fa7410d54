//! What is known at one moment: the host's figures, the demo's own, and how they have moved.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::tally::{Figures, Sink};
use crate::telemetry::PipelineSnapshot;

/// Moments that the sparklines show.
const MOMENTS: usize = 240;

/// Everything that is shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Board {
    /// Meters of the fleet.
    pub(super) meters: usize,
    /// `RabbitMQ 3.10.8`.
    pub(super) server: String,
    /// How long it runs.
    pub(super) elapsed: Duration,
    /// How long it shall run.
    pub(super) ends_after: Option<Duration>,
    /// The pipelines, in the order of the config.
    pub(super) lanes: Vec<Lane>,
    /// The demo's own figures.
    pub(super) tally: Figures,
    /// Resident memory of this process in bytes, where the system says.
    pub(super) resident_bytes: Option<u64>,
    /// The stage of the run.
    pub(super) phase: Phase,
}

/// One pipeline.
#[derive(Clone, Debug, Default)]
pub(super) struct Lane {
    pub(super) now: PipelineSnapshot,
    /// Settled messages a second, the newest last.
    pub(super) rates: VecDeque<u64>,
}

/// The stage of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// The fleet publishes.
    #[default]
    Running,
    /// It has stopped; what is under way is finished.
    Draining,
}

// === impl Board ===

impl Board {
    /// Takes in a new moment.
    pub(super) fn update(
        &mut self,
        mut snapshots: Vec<PipelineSnapshot>,
        tally: Figures,
        elapsed: Duration,
    ) {
        let passed = elapsed.saturating_sub(self.elapsed);
        // Pipelines keep the places they have; new ones come in the order they are told.
        for lane in &mut self.lanes {
            if let Some(at) = snapshots.iter().position(|one| one.name == lane.now.name) {
                lane.update(snapshots.swap_remove(at), passed);
            }
        }
        snapshots.sort_by(|a, b| a.name.cmp(&b.name));
        for snapshot in snapshots {
            let mut lane = Lane::new(&snapshot.name);
            lane.update(snapshot, passed);
            self.lanes.push(lane);
        }
        self.tally = tally;
        self.elapsed = elapsed;
    }

    /// Messages that have reached their end.
    pub(super) fn settled(&self) -> u64 {
        self.lanes.iter().map(|lane| settled(&lane.now)).sum()
    }

    /// What was confirmed and has no end: under way, or, when all is done, lost.
    pub(super) fn unaccounted(&self) -> i64 {
        let confirmed = i64::try_from(self.tally.confirmed).unwrap_or(i64::MAX);
        confirmed - i64::try_from(self.settled()).unwrap_or(i64::MAX)
    }

    /// What was emitted or dead-lettered and isn't in its sink yet.
    pub(super) fn uncollected(&self) -> u64 {
        let collected = |sink| self.tally.collected.get(&sink).copied().unwrap_or(0);
        let emitted = self.emitted();
        let sinks = Sink::ALL.into_iter().map(|sink| {
            let sent = match sink.output() {
                Some(output) => emitted.get(output).copied().unwrap_or(0),
                None => self.sum(|now| now.dead_lettered + now.annotated),
            };
            sent.saturating_sub(collected(sink))
        });
        sinks.sum()
    }

    /// Emissions of all pipelines, by output.
    pub(super) fn emitted(&self) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for (output, count) in self.lanes.iter().flat_map(|lane| &lane.now.emitted) {
            *sums.entry(output.clone()).or_default() += count;
        }
        sums
    }

    /// Failures of all pipelines, by code, the most frequent first.
    pub(super) fn failures(&self) -> Vec<(String, u64)> {
        let mut sums = BTreeMap::<&str, u64>::new();
        for ((_, code), count) in self.lanes.iter().flat_map(|lane| &lane.now.failures) {
            *sums.entry(code).or_default() += count;
        }
        let mut sums: Vec<_> =
            sums.into_iter().map(|(code, count)| (code.to_owned(), count)).collect();
        sums.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        sums
    }

    /// One figure, of all pipelines.
    pub(super) fn sum(&self, figure: impl Fn(&PipelineSnapshot) -> u64) -> u64 {
        self.lanes.iter().map(|lane| figure(&lane.now)).sum()
    }

    /// Processor-bound plugin time per message, in microseconds.
    pub(super) fn plugin_us(&self) -> f64 {
        let seconds: f64 = self.lanes.iter().map(|lane| lane.now.call_seconds).sum();
        seconds * 1e6 / self.settled().max(1) as f64
    }

    /// Memory of the plugins' instances that were called last, in bytes.
    pub(super) fn plugin_bytes(&self) -> i64 {
        let plugins = self.lanes.iter().flat_map(|lane| lane.now.plugins.values());
        plugins.map(|plugin| plugin.memory_bytes).sum()
    }
}

// === impl Lane ===

impl Lane {
    /// A pipeline of that name, of which nothing is known yet.
    pub(super) fn new(name: &str) -> Self {
        let now = PipelineSnapshot { name: name.to_owned(), ..PipelineSnapshot::default() };
        Self { now, ..Self::default() }
    }

    fn update(&mut self, now: PipelineSnapshot, passed: Duration) {
        let more = settled(&now).saturating_sub(settled(&self.now));
        let rate = u128::from(more) * 1000 / passed.as_millis().max(1);
        self.rates.push_back(u64::try_from(rate).unwrap_or(u64::MAX));
        if self.rates.len() > MOMENTS {
            self.rates.pop_front();
        }
        self.now = now;
    }

    /// Settled messages a second, of late.
    pub(super) fn rate(&self) -> u64 {
        let late = self.rates.iter().rev().take(4);
        late.clone().sum::<u64>() / (late.count() as u64).max(1)
    }
}

/// Messages of a pipeline that have reached their end. A duplicate's first delivery has.
fn settled(now: &PipelineSnapshot) -> u64 {
    now.done + now.dropped + now.dead_lettered + now.annotated + now.discarded
}

#[cfg(test)]
mod tests;
