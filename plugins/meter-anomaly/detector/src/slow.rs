//! Changes that no single value shows: a cumulative sum over days (Page 1954).
//!
//! `y = ln(mean of the day + 1 % of the usual day)`; its distance from what is usual, in usual distances, is added
//! up on both sides, less what a day may be off: `g = max(0, g + z - 0.75)`. Past 8, and when that has lasted,
//! something has changed for good. Each day of the week has what it is usually off. Logarithms, since a
//! household that uses half is as much changed whatever it used.

use crate::bytes::{Reader, Writer};

/// What a day may be off before it counts, in usual distances.
const ALLOWED: f32 = 0.75;
/// Sum from which there is a change.
const DECIDED: f32 = 8.0;
/// It isn't larger than this: what was over before it lasted is soon forgotten.
const SUM_MAX: f32 = 10.0;
/// No day counts for more usual distances.
const DAY_MAX: f32 = 4.0;
/// Days from which on a day is unlike the others, in usual distances, and teaches less.
const UNLIKE: f32 = 3.0;
/// Share of a day in what is usual, and of an unlike one.
const LEARN: (f32, f32) = (0.05, 0.02);
/// Share of a day in what its day of the week is off.
const LEARN_WEEKDAY: f32 = 0.15;
/// A value counts for so many times the usual mean at the most, lest a car that is charged hide the household.
const LOUD: f32 = 2.5;
/// Days that are learnt from before a change can be told, and after one was.
const LEARNT: u32 = 21;
/// Days are hardly ever as alike as this, as a share.
const DISTANCE_MIN: f32 = 0.02;
/// Share of the usual number of values that a day must have to count.
const COMPLETE: f32 = 0.5;

/// A lasting change of the daily mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// Mean value of a usual day before it.
    pub expected: f32,
    /// Mean value of the days since it began.
    pub seen: f32,
    /// Days since it began.
    pub days: u32,
    /// The sum, in usual distances of a day.
    pub sum: f32,
}

/// What is known of days.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Slow {
    day: u32,
    /// Values of this day, and their sum.
    count: u32,
    sum: f32,
    /// Values of a usual day.
    complete: f32,
    /// Mean value of a usual day.
    level: f32,
    /// Mean of `y`, what each day of the week is off it, and the usual distance from both.
    mean: f32,
    weekdays: [f32; 7],
    distance: f32,
    /// Days learnt from, since the start or the last change.
    days: u32,
    up: Drift,
    down: Drift,
}

/// One side's sum, and the days that it is made of.
#[derive(Clone, Debug, Default, PartialEq)]
struct Drift {
    sum: f32,
    days: u32,
    total: f32,
    /// Mean value of a usual day before.
    before: f32,
}

impl Slow {
    /// Takes a value of that day, counted from any other. The first value of a new day closes the last one. A change
    /// must have lasted so many days to be one.
    pub(crate) fn judge(&mut self, x: f32, day: u32, lasting: u32) -> Option<Change> {
        let mut change = None;
        if day != self.day {
            if self.count > 0 {
                change = self.close(lasting);
            }
            (self.day, self.count, self.sum) = (day, 0, 0.0);
        }
        self.count = self.count.saturating_add(1);
        let most = if self.days > 0 { LOUD * self.level } else { f32::MAX };
        self.sum += x.min(most);
        change
    }

    fn close(&mut self, lasting: u32) -> Option<Change> {
        let count = self.count as f32;
        let partial = count < COMPLETE * self.complete;
        self.complete += 0.1_f32.max(1.0 / (self.days as f32 + 1.0)) * (count - self.complete);
        if partial {
            return None;
        }
        let seen = (self.sum / count).max(0.0);
        let share = 1.0 / (self.days as f32 + 1.0);
        let level = if self.days == 0 { seen } else { self.level };
        let y = (seen + 0.01 * level + f32::MIN_POSITIVE).ln();
        let weekday = (self.day % 7) as usize;
        let off = y - self.mean - self.weekdays[weekday];
        let usual = 1.25 * self.distance + DISTANCE_MIN;
        let z = (off / usual).clamp(-DAY_MAX, DAY_MAX);
        let mut change = None;
        if self.days >= LEARNT {
            let sides = [self.up.add(z, seen, level), self.down.add(-z, seen, level)];
            change = sides.into_iter().flatten().find(|change| change.days >= lasting);
        }
        let learn = if z.abs() >= UNLIKE { LEARN.1 } else { LEARN.0 };
        let learn = if self.days < LEARNT { learn.max(share) } else { learn };
        if self.days > 0 {
            self.distance += learn.max(share.min(0.5)) * (off.abs() - self.distance);
        }
        self.mean += learn * off;
        // A change isn't the weekday's.
        self.weekdays[weekday] += if self.days < 7 {
            y - self.mean - self.weekdays[weekday]
        } else {
            let most = UNLIKE * usual;
            LEARN_WEEKDAY * off.clamp(-most, most)
        };
        self.level += learn * (seen - self.level);
        self.days = self.days.saturating_add(1);
        if change.is_some() {
            // What has changed is what is usual from now on: told once, and learnt anew.
            self.days = 0;
            (self.up, self.down) = (Drift::default(), Drift::default());
        }
        change
    }

    pub(crate) fn write(&self, to: &mut Writer) {
        for count in [self.day, self.count, self.days, self.up.days, self.down.days] {
            to.count(count);
        }
        to.floats(&[self.sum, self.complete, self.level, self.mean, self.distance]);
        to.floats(&self.weekdays);
        for drift in [&self.up, &self.down] {
            to.floats(&[drift.sum, drift.total, drift.before]);
        }
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let mut counts = [0; 5];
        for count in &mut counts {
            *count = from.count()?;
        }
        let [day, count, days, up_days, down_days] = counts;
        let [sum, complete, level, mean, distance] = from.some_floats()?;
        let weekdays = from.some_floats()?;

        let mut drift = |days| {
            let [sum, total, before] = from.some_floats()?;
            Some(Drift { sum, days, total, before })
        };
        let (up, down) = (drift(up_days)?, drift(down_days)?);
        Some(Self { day, count, sum, complete, level, mean, weekdays, distance, days, up, down })
    }
}

impl Drift {
    /// Adds a day; what has changed, where that is decided. `level` is the mean value of a usual day.
    fn add(&mut self, z: f32, seen: f32, level: f32) -> Option<Change> {
        if self.days == 0 {
            self.before = level;
        }
        self.sum = (self.sum + z - ALLOWED).min(SUM_MAX);
        if self.sum <= 0.0 {
            *self = Self::default();
            return None;
        }
        self.days = self.days.saturating_add(1);
        self.total += seen;
        let (expected, seen) = (self.before, self.total / self.days as f32);
        (self.sum > DECIDED).then_some(Change { expected, seen, days: self.days, sum: self.sum })
    }
}
