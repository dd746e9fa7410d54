//! What one instance may use and has used: memory, time, clock, random numbers, output.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use wasmtime::{ResourceLimiter, UpdateDeadline};

pub(super) use super::output::Source;
use super::output::{LogGate, Output};
use crate::config::PluginLimits;
use crate::limits::{PLUGIN_CALL_WALL_FACTOR, PLUGIN_HOST_CALL_PRICE};

/// A store's data.
pub(super) struct Sandbox {
    pub(super) memory: Memory,
    pub(super) timer: Timer,
    pub(super) output: Output,
    /// The batch's time, the only one there is; microseconds.
    pub(super) now_us: u64,
    pub(super) random: Random,
    pub(super) handed: Handed,
}

/// What a call may still hand over in calls of the host.
#[derive(Debug)]
pub(super) struct Handed {
    limit: usize,
    left: usize,
}

/// A call handed over more than it may.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "the plugin handed over more than {0} bytes in calls of the host (log lines, standard output); \
     say less, or raise its limits.host_calls"
)]
pub(super) struct TooMuch(usize);

/// Sums what memories and tables hold, against one limit.
#[derive(Debug)]
pub(super) struct Memory {
    limit: usize,
    pub(super) used: usize,
    /// What was asked for in vain during this call.
    pub(super) denied: Option<usize>,
}

/// One call's time, in two currencies.
#[derive(Debug)]
pub(super) struct Timer {
    limit: Duration,
    started: Instant,
    /// Processor time of the thread when it was first looked at; most calls end before it.
    cpu_started: Option<Duration>,
    /// What was spent when a limit was found passed.
    pub(super) passed: Option<Spent>,
}

/// What a call spent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spent {
    pub(super) cpu: Duration,
    pub(super) wall: Duration,
}

/// The same numbers in every call: a plugin's answer may not depend on chance (SplitMix64).
#[derive(Debug)]
pub(super) struct Random(u64);

/// Bytes that an entry of a table takes.
const TABLE_ENTRY_BYTES: usize = size_of::<usize>();

// === impl Sandbox ===

impl Sandbox {
    pub(super) fn new(limits: &PluginLimits, gate: Arc<LogGate>) -> Self {
        let handed = limits.host_call_bytes;
        Self {
            memory: Memory { limit: limits.memory_bytes, used: 0, denied: None },
            timer: Timer::start(Duration::ZERO),
            output: Output::new(gate),
            now_us: 0,
            random: Random::SEEDED,
            handed: Handed { limit: handed, left: handed },
        }
    }

    /// Readies everything that a call starts from, the same for each.
    pub(super) fn begin(&mut self, limit: Duration, now_us: u64) {
        self.memory.denied = None;
        self.timer = Timer::start(limit);
        self.output.begin();
        self.now_us = now_us;
        self.random = Random::SEEDED;
        self.handed.left = self.handed.limit;
    }
}

// === impl Handed ===

impl Handed {
    /// Counts a call of the host that hands over so many bytes.
    ///
    /// # Errors
    /// That is more than is left.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), TooMuch> {
        let price = bytes.saturating_add(PLUGIN_HOST_CALL_PRICE);
        self.left = self.left.checked_sub(price).ok_or(TooMuch(self.limit))?;
        Ok(())
    }
}

// === impl Memory ===

impl Memory {
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let more = desired.saturating_sub(current);
        match self.used.checked_add(more) {
            Some(used) if used <= self.limit => {
                self.used = used;
                true
            }
            _ => {
                self.denied = Some(more);
                false
            }
        }
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(
            current.saturating_mul(TABLE_ENTRY_BYTES),
            desired.saturating_mul(TABLE_ENTRY_BYTES),
        ))
    }
}

// === impl Timer ===

impl Timer {
    fn start(limit: Duration) -> Self {
        Self { limit, started: Instant::now(), cpu_started: None, passed: None }
    }

    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    pub(super) fn wall(&self) -> Duration {
        self.started.elapsed()
    }

    /// Called at each tick of the epoch while the guest runs.
    ///
    /// Processor time is the thread's own, so that a busy machine blames nobody; wall time is the
    /// backstop.
    pub(super) fn check(&mut self) -> UpdateDeadline {
        let wall = self.started.elapsed();
        let cpu = thread_cpu();
        let cpu_started = *self.cpu_started.get_or_insert(cpu);
        let spent = Spent { cpu: cpu.saturating_sub(cpu_started), wall };
        if spent.cpu > self.limit || spent.wall > self.limit * PLUGIN_CALL_WALL_FACTOR {
            self.passed = Some(spent);
            UpdateDeadline::Interrupt
        } else {
            UpdateDeadline::Continue(1)
        }
    }
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

// === impl Random ===

impl Random {
    const SEEDED: Self = Self(0x736c_7569_6365_6761);

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count.next_multiple_of(8));
        while bytes.len() < count {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}
