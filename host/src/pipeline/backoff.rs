//! Pauses between attempts: doubling, bounded, with full jitter so that hosts don't come back in step.

use std::time::Duration;

use crate::limits::{BACKOFF_MAX, BACKOFF_MIN};

/// The pauses of one run of attempts.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    ceiling: Duration,
}

impl Backoff {
    /// Pauses, longer each time.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.pause()).await;
    }

    /// The next pause: between a half and the whole of a ceiling that doubles.
    fn pause(&mut self) -> Duration {
        let pause = self.ceiling.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.ceiling = (self.ceiling * 2).min(BACKOFF_MAX);
        pause
    }

    /// Starts from the shortest again.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { ceiling: BACKOFF_MIN }
    }
}
