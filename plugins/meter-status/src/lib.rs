//! Watches how a meter is. Everything that comes from it is a sign of life; what it says of itself is compared
//! with what it said before. Each aspect has a level, and each change of one is published, once.
//!
//! | aspect | level |
//! |---|---|
//! | `connection` | `minor` after three intervals without a message, `major` after a day |
//! | `battery` | by voltage, and by when a line through its last weeks reaches `battery_empty_v` |
//! | `delivery` | by the share of readings that came on a day, and by how often the meter started anew |
//! | `signal` | by the mean of its strength |
//! | `firmware` | none: a change is told |
//!
//! A message of the type `status.request` is answered with the current status, to its `reply_to`. Where the
//! connection is lost the meter is to be read again, where the battery or the connection is `major` somebody is to
//! go there: that is emitted to the output `actions`, once per change.

mod aspects;
mod publish;

use std::borrow::Cow;
use std::time::Duration;

use aspects::{Aspect, Battery, Level, Meter, Signal};
use jiff::Timestamp;
use serde::Deserialize;
use sluicegate_sdk::{
    Absence, ConfigError, Context, Decision, Failure, Message, Plugin, Timer, Verdict,
};

/// The operator's `config`.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Status {
    /// Seconds from one reading of a meter to the next.
    interval_s: u64,
    /// Intervals without a message after which the connection is `minor`.
    silent_intervals: u64,
    /// Seconds without a message after which it is `major`.
    silent_s: u64,
    /// Voltage below which a battery is `minor`, and at which it is empty.
    battery_low_v: f64,
    battery_empty_v: f64,
    /// Days before its predicted end at which it is `minor`, and `major`.
    battery_minor_days: f64,
    battery_major_days: f64,
    /// Readings of a day, in hundredths of those expected, below which delivery is `minor`, and `major`.
    delivery_minor_percent: u32,
    delivery_major_percent: u32,
    /// Starts of a day from which delivery is `minor`.
    resets_minor: u32,
    /// Strength in dBm below which the signal is `minor`, and `major`.
    signal_minor_dbm: f64,
    signal_major_dbm: f64,
}

/// A message, as far as it says how the meter is.
#[derive(Default, Deserialize)]
struct Report<'a> {
    #[serde(borrow)]
    ts: Option<Time<'a>>,
    #[serde(alias = "battery_v")]
    batt_v: Option<f64>,
    rssi: Option<f64>,
    #[serde(borrow, alias = "firmware")]
    fw: Option<Cow<'a, str>>,
    seq: Option<u64>,
    #[serde(borrow)]
    event: Option<Cow<'a, str>>,
    #[serde(borrow)]
    log: Option<Cow<'a, str>>,
    id: Option<u32>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Time<'a> {
    #[serde(borrow)]
    Text(Cow<'a, str>),
    Unix(f64),
}

/// A meter's row in the table `meters`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Row<'a> {
    #[serde(borrow)]
    region: Option<Cow<'a, str>>,
    #[serde(borrow)]
    transformer: Option<Cow<'a, str>>,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            interval_s: 900,
            silent_intervals: 3,
            silent_s: 86_400,
            battery_low_v: 2.75,
            battery_empty_v: 2.54,
            battery_minor_days: 180.0,
            battery_major_days: 30.0,
            delivery_minor_percent: 95,
            delivery_major_percent: 80,
            resets_minor: 3,
            signal_minor_dbm: -105.0,
            signal_major_dbm: -115.0,
        }
    }
}

impl Plugin for Status {
    type State = Meter;

    fn prepare(&mut self) -> Result<(), ConfigError> {
        if !(60..=86_400).contains(&self.interval_s) {
            return Err(ConfigError::new("interval_s", "must be 60 to 86400"));
        }
        if self.silent_intervals == 0 || self.silent_s <= self.interval_s * self.silent_intervals {
            let text = "must be above `silent_intervals`, 1 at least, times `interval_s`";
            return Err(ConfigError::new("silent_s", text));
        }
        if self.battery_empty_v >= self.battery_low_v {
            return Err(ConfigError::new("battery_empty_v", "must be below `battery_low_v`"));
        }
        if self.battery_major_days >= self.battery_minor_days {
            return Err(ConfigError::new(
                "battery_major_days",
                "must be below `battery_minor_days`",
            ));
        }
        if self.delivery_major_percent > self.delivery_minor_percent {
            let text = "must not be above `delivery_minor_percent`";
            return Err(ConfigError::new("delivery_major_percent", text));
        }
        if self.signal_major_dbm > self.signal_minor_dbm {
            let text = "must not be above `signal_minor_dbm`";
            return Err(ConfigError::new("signal_major_dbm", text));
        }
        Ok(())
    }

