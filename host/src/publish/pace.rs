//! A rate, held.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits;

/// Lets so many messages a second pass, evenly; what was not used is not saved up.
#[derive(Debug)]
pub struct Pace {
    per_s: Option<f64>,
    next: Instant,
}

// === impl Pace ===

impl Pace {
    /// A pace of so many messages a second; `None` holds nobody back.
    #[must_use]
    pub fn new(per_s: Option<f64>) -> Self {
        Self { per_s, next: Instant::now() }
    }

    /// Waits until at least one message may pass and says how many may, `wanted` at most. They are
    /// taken as passed: give back with [`Pace::unused`] what didn't.
    pub async fn take(&mut self, wanted: usize) -> usize {
        let Some(per_s) = self.per_s else { return wanted };
        tokio::time::sleep_until(self.next).await;
        let now = Instant::now();
        // What a pause left behind is forgotten but for a tick's worth, so that no burst follows.
        self.next = self.next.max(now - limits::PUBLISH_PACE_TICK);
        let due = now.saturating_duration_since(self.next).as_secs_f64() * per_s;
        #[expect(clippy::cast_possible_truncation, reason = "rounds down; a cast saturates")]
        let allowed = (due as usize).saturating_add(1).min(wanted);
        self.next += Duration::from_secs_f64(allowed as f64 / per_s);
        allowed
    }

    /// Gives back what [`Pace::take`] allowed and nobody used.
    pub fn unused(&mut self, messages: usize) {
        if let Some(per_s) = self.per_s {
            self.next -= Duration::from_secs_f64(messages as f64 / per_s);
        }
    }
}

#[cfg(test)]
mod tests;
