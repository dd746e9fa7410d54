//! Bounds of timers and of tables of reference data.

use std::time::Duration;

/// Bytes of a timer's name.
pub const TIMER_NAME_BYTES: usize = 128;
/// Timers that one message or timer sets or cancels.
pub const TIMER_CHANGES: usize = 64;
/// Timers that a key has at one stage.
pub const TIMERS_PER_KEY: usize = 64;
/// The least time that a timer is set ahead: one that sets itself again doesn't keep a shard busy.
pub const TIMER_AHEAD_MIN: Duration = Duration::from_millis(10);
/// The longest time that a timer is set ahead: about ten years.
pub const TIMER_AHEAD_MAX: Duration = Duration::from_secs(3653 * 24 * 60 * 60);
/// Keys of a pipeline that have a timer, each counted once per stage; a message that would set one for a
/// further key fails.
pub const TIMER_KEYS: usize = 2_000_000;
/// Most that a config may allow.
pub const TIMER_KEYS_MAX: u64 = 1_000_000_000;
/// Timers that are due and that a lane runs, of one pipeline on one shard, at once; others wait their turn.
pub const TIMERS_DUE: usize = 4096;
/// Bytes of a table's file.
pub const TABLE_FILE_BYTES: u64 = 64 << 20;
/// Rows of a table.
pub const TABLE_ROWS: usize = 1_000_000;
/// Tables that a config has.
pub const TABLES_MAX: usize = 64;
