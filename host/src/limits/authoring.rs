//! What `plugin dev` goes by.

use std::time::Duration;

/// Between two looks at a plugin's folder.
pub const DEV_LOOK: Duration = Duration::from_millis(100);
/// Files of a plugin's folder that are looked at.
pub const DEV_FILES_MAX: usize = 10_000;
/// Messages a second that a plugin is fed with.
pub const DEV_RATE: f64 = 1.0;
/// Between two looks at a running host that takes a build up.
pub const DEV_HOST_LOOK: Duration = Duration::from_millis(50);
/// How long a running host may take to notice a build by itself; then it is asked to reload.
pub const DEV_HOST_NOTICES: Duration = Duration::from_millis(700);
/// How long it may take from there until the build serves, a probation that is under way included.
pub const DEV_HOST_TAKES: Duration = Duration::from_secs(120);
/// Between two tries to follow a host that has gone.
pub const DEV_HOST_AGAIN: Duration = Duration::from_secs(1);
/// How long a host of its own may take to finish what it has in hand.
pub const DEV_STOP: Duration = Duration::from_secs(2);
/// Messages a second of each pipeline that are shown of a running host.
pub const DEV_TAP_RATE: u32 = 20;
