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

/// Messages after which a trial ends.
pub const TRIAL_MESSAGES: u64 = 1000;
/// Time after which it does.
pub const TRIAL_TIME: Duration = Duration::from_secs(1);
/// Share of messages that a version may decide otherwise: by default any, for most new versions are
/// meant to.
pub const TRIAL_MAX_DIFFERENCE: f64 = 1.0;
/// Copies of calls that wait for a trial; what finds no room isn't tried.
pub const TRIAL_COPIES: usize = 32;
/// Bytes of a batch that is still copied for a trial.
pub const TRIAL_BATCH_BYTES: usize = 1024 * 1024;
/// One in so many calls of a trial is made again on a fresh instance, to see that it answers the same.
pub const TRIAL_PURITY_CALLS: u64 = 16;
/// Messages after which a probation ends.
pub const PROBATION_MESSAGES: u64 = 1000;
/// Time after which it does.
pub const PROBATION_TIME: Duration = Duration::from_secs(10);
/// How much larger the share of failed messages may be than that of the version before.
pub const PROBATION_MAX_RISE: f64 = 0.05;
/// Failed messages without which no version is put back: one may always be a message's own fault.
pub const PROBATION_FAILURES_MIN: u64 = 3;
/// Messages without which none is, unless all of them failed.
pub const PROBATION_MESSAGES_MIN: u64 = 20;
/// Between two looks at what failed in a probation.
pub const PROBATION_LOOK: Duration = Duration::from_millis(10);
/// Most messages that a trial or a probation can be set to.
pub const RELOAD_MESSAGES_MAX: u64 = 1_000_000;
/// Longest time that one can be set to.
pub const RELOAD_TIME_MAX: Duration = Duration::from_secs(3600);
/// Until a file that is asked for has come to rest.
pub const RELOAD_FILE: Duration = Duration::from_secs(10);
/// Until a version is compiled, checked and configured.
pub const RELOAD_COMPILE: Duration = Duration::from_secs(60);
/// Reloads of one plugin that wait for their turn.
pub const RELOAD_ASKS: usize = 8;
/// Messages of a version that are counted before what was long ago counts for less.
pub const TALLY_MESSAGES: u64 = 100_000;
/// Where former versions of plugins are kept, in the state folder.
pub const PLUGIN_HISTORY_FOLDER: &str = "plugins";
/// Versions of each plugin that are kept.
pub const PLUGIN_HISTORY: usize = 5;
/// Bytes of the list of them.
pub const PLUGIN_HISTORY_BYTES: u64 = 64 * 1024;
