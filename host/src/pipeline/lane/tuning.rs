//! How many messages a batch takes at most, where the config leaves that to the lane.
//!
//! The larger a batch, the less of what it costs of its own falls on a message; and the longer its first
//! message waits for its last, a fault for what is routine, and every other pipeline of the shard for all of
//! them. So a batch takes as many as run in [`BATCH_TIME`], which is long beside what it costs of its own and short
//! beside what anybody waits for: all that may be of a cheap plugin's, few of a dear one's. How long a message
//! takes is told by the batches before, the later ones counting more.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Lane;
use crate::limits::{BATCH_TIME, BATCH_TUNING_BATCHES};

/// Batches that must have been seen before anything is concluded.
const FEWEST: u32 = 32;
/// A limit that would move by less stays: what is measured is never quite the same.
const STEADY: f64 = 0.25;
/// A batch that took so many times what was expected was held up by something else, and counts as that.
const OUTLIER: f64 = 4.0;

/// A lane's limit.
#[derive(Clone, Debug, Default)]
pub(super) struct Tuner {
    seen: u32,
    /// Means of late: messages and seconds of a batch.
    messages: f64,
    seconds: f64,
    limit: Option<usize>,
}

impl Tuner {
    /// Messages that a batch takes at most, within these bounds.
    pub(super) fn limit(&self, bounds: &RangeInclusive<usize>) -> usize {
        let most = *bounds.end();
        self.limit.map_or(most, |limit| limit.clamp(*bounds.start().min(&most), most))
    }

    /// A batch of so many took so long. Whether the limit is another one now.
    pub(super) fn note(&mut self, messages: usize, took: Duration) -> bool {
        if messages == 0 || took.is_zero() {
            return false;
        }
        let (n, mut t) = (messages as f64, took.as_secs_f64());
        self.seen = self.seen.saturating_add(1);
        if self.seen > FEWEST {
            t = t.min(OUTLIER * self.seconds.max(self.each_s() * n));
        }
        let weight = 1.0 / f64::from(self.seen.min(BATCH_TUNING_BATCHES));
        self.messages += weight * (n - self.messages);
        self.seconds += weight * (t - self.seconds);
        self.seen >= FEWEST && self.choose()
    }

    /// What a message takes of late, in seconds, with its share of what its batch does.
    pub(super) fn each_s(&self) -> f64 {
        self.seconds / self.messages
    }

    fn choose(&mut self) -> bool {
        let wanted = BATCH_TIME.as_secs_f64() / self.each_s();
        // A message that takes no time: any batch is right.
        let wanted = if wanted.is_finite() { wanted.max(1.0) } else { f64::MAX };
        let moved = self.limit.is_none_or(|limit| {
            let ratio = wanted / limit as f64;
            !(1.0 - STEADY..=1.0 + STEADY).contains(&ratio)
        });
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        if moved {
            self.limit = Some(wanted as usize);
        }
        moved
    }
}

// === impl Lane ===

impl Lane {
    /// Messages that a batch takes at most, as far as it is for the lane to say.
    pub(super) fn batch_limit(&self) -> usize {
        self.tuner.limit(&self.batch_bounds())
    }

    fn batch_bounds(&self) -> RangeInclusive<usize> {
        self.shape.batch.least..=self.shape.batch.messages
    }

    /// A batch of so many took so long.
    pub(super) fn tune(&mut self, messages: usize, took: Duration) {
        let bounds = self.batch_bounds();
        if self.tuner.note(messages, took) {
            self.shape.metrics.batch_limit(self.tuner.limit(&bounds), self.tuner.each_s());
        }
    }
}

#[cfg(test)]
mod tests;
