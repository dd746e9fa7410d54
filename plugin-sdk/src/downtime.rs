//! What windows and absence have in common: they know a host that was down from a key that is silent.

use std::time::Duration;

/// A timer later than this, in microseconds, wasn't late by chance: the host was down, paused or far behind, and
/// what it would have waited for is in the queue.
pub(crate) const OVERDUE: u64 = 10_000_000;
/// The least time, in microseconds, that the queue is given then.
const CATCH_UP: u64 = 60_000_000;

/// How long the queue is given after a downtime.
pub(crate) fn catch_up(lateness_us: u64) -> u64 {
    lateness_us.max(CATCH_UP)
}

/// A time as microseconds.
pub(crate) const fn micros(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000).saturating_add(time.subsec_micros() as u64)
}
