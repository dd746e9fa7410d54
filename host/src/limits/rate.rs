//! Bounds of what a pipeline takes within a time.

use std::time::Duration;

/// Messages that a `rate` names, whatever time it names.
pub const RATE_MESSAGES: u32 = 1_000_000;
/// Between two messages of the slowest rate: a third of what RabbitMQ waits for an acknowledgement.
pub const RATE_INTERVAL_MAX: Duration = Duration::from_secs(10 * 60);
/// What passes at once after a quiet time unless `burst` says: so long's worth, one message at least.
pub const RATE_BURST: Duration = Duration::from_millis(100);
/// Messages that pass at once after a quiet time, at most.
pub const RATE_BURST_MAX: u32 = 1_000_000;
/// What is caught up with when a wait took longer than it should: timers aren't finer than this.
pub const RATE_CATCH_UP: Duration = Duration::from_millis(10);
/// What a limited pipeline holds of its queue: so long's worth of messages, below its prefetch.
pub const RATE_WINDOW: Duration = Duration::from_secs(10);
