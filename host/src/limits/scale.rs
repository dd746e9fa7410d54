//! When a pipeline uses more shards, or fewer.

use std::time::Duration;

/// How often it is looked at whether a pipeline uses too few shards, or too many.
pub const SCALE_LOOK: Duration = Duration::from_secs(1);
/// Looks in a row that must find too few.
pub const SCALE_UP_LOOKS: u32 = 3;
/// Looks in a row that must find too many.
pub const SCALE_DOWN_LOOKS: u32 = 60;
/// The share of a window from which it counts as full: the broker has more.
pub const SCALE_WINDOW_FULL: f64 = 0.75;
/// The share of their time that a pipeline's shards must have worked for another one to help.
pub const SCALE_BUSY: f64 = 0.5;
/// The share of their time that shards would have to work at most if there were one fewer. Below [`SCALE_BUSY`], lest
/// one be taken away only to come back.
pub const SCALE_IDLE: f64 = 0.4;
/// What messages may take from receipt to settlement on average before a pipeline gets another shard.
pub const SCALE_LATENCY: Duration = Duration::from_millis(100);
/// The least that may be asked for: below, one batch says more than the load.
pub const SCALE_LATENCY_MIN: Duration = Duration::from_millis(1);
/// Identities and timers that are dealt out at once to other shards: a few milliseconds' work.
pub const DEALT_AT_ONCE: usize = 10_000;
