//! Bounds and defaults of recorded calls.

use super::PLUGIN_OUTPUT_BYTES;

/// Bytes of a capsule's file: what one call may be handed and return, with room to spare.
pub const CAPSULE_BYTES: usize = 16 * PLUGIN_OUTPUT_BYTES;
/// Levels of a capsule's values: headers nest the deepest, each of their levels in several of these.
pub const CAPSULE_DEPTH: usize = 160;
/// Characters of a value that a difference shows.
pub const DIFFERENCE_CHARS: usize = 400;
/// Differences that one comparison lists.
pub const DIFFERENCES_MAX: usize = 100;
