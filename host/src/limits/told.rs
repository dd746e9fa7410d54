//! Bounds and defaults of what people are told.

use std::time::Duration;

/// Notices that wait for whoever tells people; more are lost and counted.
pub const NOTICES_MAX: usize = 1024;
/// Failures of one cause that a notification rule may wait for.
pub const NOTIFY_AT_LEAST_MAX: u32 = 1000;
/// The time in which a rule's `at_least` failures must come.
pub const NOTIFY_WITHIN: Duration = Duration::from_secs(300);
/// How long a condition stands before it is told.
pub const NOTIFY_AFTER: Duration = Duration::from_secs(10);
/// Between two tellings of one cause or condition by one rule.
pub const NOTIFY_COOL_DOWN: Duration = Duration::from_secs(1800);
/// Failures of one cause are over when there was none for so long.
pub const NOTIFY_RESOLVE_AFTER: Duration = Duration::from_secs(900);
/// Tellings of one rule within a minute; what is past it waits, and is told together.
pub const NOTIFY_PER_MINUTE: u32 = 30;
/// Most tellings within a minute that a config may allow.
pub const NOTIFY_PER_MINUTE_MAX: u32 = 6000;
/// Causes and conditions that one rule tells apart; further causes are told as one.
pub const NOTIFY_GROUPS: usize = 1000;
/// How often rules look whether something is to be told.
pub const NOTIFY_TICK: Duration = Duration::from_secs(1);
/// Tellings that wait for one receiver; more are dropped and counted.
pub const NOTIFY_WAITING: usize = 256;
/// Time for one answer of a webhook.
pub const NOTIFY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one telling is tried before it is dropped.
pub const NOTIFY_TRY_FOR: Duration = Duration::from_secs(900);
/// Lines logged per second about one rule's receiver.
pub const NOTIFY_LOG_LINES_PER_S: u32 = 1;
/// Looks at conditions for each sample of how many messages fail.
pub const RISING_LOOKS: u64 = 10;
/// Samples that are compared with those before: a minute.
pub const RISING_SAMPLES: usize = 6;
/// Samples before these: ten minutes.
pub const RISING_BEFORE_SAMPLES: usize = 60;
/// Failures in a minute below which no share is too large.
pub const RISING_FAILURES_MIN: u64 = 20;
/// The share of failures that is too large, if it is new.
pub const RISING_SHARE: f64 = 0.1;
/// How many times the share before is new.
pub const RISING_FACTOR: f64 = 3.0;
/// The share below which it is over.
pub const RISING_OVER_SHARE: f64 = 0.05;
/// How often conditions are looked at.
pub const CONDITION_LOOK: Duration = Duration::from_secs(1);
