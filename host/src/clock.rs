//! The wall clock that a host goes by: what plugins are told as now, when timers are due, what reports say.
//!
//! There is one, handed in where a host is wired together; nobody else asks the system. Tests hold it: then
//! it moves when they say so, and what waits for a time waits for them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::time::Instant;

/// Nobody sleeps longer without looking again: a clock that was put forward is noticed then.
const LOOK: Duration = Duration::from_secs(60);

/// Tells what time it is. Cheap to clone; all clones tell the same.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    /// So much past the moment that the runtime's clock had then.
    Runtime(u64, Instant),
    Held(watch::Sender<u64>),
}

// === impl Clock ===

impl Clock {
    /// The system's.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// One that is now at so many microseconds since 1970 and goes with the clock of the runtime it is asked
    /// on, which may be paused. Threads outside of it see another.
    #[must_use]
    pub fn of_runtime(now_us: u64) -> Self {
        Self(Source::Runtime(now_us, Instant::now()))
    }

    /// One that stands at so many microseconds since 1970 until it is [moved](Self::advance).
    #[must_use]
    pub fn held(now_us: u64) -> Self {
        Self(Source::Held(watch::channel(now_us).0))
    }

    /// Moves a clock that is held, and wakes whoever waited for that; no other lets itself be moved.
    pub fn advance(&self, by: Duration) {
        if let Source::Held(now_us) = &self.0 {
            now_us.send_modify(|now_us| *now_us = now_us.saturating_add(micros(by)));
        }
    }

    /// Microseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        match &self.0 {
            Source::System => micros(system()),
            Source::Runtime(start_us, since) => start_us.saturating_add(micros(since.elapsed())),
            Source::Held(now_us) => *now_us.borrow(),
        }
    }

    /// Seconds since 1970-01-01 UTC.
    #[must_use]
    pub fn now_s(&self) -> u64 {
        self.now_us() / 1_000_000
    }

    /// Resolves when it is so late, or later: at once where it is.
    pub async fn reached(&self, at_us: u64) {
        if let Source::Held(now_us) = &self.0 {
            // This clone is one of those that could move it.
            let _ = now_us.subscribe().wait_for(|now_us| *now_us >= at_us).await;
            return;
        }
        loop {
            let left = Duration::from_micros(at_us.saturating_sub(self.now_us()));
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(LOOK)).await;
        }
    }

    /// Resolves when so much time has passed.
    pub async fn passed(&self, time: Duration) {
        self.reached(self.now_us().saturating_add(micros(time))).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "here the system is asked for all others")]
fn system() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
