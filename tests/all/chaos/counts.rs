//! What a trial prints at its end, in the words that RabbitMQ's own Jepsen tests use.

use std::fmt;
use std::time::Duration;

/// What became of the inputs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Inputs that were published, successfully or not.
    pub(super) attempted: u64,
    /// Inputs that the broker confirmed.
    pub(super) acknowledged: u64,
    /// Inputs with an output on every target that their decision names.
    pub(super) delivered: u64,
    /// Inputs that were dead-lettered, with a report.
    pub(super) dead_lettered: u64,
    /// Inputs that a plugin dropped.
    pub(super) dropped: u64,
    /// Inputs that may have gone with a deleted queue.
    pub(super) gone: u64,
    /// Outputs and dead letters beyond the first of their kind.
    pub(super) duplicated: u64,
    /// Of these, those without a reason.
    pub(super) unexplained: u64,
    /// Of an input, two outputs at one target with different ids.
    pub(super) other_ids: u64,
    /// Inputs that are nowhere, or not everywhere.
    pub(super) lost: u64,
    /// What came out and should not have.
    pub(super) unexpected: u64,
    /// Outputs and dead letters with another body than their input's.
    pub(super) altered: u64,
    /// Inputs that came out and were dead-lettered.
    pub(super) split: u64,
    /// First outputs behind a later one of their key.
    pub(super) disordered: u64,
}

/// How long the system took to be itself again after each fault.
#[derive(Debug, Default)]
pub(super) struct Recoveries(Vec<Duration>);

// === impl Counts ===

impl Counts {
    /// Nothing is there that must not be.
    pub(super) fn is_clean(&self) -> bool {
        let wrong = [
            self.unexplained,
            self.other_ids,
            self.lost,
            self.unexpected,
            self.altered,
            self.split,
            self.disordered,
        ];
        wrong.iter().all(|count| *count == 0)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in [
            ("attempted", self.attempted),
            ("acknowledged", self.acknowledged),
            ("delivered", self.delivered),
            ("dead-lettered", self.dead_lettered),
            ("dropped by a plugin", self.dropped),
            ("gone with a queue", self.gone),
            ("duplicated", self.duplicated),
            ("  unexplained", self.unexplained),
            ("  under another id", self.other_ids),
            ("lost", self.lost),
            ("unexpected", self.unexpected),
            ("altered", self.altered),
            ("split", self.split),
            ("out of order", self.disordered),
        ] {
            writeln!(f, "{name:<22}{count:>12}")?;
        }
        Ok(())
    }
}

// === impl Recoveries ===

impl Recoveries {
    pub(super) fn add(&mut self, took: Duration) {
        self.0.push(took);
        self.0.sort_unstable();
    }
}

impl fmt::Display for Recoveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let median = self.0.get(self.0.len() / 2).copied().unwrap_or_default();
        let longest = self.0.last().copied().unwrap_or_default();
        writeln!(f, "{:<22}{:>12.2}", "recovery, median s", median.as_secs_f64())?;
        writeln!(f, "{:<22}{:>12.2}", "recovery, longest s", longest.as_secs_f64())
    }
}
