//! Bounds and defaults of recorded calls, and of those who look on.

use std::time::Duration;

use super::{MIB, PLUGIN_OUTPUT_BYTES};

/// Bytes of a capsule's file: what one call may be handed and return, with room to spare.
pub const CAPSULE_BYTES: usize = 16 * PLUGIN_OUTPUT_BYTES;
/// Levels of a capsule's values: headers nest the deepest, each of their levels in several of these.
pub const CAPSULE_DEPTH: usize = 160;
/// Characters of a value that a difference shows.
pub const DIFFERENCE_CHARS: usize = 400;
/// Differences that one comparison lists.
pub const DIFFERENCES_MAX: usize = 100;

/// Clients that follow what happens over the control socket; the rest of its places is for commands.
pub const CONTROL_FOLLOWERS: usize = 8;
/// Lines that wait for a client that follows; more are lost and counted.
pub const STREAM_LINES: usize = 256;
/// Bytes of one such line.
pub const STREAM_LINE_BYTES: u64 = 4 * MIB as u64;
/// A client that takes none for so long is let go.
pub const STREAM_PATIENCE: Duration = Duration::from_secs(60);

/// The folder of capsules, in the state folder.
pub const CAPSULE_FOLDER: &str = "capsules";
/// Bytes of a call that is recorded; a larger one isn't, and is counted.
pub const CAPSULE_RECORDED_BYTES: usize = 16 * MIB;
/// Capsules of a pipeline that are kept.
pub const RECORD_FILES: usize = 500;
/// Most capsules of a pipeline that a config may ask for: each look goes through all of them.
pub const RECORD_FILES_MAX: usize = 100_000;
/// Bytes of a pipeline's capsules.
pub const RECORD_BYTES: u64 = 64 * MIB as u64;
/// How long a capsule is kept: consumption is personal data, and a week is what a failure report lives.
pub const RECORD_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
/// In such an interval a cause is recorded a bounded number of times; old capsules are looked for as often.
pub const RECORD_INTERVAL: Duration = Duration::from_secs(60);
/// Capsules of one cause of failed calls in an interval; of a plugin's own refusals there is one.
pub const CAPSULES_PER_CAUSE: u32 = 10;
/// Causes of one pipeline that are told apart in an interval; further ones aren't recorded.
pub const CAPSULE_CAUSES: usize = 256;
/// Capsules that wait to be written; more are lost and counted.
pub const CAPSULES_WAITING: usize = 256;
/// Bytes of calls that wait to be written.
pub const CAPSULES_WAITING_BYTES: usize = 64 * MIB;
/// What a host that stops waits for capsules to be written.
pub const RECORDER_FLUSH: Duration = Duration::from_secs(5);
/// Bytes of a body that a tap shows.
pub const TAP_BODY_BYTES: usize = 4096;
/// Messages that a tap shows in a second.
pub const TAP_RATE: u32 = 20;
/// Most messages that a tap may ask for in a second.
pub const TAP_RATE_MAX: u32 = 10_000;

/// Messages that `replay --from` sends at once.
pub const REPLAY_GROUP: usize = 256;
/// Messages that it has under way.
pub const REPLAY_WAITING: u64 = 4096;
/// How often it looks at what became of them.
pub const REPLAY_LOOK: Duration = Duration::from_millis(10);
/// After so long without one that ended it gives up.
pub const REPLAY_QUIET: Duration = Duration::from_secs(30);

/// Recorded calls that a trial in a quiet queue is handed at most.
pub const RECORDED_CALLS: usize = 256;
/// Capsules that are looked at for them, the newest first.
pub const RECORDED_LOOKS: usize = 1000;
/// Bytes of capsules that are read for them.
pub const RECORDED_BYTES: u64 = 32 * MIB as u64;
