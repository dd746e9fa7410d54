//! A series: all that looks at it, and what is kept of it.

use crate::alarm::{Alarm, Alarms};
use crate::bytes::{Reader, Writer};
use crate::known::{Known, Surprise};
use crate::slow::{Change, Slow};
use crate::stuck::Stuck;
use crate::{DAY_S, Tuning};

const DAY_MS: i64 = 1000 * DAY_S;
const HOUR_MS: f64 = 3_600_000.0;
/// Values in a row that are not later than the last one: so many, and the last one's time was wrong.
const LATE_MAX: u32 = 200;
/// A value beyond this, on either side, is none: its square is to be a number, too.
const VALUE_MAX: f64 = 1e12;

/// How a series is looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// How the three channels are set.
    pub tuning: Tuning,
    /// When their surprise is an alarm.
    pub alarms: Alarms,
    /// Whether all of it counts, by channel.
    pub channels: [bool; 3],
    /// Days from the first value on in which nothing is an alarm.
    pub quiet_days: u32,
    /// Days that a change must last to be told; 0 where none is looked for.
    pub lasting_days: u32,
    /// Equal values in a row from which a series is stuck; 0 for never.
    pub stuck: u32,
    /// The values are a register's, that counts: what is judged is how much it counts in an hour.
    pub register: bool,
}

/// When a value was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since 1970, UTC.
    pub unix_ms: i64,
    /// What the meter's local time is ahead of UTC.
    pub ahead_s: i32,
}

/// What was found in a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// The value that was judged: itself, or what a register counted in an hour.
    pub seen: f32,
    /// How surprising it is.
    pub surprise: Surprise,
    /// Bits above those that former alarms have made usual, where it is an alarm.
    pub alarm: Option<f32>,
    /// The day before was the one that decided that something has changed for good.
    pub change: Option<Change>,
    /// It has come so often in a row.
    pub stuck: Option<u32>,
}

/// What is kept of a series, in as many bytes whatever comes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// When the first value was measured.
    since_ms: i64,
    /// The last one.
    last_ms: i64,
    /// Values in a row that weren't later.
    late: u32,
    /// What the register stood at.
    stood: f64,
    /// Whether there was a first value.
    begun: bool,
    known: Known,
    alarm: Alarm,
    slow: Slow,
    stuck: Stuck,
}

impl Series {
    /// Judges a value and learns from it. `None` where there is nothing to judge: it is no finite number, not
    /// later than the last one, or a register's first value or one below its last.
    pub fn judge(&mut self, at: Moment, value: f64, settings: &Settings) -> Option<Judged> {
        if value.is_nan() || value.abs() > VALUE_MAX {
            return None;
        }
        if self.begun && at.unix_ms <= self.last_ms {
            self.late = self.late.saturating_add(1);
            // A meter whose clock ran ahead once isn't to be deaf until then.
            self.begun = self.late < LATE_MAX;
            return None;
        }
        let (before, stood) = (self.last_ms, self.stood);
        let first = !self.begun;
        if first {
            (self.begun, self.since_ms) = (true, at.unix_ms);
        }
        self.late = 0;
        (self.last_ms, self.stood) = (at.unix_ms, value);
        let value = if settings.register {
            if first || value < stood {
                return None;
            }
            (value - stood) * HOUR_MS / (at.unix_ms - before) as f64
        } else {
            value
        };
        #[expect(clippy::cast_possible_truncation, reason = "a register's rate has a bound, too")]
        let seen = value.min(VALUE_MAX) as f32;
        Some(self.judge_seen(at, seen, settings))
    }

    fn judge_seen(&mut self, at: Moment, seen: f32, settings: &Settings) -> Judged {
        let local_s = at.unix_ms.div_euclid(1000).saturating_add(i64::from(at.ahead_s));
        let second = u32::try_from(local_s.rem_euclid(DAY_S)).unwrap_or(0);
        let mut surprise = self.known.judge(seen, second, &settings.tuning);
        for (bits, on) in surprise.bits.iter_mut().zip(settings.channels) {
            *bits = if on { *bits } else { 0.0 };
        }
        let quiet = i64::from(settings.quiet_days) * DAY_MS;
        let quiet = at.unix_ms - self.since_ms < quiet;
        let alarm = if quiet { None } else { self.alarm.fires(surprise.total(), &settings.alarms) };
        let day = u32::try_from(local_s.div_euclid(DAY_S).rem_euclid(i64::from(u32::MAX)));
        let lasting = settings.lasting_days;
        let day = day.unwrap_or(0);
        let change = if lasting > 0 { self.slow.judge(seen, day, lasting) } else { None };
        let stuck = if settings.stuck > 0 { self.stuck.judge(seen, settings.stuck) } else { None };
        let stuck = stuck.filter(|_| !quiet);
        Judged { seen, surprise, alarm, change, stuck }
    }

    /// Appends it to what is kept of several.
    pub fn write(&self, to: &mut Writer) {
        to.bytes(&[u8::from(self.begun)]);
        // What changes each time comes first, so that whoever compares with what was is done at once.
        to.bytes(&self.last_ms.to_le_bytes());
        to.bytes(&self.since_ms.to_le_bytes());
        to.bytes(&self.stood.to_le_bytes());
        to.count(self.late);
        self.alarm.write(to);
        self.slow.write(to);
        self.stuck.write(to);
        self.known.write(to);
    }

    /// Reads the next one; `None` where the bytes are none.
    pub fn read(from: &mut Reader<'_>) -> Option<Self> {
        let begun = from.bytes(1)? != [0];
        let [last_ms, since_ms] = [from.eight()?, from.eight()?].map(i64::from_le_bytes);
        let stood = f64::from_le_bytes(from.eight()?);
        if !stood.is_finite() {
            return None;
        }
        let late = from.count()?;
        let alarm = Alarm::read(from)?;
        let slow = Slow::read(from)?;
        let stuck = Stuck::read(from)?;
        let known = Known::read(from)?;
        Some(Self { since_ms, last_ms, late, stood, begun, known, alarm, slow, stuck })
    }
}

#[cfg(test)]
mod tests;
