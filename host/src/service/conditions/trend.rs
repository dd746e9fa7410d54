//! Whether a larger share of a pipeline's messages fails than before.

use std::collections::VecDeque;

use crate::limits::{
    RISING_BEFORE_SAMPLES, RISING_FACTOR, RISING_FAILURES_MIN, RISING_OVER_SHARE, RISING_SAMPLES,
    RISING_SHARE,
};

/// Messages that ended, and how many of them as failures, since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ended {
    pub(super) all: u64,
    pub(super) failed: u64,
}

/// One pipeline's counts at equal distances.
#[derive(Debug, Default)]
pub(super) struct Trend {
    samples: VecDeque<Ended>,
    rising: bool,
}

// === impl Trend ===

impl Trend {
    /// Takes the counts now; what is the matter, where something is.
    pub(super) fn note(&mut self, now: Ended) -> Option<String> {
        self.samples.push_back(now);
        if self.samples.len() > RISING_SAMPLES + RISING_BEFORE_SAMPLES + 1 {
            self.samples.pop_front();
        }
        let at = self.samples.len().saturating_sub(RISING_SAMPLES + 1);
        let (first, middle) = (self.samples.front().copied()?, self.samples.get(at).copied()?);
        let (recent, before) = (now.since(middle), middle.since(first));
        let share = recent.share();
        self.rising = if self.rising {
            share >= RISING_OVER_SHARE
        } else {
            recent.failed >= RISING_FAILURES_MIN
                && share >= RISING_SHARE
                && share >= RISING_FACTOR * before.share()
        };
        self.rising.then(|| {
            format!(
                "{} of the last {} messages failed, {:.1} % of those before",
                recent.failed,
                recent.all,
                100.0 * before.share()
            )
        })
    }
}

impl Ended {
    fn since(self, before: Self) -> Self {
        Self {
            all: self.all.saturating_sub(before.all),
            failed: self.failed.saturating_sub(before.failed),
        }
    }

    fn share(self) -> f64 {
        if self.all == 0 { 0.0 } else { self.failed as f64 / self.all as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds samples in which so many of so many fail each; what is said of the last.
    fn run(trend: &mut Trend, total: &mut Ended, samples: usize, all: u64, failed: u64) -> bool {
        let mut said = None;
        for _ in 0..samples {
            total.all += all;
            total.failed += failed;
            said = trend.note(*total);
        }
        said.is_some()
    }

    #[test]
    fn a_share_that_rises_is_the_matter_until_it_is_low_again() {
        let (mut trend, mut total) = (Trend::default(), Ended::default());
        assert!(!run(&mut trend, &mut total, 60, 1000, 10), "one in a hundred is as ever");
        assert!(run(&mut trend, &mut total, RISING_SAMPLES, 1000, 200));
        assert!(run(&mut trend, &mut total, 200, 1000, 200), "high for long is high still");
        assert!(!run(&mut trend, &mut total, RISING_SAMPLES, 1000, 10));
    }

    #[test]
    fn few_failures_and_a_share_that_was_always_high_are_not() {
        let (mut trend, mut total) = (Trend::default(), Ended::default());
        assert!(!run(&mut trend, &mut total, RISING_SAMPLES + 1, 3, 3), "under twenty");
        let (mut trend, mut total) =
            (Trend { rising: false, ..Trend::default() }, Ended::default());
        for _ in 0..70 {
            total.all += 100;
            total.failed += 30;
            trend.samples.push_back(total);
        }
        trend.samples.drain(..trend.samples.len() - 60);
        assert!(!run(&mut trend, &mut total, 10, 100, 30));
    }

    #[test]
    fn a_pipeline_that_does_nothing_is_no_trouble() {
        let (mut trend, mut total) = (Trend::default(), Ended::default());
        assert!(!run(&mut trend, &mut total, 100, 0, 0));
    }
}
