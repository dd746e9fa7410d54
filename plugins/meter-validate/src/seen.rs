//! What is remembered of a meter.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use sluicegate_sdk::{Bytes, Encoded};

/// Intervals, the newest included, of which is known whether they came.
pub(crate) const RECENT: i64 = 64;
/// Gaps that wait to be filled; a further one fills the first at once.
pub(crate) const GAPS: usize = 4;
/// Gaps that were filled of which a part may still come; a further one has the first forgotten.
pub(crate) const FILLED: usize = 4;
/// Hours of a week.
const WEEK: usize = 168;
/// The share of a new week in the usual one.
const LEARN: f32 = 0.25;

/// The state of a meter: some 800 bytes.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) region: String,
    pub(crate) interval_s: i64,
    pub(crate) zone_min: i32,
    /// The newest interval: which one since 1970 it is by its end. 0 is none.
    pub(crate) newest: i64,
    /// Bit n: whether the nth before it came.
    pub(crate) recent: u64,
    pub(crate) register: Option<Register>,
    /// Readings in a row whose register is below that one.
    pub(crate) decreases: u32,
    pub(crate) export_wh: Option<i64>,
    /// Energy of the intervals since the register was read, where none is missing.
    pub(crate) since_wh: Option<i64>,
    pub(crate) last_wh: i64,
    /// Intervals in a row of the same energy, and of none.
    pub(crate) equal: u32,
    pub(crate) zero: u32,
    pub(crate) day: Day,
    pub(crate) week: Week,
    /// Usual energy of a day, in watt hours, and of how many days that is the mean.
    pub(crate) usual_wh: f64,
    pub(crate) days: u32,
    pub(crate) gaps: VecDeque<Gap>,
    /// Those whose estimates were told.
    pub(crate) filled: VecDeque<Gap>,
    pub(crate) profile: Bytes<Profile>,
}

/// The import register when it was last read.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Register {
    pub(crate) wh: i64,
    pub(crate) at: i64,
}

/// A day of the meter's, so far.
#[derive(Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Day {
    pub(crate) number: i64,
    pub(crate) wh: i64,
    pub(crate) intervals: u32,
    /// Its highest intervals.
    pub(crate) top: [i64; 3],
}

/// The voltages of a week, so far.
#[derive(Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Week {
    pub(crate) number: i64,
    pub(crate) means: u32,
    pub(crate) outside: u32,
}

/// Intervals that didn't come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Gap {
    pub(crate) first: i64,
    pub(crate) count: i64,
    /// Energy of the intervals before and behind it.
    pub(crate) from_wh: i64,
    pub(crate) to_wh: i64,
    /// Energy of those that didn't come, where a register says it: it goes on while nothing is heard.
    pub(crate) missing_wh: Option<i64>,
    /// Those that came after all, counted from the first.
    pub(crate) came: Vec<i64>,
    /// When they are estimated unless they came.
    pub(crate) due_s: u64,
}

/// The power of each hour of a week, in watts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Profile(Vec<f32>);

// === impl Seen ===

impl Seen {
    /// Whether an interval came, as far as that is known.
    pub(crate) fn came(&self, interval: i64) -> bool {
        let before = self.newest - interval;
        (0..RECENT).contains(&before) && self.recent >> before & 1 == 1
    }

    /// Day and hour of the week of an interval, where the meter is.
    pub(crate) fn hour_of_week(&self, interval: i64) -> usize {
        let local_s = (interval - 1) * self.interval_s + i64::from(self.zone_min) * 60;
        usize::try_from(local_s.div_euclid(3600).rem_euclid(168)).unwrap_or(0)
    }

    /// The day that an interval lies in.
    pub(crate) fn day_of(&self, interval: i64) -> i64 {
        let local_s = (interval - 1) * self.interval_s + i64::from(self.zone_min) * 60;
        local_s.div_euclid(86_400)
    }
}

// === impl Gap ===

impl Gap {
    /// One of so many intervals, after one of that energy.
    pub(crate) fn new(first: i64, count: i64, wh: i64) -> Self {
        let (missing_wh, came) = (None, Vec::new());
        Self { first, count, from_wh: wh, to_wh: wh, missing_wh, came, due_s: 0 }
    }

    /// Whether it lacks that interval.
    pub(crate) fn lacks(&self, interval: i64) -> bool {
        let n = interval - self.first;
        (0..self.count).contains(&n) && !self.came.contains(&n)
    }

    /// Those that didn't come.
    pub(crate) fn missing(&self) -> impl Iterator<Item = i64> {
        (self.first..self.first + self.count).filter(|interval| self.lacks(*interval))
    }

    /// One of them came. What it measured isn't missing any more.
    pub(crate) fn take(&mut self, interval: i64, wh: Option<i64>) {
        self.came.push(interval - self.first);
        let less = |(missing, wh): (i64, i64)| missing.checked_sub(wh);
        self.missing_wh = self.missing_wh.zip(wh).and_then(less).filter(|missing| *missing >= 0);
    }
}

// === impl Day ===

impl Day {
    pub(crate) fn add(&mut self, wh: i64) {
        self.wh = self.wh.saturating_add(wh);
        self.intervals = self.intervals.saturating_add(1);
        let at = self.top.iter().position(|top| wh > *top);
        if let Some(at) = at {
            self.top[at..].rotate_right(1);
            self.top[at] = wh;
        }
    }
}

// === impl Profile ===

impl Profile {
    /// Learns the power of an hour; the first week as it is.
    #[expect(clippy::cast_possible_truncation, reason = "watts, to seven digits")]
    pub(crate) fn learn(&mut self, hour: usize, watts: f64) {
        self.0.resize(WEEK, f32::NAN);
        let usual = &mut self.0[hour % WEEK];
        let watts = watts as f32;
        *usual = if usual.is_nan() { watts } else { *usual + LEARN * (watts - *usual) };
    }

    /// The usual power of an hour, where there was one.
    pub(crate) fn watts(&self, hour: usize) -> Option<f64> {
        self.0.get(hour % WEEK).filter(|watts| !watts.is_nan()).map(|watts| f64::from(*watts))
    }
}

impl Encoded for Profile {
    fn to_bytes(&self) -> impl AsRef<[u8]> {
        self.0.iter().flat_map(|watts| watts.to_le_bytes()).collect::<Vec<u8>>()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (numbers, []) = bytes.as_chunks() else { return None };
        Some(Self(numbers.iter().map(|watts| f32::from_le_bytes(*watts)).collect()))
    }
}
