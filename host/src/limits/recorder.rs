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
