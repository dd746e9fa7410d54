//! What changes on a running host: how long is waited, how much is looked at.

use std::time::Duration;

/// Between two looks at a file that changed: what stood still so long, twice, has settled.
pub const WATCH_SETTLE: Duration = Duration::from_millis(100);
/// From an event to the look that it causes: what comes meanwhile is looked at together.
pub const WATCH_GATHER: Duration = Duration::from_millis(20);
/// Between two looks where no event came: network file systems give none.
pub const WATCH_POLL: Duration = Duration::from_secs(2);
/// How long a file may be unfit for use before somebody is told: a slow copy is still being written.
pub const WATCH_PATIENCE: Duration = Duration::from_secs(5);
/// What waits to be told to the thread that follows files.
pub const WATCH_ASKS: usize = 64;
