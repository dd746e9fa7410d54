//! The first stage of a meter pipeline: what can't be true is rejected here, so that the stages
//! behind it needn't ask again.
//!
//! A body is JSON or MessagePack with a `meter`, a `ts` (RFC 3339 or seconds since 1970) and, for a
//! reading, `kwh` and perhaps `voltage`. Fields that it doesn't know are none of its business. Every
//! rejection has a code of a small set, so that dead letters can be grouped by it.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use sluicegate_sdk::{ConfigError, Context, Decision, Failure, Message, Plugin, Verdict};

/// What an operator may set; the defaults suit a household.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Validate {
    /// More energy than this in one reading is a broken register.
    max_kwh: f64,
    /// A voltage outside these is a broken sensor. What lies inside may still be a fault.
    min_volts: f64,
    max_volts: f64,
    /// How far a meter's clock may be ahead of the host's.
    max_future_s: u64,
    /// How old a message may be; any age if unset, as replays need it.
    max_age_s: Option<u64>,
}

impl Default for Validate {
    fn default() -> Self {
        Self {
            max_kwh: 100.0,
            min_volts: 50.0,
            max_volts: 500.0,
            max_future_s: 180,
            max_age_s: None,
        }
    }
}

#[derive(Deserialize)]
struct Report {
    meter: Option<String>,
    ts: Option<Time>,
    kwh: Option<f64>,
    voltage: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Time {
    Text(String),
    Unix(f64),
}

impl Plugin for Validate {
    type State = ();

    fn prepare(&mut self) -> Result<(), ConfigError> {
        if self.max_kwh <= 0.0 {
            return Err(ConfigError::new("max_kwh", "must be above 0"));
        }
        if self.min_volts >= self.max_volts {
            return Err(ConfigError::new("min_volts", "must be below `max_volts`"));
        }
        Ok(())
    }

    fn process(&self, message: &Message<'_>, _: &mut (), _: &mut Context<'_>) -> Decision {
        let report: Report = message.decode()?;
        if report.meter.is_none_or(|meter| meter.trim().is_empty()) {
            return Err(Failure::reject("missing_meter", "no `meter` says whose message it is"));
        }
        let Some(ts) = report.ts else {
            return Err(Failure::reject("missing_ts", "no `ts` says when it was measured"));
        };
        self.check_clock(&ts, message.now())?;
        // Who sends no type sends readings.
        if message.kind().is_none_or(|kind| kind == "reading") {
            let Some(kwh) = report.kwh else {
                return Err(Failure::reject("missing_kwh", "a reading without `kwh`"));
            };
            self.check_energy(kwh)?;
        }
        report.voltage.map_or(Ok(()), |volts| self.check_voltage(volts))?;
        Ok(Verdict::next())
    }
}

impl Validate {
    fn check_clock(&self, ts: &Time, now: Duration) -> Result<(), Failure> {
        let measured = match ts {
            Time::Unix(seconds) => *seconds,
            Time::Text(text) => match text.parse::<Timestamp>() {
                Ok(time) => time.as_duration().as_secs_f64(),
                Err(error) => return Err(Failure::reject("bad_ts", format!("`ts`: {error}"))),
            },
        };
        let ahead = measured - now.as_secs_f64();
        if ahead > self.max_future_s as f64 {
            let text = format!("`ts` is {ahead:.0} s ahead, allowed are {}", self.max_future_s);
            return Err(Failure::reject("clock", text));
        }
        match self.max_age_s {
            Some(max) if -ahead > max as f64 => {
                let text = format!("`ts` is {:.0} s old, allowed are {max}", -ahead);
                Err(Failure::reject("clock", text))
            }
            _ => Ok(()),
        }
    }

    fn check_energy(&self, kwh: f64) -> Result<(), Failure> {
        if kwh < 0.0 {
            return Err(Failure::reject("negative_energy", format!("{kwh} kWh is below 0")));
        }
        if kwh.is_nan() || kwh > self.max_kwh {
            let text = format!("{kwh} kWh in one reading, at most {} can be", self.max_kwh);
            return Err(Failure::reject("energy_range", text));
        }
        Ok(())
    }

    fn check_voltage(&self, volts: f64) -> Result<(), Failure> {
        if (self.min_volts..=self.max_volts).contains(&volts) {
            return Ok(());
        }
        let text = format!("{volts} V isn't within {} to {} V", self.min_volts, self.max_volts);
        Err(Failure::reject("voltage_range", text))
    }
}

sluicegate_sdk::export!(Validate);

#[cfg(test)]
mod tests;
