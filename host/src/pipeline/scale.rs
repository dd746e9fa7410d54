//! How many shards a pipeline uses: more while messages wait and its shards are busy, fewer when fewer would do.
//!
//! Messages wait when the window that was asked of the broker is full, so that more lie in the queue, or when
//! they take longer than the config wants, from receipt to settlement on average: as many as are held over as
//! many as are settled in a second (Little 1961). Another shard helps only where plugins take the time, so that
//! shards which wait for a broker don't get company.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::Shards;
use crate::limits::{
    SCALE_BUSY, SCALE_DOWN_LOOKS, SCALE_IDLE, SCALE_LOOK, SCALE_UP_LOOKS, SCALE_WINDOW_FULL,
};

/// What can be seen of a pipeline at a moment; what is counted begins with its first consumer.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When.
    pub at: Instant,
    /// Messages held.
    pub held: usize,
    /// And at most; [`usize::MAX`] where that says nothing.
    pub window: usize,
    /// Messages settled so far.
    pub settled: u64,
    /// Time that its lanes have worked so far.
    pub worked: Duration,
}

/// Decides how wide a pipeline is.
#[derive(Clone, Debug)]
pub struct Scale {
    least: usize,
    most: usize,
    latency: Duration,
    before: Option<Sample>,
    /// Looks in a row that found too few shards, or too many.
    short: u32,
    ample: u32,
}

/// Why a pipeline is to have another width.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// The shards that it is to use.
    pub width: usize,
    /// The share of their time that those it uses now have worked.
    pub busy: f64,
    /// What messages take from receipt to settlement.
    pub latency: Duration,
}

impl Scale {
    /// Within these bounds, on a host of so many shards; `None` where there is nothing to decide.
    #[must_use]
    pub fn new(bounds: Shards, shards: usize) -> Option<Self> {
        let (least, most) = (bounds.least.clamp(1, shards), bounds.most.clamp(1, shards));
        let latency = bounds.latency;
        (least < most).then_some(Self { least, most, latency, before: None, short: 0, ample: 0 })
    }

    /// That a look is due; the first one a while after it is asked for.
    #[must_use]
    pub fn looks() -> tokio::time::Interval {
        let mut looks = tokio::time::interval_at(Instant::now() + SCALE_LOOK, SCALE_LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        looks
    }

    /// Looks at a pipeline of that width. What it is to be, where that is something else.
    pub fn look(&mut self, width: usize, now: Sample) -> Option<Decision> {
        let before = self.before.replace(now)?;
        let time = now.at.saturating_duration_since(before.at).as_secs_f64();
        if time <= 0.0 {
            return None;
        }
        let worked = now.worked.saturating_sub(before.worked).as_secs_f64();
        let busy = worked / time / width as f64;
        let rate = now.settled.saturating_sub(before.settled) as f64 / time;
        let latency = match now.held as f64 / rate {
            seconds if seconds.is_finite() => Duration::from_secs_f64(seconds.min(1e6)),
            _ if now.held == 0 => Duration::ZERO,
            _ => Duration::from_secs_f64(time),
        };
        let waits = latency > self.latency
            || now.held as f64 >= SCALE_WINDOW_FULL * now.window.max(1) as f64;
        let fewer = busy * width as f64 / width.saturating_sub(1) as f64;
        self.short = if waits && busy >= SCALE_BUSY { self.short + 1 } else { 0 };
        self.ample = if !waits && fewer <= SCALE_IDLE { self.ample + 1 } else { 0 };
        let width = if self.short >= SCALE_UP_LOOKS && width < self.most {
            width + 1
        } else if self.ample >= SCALE_DOWN_LOOKS && width > self.least {
            width - 1
        } else {
            return None;
        };
        self.begin_anew();
        Some(Decision { width, busy, latency })
    }

    /// What was seen of another width says nothing of what comes.
    fn begin_anew(&mut self) {
        (self.before, self.short, self.ample) = (None, 0, 0);
    }
}

#[cfg(test)]
mod tests;
