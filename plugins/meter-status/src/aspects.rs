//! What is remembered of a meter, aspect by aspect.

use serde::{Deserialize, Serialize};
use sluicegate_sdk::Presence;

const DAY_S: u64 = 86_400;
/// Days after which a voltage has lost two thirds of its weight in a battery's line.
const BATTERY_DAYS: f64 = 30.0;
/// Days that a battery's line is drawn from at least.
const LINE_DAYS: f64 = 7.0;
/// A voltage that is so much higher is another battery's.
const REPLACED_V: f64 = 0.3;
/// The share of a new value in a mean.
const LEARN: f64 = 0.2;

/// How bad it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    #[default]
    Unknown,
    Ok,
    Minor,
    Major,
}

/// What has a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aspect {
    Connection,
    Battery,
    Delivery,
    Signal,
}

/// The state of a meter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Meter {
    pub(crate) region: String,
    /// Its transformer, where that is known.
    pub(crate) area: String,
    /// Seconds since 1970, as all times here.
    pub(crate) heard_s: u64,
    pub(crate) connection: Level,
    pub(crate) soon: Presence,
    pub(crate) long: Presence,
    pub(crate) battery: Battery,
    pub(crate) delivery: Delivery,
    pub(crate) signal: Signal,
    pub(crate) firmware: String,
}

/// A battery, and the line through its voltages: sums whose older parts fade.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Battery {
    pub(crate) level: Level,
    pub(crate) volts: f64,
    /// Whether the meter itself says that it is low.
    pub(crate) said_low: bool,
    first_s: u64,
    last_s: u64,
    /// Weight, and with time in days before the last voltage: time, voltage, time squared, their product.
    sums: [f64; 5],
}

/// How well readings come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Delivery {
    pub(crate) level: Level,
    day: u64,
    /// Whether that day was seen from its beginning.
    whole: bool,
    readings: u32,
    resets: u32,
    seq: u64,
    /// Readings of the last whole day.
    pub(crate) last_day: Option<u32>,
    /// Mean seconds from a reading's time to its arrival.
    pub(crate) delay_s: f64,
    /// All starts since the meter is known.
    pub(crate) all_resets: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Signal {
    pub(crate) level: Level,
    pub(crate) dbm: f64,
}

// === impl Level ===

impl Level {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Ok => "ok",
            Self::Minor => "minor",
            Self::Major => "major",
        }
    }
}

// === impl Aspect ===

impl Aspect {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Battery => "battery",
            Self::Delivery => "delivery",
            Self::Signal => "signal",
        }
    }

    pub(crate) fn level(self, meter: &mut Meter) -> &mut Level {
        match self {
            Self::Connection => &mut meter.connection,
            Self::Battery => &mut meter.battery.level,
            Self::Delivery => &mut meter.delivery.level,
            Self::Signal => &mut meter.signal.level,
        }
    }
}

// === impl Battery ===

impl Battery {
    pub(crate) fn learn(&mut self, now_s: u64, volts: f64) {
        if volts > self.volts + REPLACED_V {
            *self = Self { level: self.level, ..Self::default() };
        }
        if self.first_s == 0 {
            (self.first_s, self.last_s, self.volts) = (now_s, now_s, volts);
        }
        let days = now_s.saturating_sub(self.last_s) as f64 / DAY_S as f64;
        let fade = (-days / BATTERY_DAYS).exp();
        let [w, t, v, tt, tv] = self.sums;
        // What is past lies further back from now on.
        let (tt, tv, t) = (tt - 2.0 * days * t + days * days * w, tv - days * v, t - days * w);
        self.sums = [w * fade + 1.0, t * fade, v * fade + volts, tt * fade, tv * fade];
        self.last_s = now_s;
        self.volts += LEARN * (volts - self.volts);
    }

    /// Volts per day, once there are days enough to tell.
    pub(crate) fn slope(&self) -> Option<f64> {
        let [w, t, v, tt, tv] = self.sums;
        let spread = w * tt - t * t;
        let days = self.last_s.saturating_sub(self.first_s) as f64 / DAY_S as f64;
        (days >= LINE_DAYS && spread > 1e-9).then(|| (w * tv - t * v) / spread)
    }

    /// Days until the line reaches a voltage; `None` where it doesn't fall.
    pub(crate) fn days_left(&self, empty_v: f64) -> Option<f64> {
        let slope = self.slope().filter(|slope| *slope < 0.0)?;
        let [w, t, v, ..] = self.sums;
        // The line's height now: at the means of time and voltage it is exact.
        let now_v = v / w - slope * (t / w);
        Some(((empty_v - now_v) / slope).max(0.0))
    }
}

// === impl Delivery ===

impl Delivery {
    /// Counts a reading; where a whole day is over, its readings and starts.
    pub(crate) fn count(&mut self, now_s: u64, delay_s: f64) -> Option<(u32, u32)> {
        self.delay_s += LEARN * (delay_s.max(0.0) - self.delay_s);
        let day = now_s / DAY_S;
        let over = (day != self.day && self.whole).then_some((self.readings, self.resets));
        if day != self.day {
            if let Some((readings, _)) = over {
                self.last_day = Some(readings);
            }
            let known = self.day != 0;
            (self.day, self.whole, self.readings, self.resets) = (day, known, 0, 0);
        }
        self.readings = self.readings.saturating_add(1);
        over
    }

    /// A meter whose numbers begin again has started anew.
    pub(crate) fn number(&mut self, seq: Option<u64>) {
        let Some(seq) = seq else { return };
        // Messages that overtake each other are a few apart.
        if seq + 100 < self.seq || (seq <= 1 && self.seq > 1) {
            self.resets = self.resets.saturating_add(1);
            self.all_resets = self.all_resets.saturating_add(1);
            self.seq = seq;
        }
        self.seq = self.seq.max(seq);
    }
}

// === impl Signal ===

impl Signal {
    pub(crate) fn learn(&mut self, dbm: f64) {
        self.dbm =
            if self.level == Level::Unknown { dbm } else { self.dbm + LEARN * (dbm - self.dbm) };
    }
}
