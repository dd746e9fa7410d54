//! How many messages a batch takes at most, where the config leaves that to the lane.
//!
//! What a batch costs is a part of its own, for the calls and all that is done once, and so much for each
//! message. The larger the batch, the less of the first falls on a message; and the longer its first message
//! waits for its last, and every other pipeline of the shard for all of them. So the limit is the fewest
//! messages at which the part of its own is no more than [`BATCH_FIXED_SHARE`] of the whole: past that
//! larger batches win next to nothing. Cheap plugins get large batches, dear ones small ones.
//!
//! Both parts come from the times that batches took, the later ones counting more: a line through them. Of
//! batches of one size no line can be told, so that where there is always enough to fill one, a batch now and
//! then takes half.

use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::time::Instant;

use super::Lane;
use crate::limits::{BATCH_FIXED_SHARE, BATCH_TUNING_BATCHES};

/// Batches that must have been seen before anything is concluded.
const FEWEST: u32 = 32;
/// A limit that would move by less stays: what is measured is never quite the same.
const STEADY: f64 = 0.25;
/// A batch that took so many times what was expected was held up by something else, and counts as that.
const OUTLIER: f64 = 4.0;
/// One batch in so many takes half.
const ASIDE: u32 = 4;
/// Batches' sizes must differ by this share of their mean for a line to be told.
const SPREAD: f64 = 0.1;

/// A lane's limit.
#[derive(Clone, Debug, Default)]
pub(super) struct Tuner {
    seen: u32,
    /// Means: messages, seconds, and their products.
    messages: f64,
    seconds: f64,
    squares: f64,
    products: f64,
    fixed_s: f64,
    each_s: f64,
    limit: Option<usize>,
}

impl Tuner {
    /// Messages that a batch takes at most, within these bounds.
    pub(super) fn limit(&self, bounds: &RangeInclusive<usize>) -> usize {
        let most = *bounds.end();
        self.limit.map_or(most, |limit| limit.clamp(*bounds.start().min(&most), most))
    }

    /// What the next batch takes at most: that, or half of it to learn by.
    pub(super) fn next(&self, bounds: &RangeInclusive<usize>) -> usize {
        let limit = self.limit(bounds);
        let least = *bounds.start().min(&limit);
        if self.seen % ASIDE == ASIDE - 1 { (limit / 2).max(least) } else { limit }
    }

    /// A batch of so many took so long. Whether the limit is another one now.
    pub(super) fn note(&mut self, messages: usize, took: Duration) -> bool {
        let (n, mut t) = (messages as f64, took.as_secs_f64());
        if messages == 0 || took.is_zero() {
            return false;
        }
        self.seen = self.seen.saturating_add(1);
        if self.seen > FEWEST {
            t = t.min(OUTLIER * (self.fixed_s + self.each_s * n));
        }
        let weight = 1.0 / f64::from(self.seen.min(BATCH_TUNING_BATCHES));
        for (mean, value) in [
            (&mut self.messages, n),
            (&mut self.seconds, t),
            (&mut self.squares, n * n),
            (&mut self.products, n * t),
        ] {
            *mean += weight * (value - *mean);
        }
        self.fit();
        self.seen >= FEWEST && self.choose()
    }

    /// What was found: a batch's own part, and each message's, in seconds.
    pub(super) fn costs(&self) -> (f64, f64) {
        (self.fixed_s, self.each_s)
    }

    fn fit(&mut self) {
        let spread = self.squares - self.messages * self.messages;
        if spread > (SPREAD * self.messages).powi(2) {
            let slope = (self.products - self.messages * self.seconds) / spread;
            let most = self.seconds / self.messages;
            self.fixed_s = (self.seconds - slope.clamp(0.0, most) * self.messages).max(0.0);
        }
        self.fixed_s = self.fixed_s.min(self.seconds);
        self.each_s = (self.seconds - self.fixed_s) / self.messages;
    }

    fn choose(&mut self) -> bool {
        let wanted = self.fixed_s * (1.0 / BATCH_FIXED_SHARE - 1.0) / self.each_s;
        // A message that costs nothing: any batch is right.
        let wanted = if wanted.is_finite() { wanted.max(1.0) } else { f64::MAX };
        let moved = self.limit.is_none_or(|limit| {
            let ratio = wanted / limit as f64;
            !(1.0 - STEADY..=1.0 + STEADY).contains(&ratio)
        });
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        if moved {
            self.limit = Some(wanted.ceil() as usize);
        }
        moved
    }
}

// === impl Lane ===

impl Lane {
    /// Messages that a batch takes at most, as far as it is for the lane to say.
    pub(super) fn batch_limit(&self) -> usize {
        self.tuner.next(&self.batch_bounds())
    }

    fn batch_bounds(&self) -> RangeInclusive<usize> {
        self.shape.batch.least..=self.shape.batch.messages
    }

    /// A batch of so many began then, and is run.
    pub(super) fn tune(&mut self, messages: usize, began: Instant) {
        let bounds = self.batch_bounds();
        if self.tuner.note(messages, began.elapsed()) {
            self.shape.metrics.batch_limit(self.tuner.limit(&bounds), self.tuner.costs());
        }
    }
}

#[cfg(test)]
mod tests;
