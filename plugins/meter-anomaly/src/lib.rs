//! Finds readings that are unlike the meter's own past at that time of day.
//!
//! Per meter it remembers what is usual in each part of the day, and how far readings usually lie
//! from that. A reading's score is its distance from the usual in units of the usual distance; past
//! the threshold it is an anomaly: an alert is emitted that explains itself, and the reading goes on
//! with the headers `anomaly-score` and `severity`. State has a fixed size however long it runs.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sluicegate_sdk::{Change, ConfigError, Context, Decision, Failure, Message, Plugin, Verdict};

const DAY_S: f64 = 86_400.0;
/// Share of a new reading in the usual value of its part of the day, at the least.
const LEARN_BIN: f64 = 0.05;
/// The same in the values of the whole meter.
const LEARN_METER: f64 = 0.02;
/// Nothing is closer to the usual than this, in kWh: what a register can't resolve is no anomaly.
const RESOLUTION: f64 = 0.01;
/// Beyond this, and NaN, isn't learnt from: it would stay in the usual values for good.
const KWH_MAX: f64 = 1e9;

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Detector {
    /// Usual distances from the usual from which a reading is an anomaly.
    threshold: f64,
    /// Readings of a meter before the first one can be.
    warm_up: u32,
    /// Parts of the day, each with a usual value of its own.
    bins: usize,
}

impl Default for Detector {
    fn default() -> Self {
        Self { threshold: 8.0, warm_up: 20, bins: 24 }
    }
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Usual {
    readings: u32,
    mean: f64,
    distance: f64,
    bins: Vec<Bin>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Bin {
    readings: u32,
    mean: f64,
}

#[derive(Deserialize)]
struct Reading {
    meter: String,
    ts: Time,
    kwh: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Time {
    Text(String),
    Unix(f64),
}

#[derive(Serialize)]
struct Alert<'a> {
    meter: &'a str,
    ts: &'a Time,
    class: &'static str,
    severity: &'static str,
    expected_kwh: f64,
    seen_kwh: f64,
    score: f64,
    threshold: f64,
}

impl Plugin for Detector {
    type State = Usual;

    fn prepare(&mut self) -> Result<(), ConfigError> {
        if self.threshold <= 0.0 {
            return Err(ConfigError::new("threshold", "must be above 0"));
        }
        if !(1..=96).contains(&self.bins) {
            return Err(ConfigError::new("bins", "must be 1 to 96"));
        }
        Ok(())
    }

    fn process(&self, message: &Message<'_>, usual: &mut Usual, ctx: &mut Context<'_>) -> Decision {
        if message.kind().is_some_and(|kind| kind != "reading") {
            return Ok(Verdict::next());
        }
        let reading: Reading = message.decode()?;
        if !(-KWH_MAX..=KWH_MAX).contains(&reading.kwh) {
            return Err(Failure::reject("energy_range", format!("{} kWh", reading.kwh)));
        }
        let part = self.part_of_day(reading.ts.seconds()?);
        let (expected, score) = usual.judge(part, self.bins, reading.kwh, self.threshold);
        if usual.readings <= self.warm_up || score < self.threshold {
            return Ok(Verdict::next());
        }
        let severity = if score < 2.0 * self.threshold { "minor" } else { "major" };
        let alert = Alert {
            meter: &reading.meter,
            ts: &reading.ts,
            class: "consumption",
            severity,
            expected_kwh: expected,
            seen_kwh: reading.kwh,
            score,
            threshold: self.threshold,
        };
        ctx.emit("alerts")
            .routing_key("alert.consumption")
            .kind("alert")
            .header("severity", severity)
            .json(&alert)?;
        let change = Change::new().header("anomaly-score", score).header("severity", severity);
        Ok(Verdict::next_with(change))
    }
}

impl Detector {
    #[expect(clippy::cast_possible_truncation, reason = "a share of a day is less than 1")]
    fn part_of_day(&self, seconds: f64) -> usize {
        let share = seconds.rem_euclid(DAY_S) / DAY_S;
        (share * self.bins as f64) as usize
    }
}

impl Usual {
    /// What was expected and how far off the reading is; then learns from it.
    fn judge(&mut self, part: usize, bins: usize, kwh: f64, threshold: f64) -> (f64, f64) {
        // An operator who changes the number of parts starts their usual values anew.
        if self.bins.len() != bins {
            self.bins = vec![Bin::default(); bins];
        }
        let bin = &mut self.bins[part.min(bins - 1)];
        let expected = if bin.readings > 0 { bin.mean } else { self.mean };
        let off = kwh - expected;
        let score = off.abs() / (self.distance + RESOLUTION);
        // What is far off teaches no more than what is just off, lest a spike hide the next one.
        let far = 2.0 * threshold * (self.distance + RESOLUTION);
        let off = if self.readings == 0 { off } else { off.clamp(-far, far) };
        let share = |least: f64, readings: u32| least.max(1.0 / f64::from(readings));
        bin.readings = bin.readings.saturating_add(1);
        bin.mean = expected + share(LEARN_BIN, bin.readings) * off;
        self.readings = self.readings.saturating_add(1);
        let learn = share(LEARN_METER, self.readings);
        self.distance += learn * ((kwh - self.mean).abs().min(off.abs()) - self.distance);
        self.mean += learn * (expected + off - self.mean);
        (expected, score)
    }
}

impl Time {
    fn seconds(&self) -> Result<f64, Failure> {
        match self {
            Self::Unix(seconds) => Ok(*seconds),
            Self::Text(text) => match text.parse::<Timestamp>() {
                Ok(time) => Ok(time.as_duration().as_secs_f64()),
                Err(error) => Err(Failure::reject("bad_ts", format!("`ts`: {error}"))),
            },
        }
    }
}

sluicegate_sdk::export!(Detector);

#[cfg(test)]
mod tests;
