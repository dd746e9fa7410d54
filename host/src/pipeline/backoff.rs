//! Pauses between attempts: doubling, bounded, with full jitter so that hosts don't come back in step.

use std::time::Duration;

use crate::limits::{BACKOFF_MAX, BACKOFF_MIN};

/// The pauses of one run of attempts.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    ceiling: Duration,
    bounds: (Duration, Duration),
}

impl Backoff {
    /// Pauses between these.
    #[must_use]
    pub fn between(shortest: Duration, longest: Duration) -> Self {
        Self { ceiling: shortest, bounds: (shortest, longest) }
    }

    /// Pauses, longer each time.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.pause()).await;
    }

    /// The next pause: between a half and the whole of a ceiling that doubles.
    fn pause(&mut self) -> Duration {
        let pause = self.ceiling.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.ceiling = (self.ceiling * 2).min(self.bounds.1);
        pause
    }

    /// Starts from the shortest again.
    pub fn reset(&mut self) {
        self.ceiling = self.bounds.0;
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::between(BACKOFF_MIN, BACKOFF_MAX)
    }
}