    fn process(&self, message: &Message<'_>, meter: &mut Meter, ctx: &mut Context<'_>) -> Decision {
        let key = message.key().unwrap_or_default();
        let now_s = message.now().as_secs();
        if message.kind() == Some("status.request") {
            self.answer(message, key, meter, ctx)?;
            return Ok(Verdict::done());
        }
        // What can't be read is a sign of life all the same; that it can't is said by who reads it.
        let report: Report<'_> = message.decode().unwrap_or_default();
        self.placed(message, key, meter, now_s, ctx)?;
        self.heard(key, meter, message.now(), ctx)?;
        let ts_s = report.ts.as_ref().and_then(Time::seconds).unwrap_or(now_s as f64);
        if message.kind().is_none_or(|kind| kind == "reading")
            && let Some(day) = meter.delivery.count(now_s, now_s as f64 - ts_s)
        {
            let level = self.delivery_level(day);
            self.level(key, meter, (Aspect::Delivery, level), now_s, ctx)?;
        }
        meter.delivery.number(report.seq);
        let volts = report.batt_v.filter(|volts| volts.is_finite());
        if let Some(volts) = volts {
            meter.battery.learn(now_s, volts);
        }
        let says_low = report.says_battery_low();
        meter.battery.said_low |= says_low;
        if says_low || volts.is_some() {
            let level = self.battery_level(&meter.battery);
            self.level(key, meter, (Aspect::Battery, level), now_s, ctx)?;
        }
        if let Some(dbm) = report.rssi.filter(|dbm| dbm.is_finite()) {
            meter.signal.learn(dbm);
            let level = self.signal_level(&meter.signal);
            self.level(key, meter, (Aspect::Signal, level), now_s, ctx)?;
        }
        if let Some(firmware) = report.fw.filter(|firmware| *firmware != meter.firmware) {
            let before = std::mem::replace(&mut meter.firmware, firmware.into_owned());
            if !before.is_empty() {
                self.tell_firmware(key, meter, &before, now_s, ctx)?;
            }
        }
        Ok(Verdict::done())
    }

    fn on_timer(&self, timer: &Timer<'_>, meter: &mut Meter, ctx: &mut Context<'_>) -> Decision {
        let now_s = timer.now().as_secs();
        for (absence, level) in [(self.minor(), Level::Minor), (self.major(), Level::Major)] {
            let presence = match level {
                Level::Minor => &mut meter.soon,
                _ => &mut meter.long,
            };
            if absence.silent(presence, timer, ctx).is_some() && meter.connection < level {
                self.level(timer.key(), meter, (Aspect::Connection, level), now_s, ctx)?;
            }
        }
        Ok(Verdict::done())
    }
}

impl Status {
    fn minor(&self) -> Absence {
        let time = Duration::from_secs(self.interval_s * self.silent_intervals);
        Absence::after(time).timer("silent")
    }

    fn major(&self) -> Absence {
        Absence::after(Duration::from_secs(self.silent_s)).timer("lost")
    }

    /// Where the meter is. One that moves is one less there and one more here.
    fn placed(
        &self,
        message: &Message<'_>,
        key: &str,
        meter: &mut Meter,
        now_s: u64,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let row: Row<'_> = message.row("meters")?.unwrap_or_default();
        let mut words = message.routing_key().split('.');
        let word = if words.next() == Some("meter") { words.next() } else { None };
        let region = row.region.as_deref().or_else(|| message.text_header("region")).or(word);
        let region = region.unwrap_or("unknown");
        let area = row.transformer.as_deref().or_else(|| message.text_header("transformer"));
        let area = area.unwrap_or_default();
        if meter.region == region && (area.is_empty() || meter.area == area) {
            return Ok(());
        }
        if meter.connection != Level::Unknown {
            self.level(key, meter, (Aspect::Connection, Level::Unknown), now_s, ctx)?;
        }
        (meter.region, meter.area) = (region.to_owned(), area.to_owned());
        Ok(())
    }

    /// A sign of life.
    fn heard(
        &self,
        key: &str,
        meter: &mut Meter,
        now: Duration,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        self.minor().heard(&mut meter.soon, now, ctx);
        self.major().heard(&mut meter.long, now, ctx);
        self.level(key, meter, (Aspect::Connection, Level::Ok), now.as_secs(), ctx)?;
        meter.heard_s = now.as_secs();
        Ok(())
    }

    fn delivery_level(&self, (readings, resets): (u32, u32)) -> Level {
        let expected = u32::try_from(86_400 / self.interval_s).unwrap_or(1).max(1);
        let percent = readings.saturating_mul(100) / expected;
        if percent < self.delivery_major_percent {
            Level::Major
        } else if percent < self.delivery_minor_percent || resets >= self.resets_minor {
            Level::Minor
        } else {
            Level::Ok
        }
    }

    fn battery_level(&self, battery: &Battery) -> Level {
        let days = battery.days_left(self.battery_empty_v);
        let within = |limit: f64| days.is_some_and(|days| days < limit);
        // Only what said its voltage has one.
        let below = |volts: f64| battery.volts > 0.0 && battery.volts < volts;
        if below(self.battery_empty_v) || within(self.battery_major_days) {
            Level::Major
        } else if below(self.battery_low_v) || battery.said_low || within(self.battery_minor_days) {
            Level::Minor
        } else {
            Level::Ok
        }
    }

    /// Weaker at once, better only by 3 dB: a signal at the limit isn't told of all day.
    fn signal_level(&self, signal: &Signal) -> Level {
        let of = |dbm: f64| {
            if dbm < self.signal_major_dbm {
                Level::Major
            } else if dbm < self.signal_minor_dbm {
                Level::Minor
            } else {
                Level::Ok
            }
        };
        let (now, with_margin) = (of(signal.dbm), of(signal.dbm - 3.0));
        if now > signal.level || signal.level == Level::Unknown {
            now
        } else {
            with_margin.min(signal.level)
        }
    }
}

impl Report<'_> {
    fn says_battery_low(&self) -> bool {
        let event = self.event.as_deref();
        let entry = (self.log.as_deref(), self.id);
        matches!(event, Some("battery_low" | "battery_critical"))
            || entry == (Some("99.98.0"), Some(7))
    }
}

impl Time<'_> {
    fn seconds(&self) -> Option<f64> {
        match self {
            Self::Unix(seconds) => seconds.is_finite().then_some(*seconds),
            Self::Text(text) => {
                text.parse::<Timestamp>().ok().map(|time| time.as_duration().as_secs_f64())
            }
        }
    }
}

sluicegate_sdk::export!(Status);

#[cfg(test)]
mod tests;
