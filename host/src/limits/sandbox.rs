//! Bounds and defaults of what plugins may use and what is done about those that misbehave.

use std::time::Duration;

use super::MIB;

/// Memory of one plugin instance, in bytes.
pub const PLUGIN_MEMORY_BYTES: usize = 64 * MIB;
/// Processor time of one `process` call.
pub const PLUGIN_CALL: Duration = Duration::from_millis(50);
/// Wall time of one `process` call, as a multiple of its processor time limit.
pub const PLUGIN_CALL_WALL_FACTOR: u32 = 10;
/// Processor time of `describe` and of `configure`.
pub const PLUGIN_SETUP: Duration = Duration::from_secs(2);
/// Native stack of a plugin's call, in bytes.
pub const PLUGIN_STACK_BYTES: usize = 512 * 1024;
/// Emissions of one message at one stage.
pub const PLUGIN_EMISSIONS: usize = 1000;
/// Bytes that one `process` call may return.
pub const PLUGIN_OUTPUT_BYTES: usize = 16 * MIB;
/// What a decoded answer may take of the host's memory, as a multiple of its bytes: spans may overlap.
pub const PLUGIN_UNFOLDED_FACTOR: usize = 4;
/// Frames of a guest's stack that a failure carries.
pub const PLUGIN_BACKTRACE_FRAMES: usize = 32;
/// Bytes of state of one key.
pub const PLUGIN_STATE_BYTES: usize = 64 * 1024;
/// Log lines of one plugin per second.
pub const PLUGIN_LOG_LINES_PER_S: u32 = 100;
/// Bytes of one plugin log line, and of a panic's message kept for a failure.
pub const PLUGIN_LOG_LINE_BYTES: usize = 4096;
/// Bytes of the emissions of one message at one stage.
pub const PLUGIN_EMISSION_BYTES: usize = 16 * MIB;
/// Bytes that one `process` call may hand over in calls of the host: log lines, standard output.
pub const PLUGIN_HOST_CALL_BYTES: usize = 4 * MIB;
/// What each call of the host costs of these, whatever it hands over.
pub const PLUGIN_HOST_CALL_PRICE: usize = 16;
/// Bytes of a plugin's file.
pub const PLUGIN_FILE_BYTES: u64 = 32 * MIB as u64;
/// How often the epoch ticks: the resolution of the `call` limit.
pub const EPOCH_TICK: Duration = Duration::from_millis(1);
/// Ticks without a call after which the epoch stands still until the next one.
pub const EPOCH_QUIET_TICKS: u32 = 100;

/// Most memory that a config may give one plugin instance: all that a 32-bit guest can address.
pub const PLUGIN_MEMORY_BYTES_MAX: u64 = 4 << 30;
/// Longest `call` limit that a config may give a plugin.
pub const PLUGIN_CALL_MAX: Duration = Duration::from_secs(600);
/// Processor time that compiling a plugin may take, and wall time as a multiple of it.
pub const PLUGIN_COMPILE: Duration = Duration::from_secs(60);
/// Wall time of compiling, as a multiple of its processor time limit.
pub const PLUGIN_COMPILE_WALL_FACTOR: u32 = 3;
/// Longest `compile` limit that a config may give a plugin.
pub const PLUGIN_COMPILE_MAX: Duration = Duration::from_secs(3600);
/// Address space of the process that compiles a plugin, in bytes.
pub const PLUGIN_COMPILE_MEMORY_BYTES: u64 = 2 << 30;
/// Below this that process does not even start.
pub const PLUGIN_COMPILE_MEMORY_BYTES_MIN: u64 = 64 << 20;
/// Threads of that process: each takes address space of its own.
pub const PLUGIN_COMPILE_THREADS: usize = 4;
/// Bytes of what that process says that are read.
pub const PLUGIN_COMPILE_ANSWER_BYTES: u64 = 64 * 1024;
/// The share of messages that must fail in a plugin's calls for it to count as broken.
pub const PLUGIN_BREAKER_RATE: f64 = 0.5;
/// How many must fail at least.
pub const PLUGIN_BREAKER_FAILURES: u32 = 20;
/// The time in which.
pub const PLUGIN_BREAKER_WINDOW: Duration = Duration::from_secs(30);
/// Longest window that a config may ask for.
pub const PLUGIN_BREAKER_WINDOW_MAX: Duration = Duration::from_secs(3600);
/// The share of calls that are run again on a fresh instance, to see whether they answer the same.
pub const PURITY_SAMPLE: f64 = 0.001;
/// An instance is replaced when its memory has grown past this share of its limit,
pub const RECYCLE_SHARE: f64 = 0.75;
/// and past this multiple of what it held when it was new,
pub const RECYCLE_FACTOR: usize = 2;
/// and not more often than this: one that needs so much each time isn't made anew for each batch.
pub const RECYCLE_INTERVAL: Duration = Duration::from_secs(1);
/// Parts of the window that are forgotten one at a time.
pub const PLUGIN_BREAKER_PARTS: u32 = 10;
/// Deliveries that the first probe of a broken plugin may hold; the first that doesn't fail closes the breaker.
/// Each probe that fails is followed by one of twice as many, up to the prefetch.
pub const PLUGIN_PROBE_MESSAGES: u16 = 16;
/// How long a probe may take.
pub const PLUGIN_PROBE_TIME: Duration = Duration::from_secs(5);
/// First pause before a broken plugin is probed; doubles up to [`PLUGIN_PROBE_PAUSE_MAX`].
pub const PLUGIN_PROBE_PAUSE_MIN: Duration = Duration::from_secs(1);
/// Longest pause between probes: each costs a message at the head of its queue one delivery.
pub const PLUGIN_PROBE_PAUSE_MAX: Duration = Duration::from_secs(300);
/// Calls that wait to be run again; more aren't looked at.
pub const PURITY_WAITING: usize = 8;
/// How long the thread that runs calls again rests after each, as a multiple of what that took.
pub const PURITY_REST_FACTOR: u32 = 9;
/// Bytes of a batch past which it isn't run again.
pub const PURITY_BATCH_BYTES: usize = 4 * MIB;
