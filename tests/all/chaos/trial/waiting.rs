//! How a trial passes its time.

use std::time::{Duration, Instant};

use super::super::ends::ticks;
use super::Trial;

/// How often anything is looked at.
const LOOK: Duration = Duration::from_millis(25);

impl Trial {
    /// Waits so long.
    pub(in crate::chaos) fn wait(&self, time: Duration) {
        self.runtime.block_on(async {
            tokio::time::sleep_until(tokio::time::Instant::now() + time).await;
        });
    }

    /// Waits a random time.
    pub(in crate::chaos) fn wait_up_to(&mut self, most_ms: u64) {
        let time = Duration::from_millis(self.random.u64(..most_ms));
        self.wait(time);
    }

    /// Waits a random time: that at most, half of it at least.
    pub(in crate::chaos) fn wait_about(&mut self, most_ms: u64) {
        let time = Duration::from_millis(self.random.u64(most_ms / 2..most_ms));
        self.wait(time);
    }

    /// Looks until it is so, for so long at most.
    pub(in crate::chaos) fn until(
        &mut self,
        most: Duration,
        mut holds: impl FnMut(&mut Self) -> bool,
    ) -> bool {
        let deadline = Instant::now() + most;
        let mut looks = self.runtime.block_on(async { ticks(LOOK) });
        while !holds(self) {
            if Instant::now() > deadline {
                return false;
            }
            self.runtime.block_on(looks.tick());
        }
        true
    }
}
