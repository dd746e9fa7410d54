//! Keeps a kind of log line from drowning the log.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets a number of lines through in each interval and counts the rest.
#[derive(Debug)]
pub(super) struct Throttle {
    lines: u32,
    interval: Duration,
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    lines: u32,
    suppressed: u64,
}

// === impl Throttle ===

impl Throttle {
    pub(super) fn per_second(lines: u32) -> Self {
        Self::new(lines, Duration::from_secs(1))
    }

    /// One line in each interval.
    pub(super) fn every(interval: Duration) -> Self {
        Self::new(1, interval)
    }

    fn new(lines: u32, interval: Duration) -> Self {
        let window = Window { since: Instant::now(), lines: 0, suppressed: 0 };
        Self { lines, interval, window: Mutex::new(window) }
    }

    /// Whether a line may go out now; if so, how many were held back since the last one.
    pub(super) fn admit(&self, now: Instant) -> Option<u64> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(window.since) >= self.interval {
            window.since = now;
            window.lines = 0;
        }
        if window.lines >= self.lines {
            window.suppressed += 1;
            return None;
        }
        window.lines += 1;
        Some(std::mem::take(&mut window.suppressed))
    }
}
