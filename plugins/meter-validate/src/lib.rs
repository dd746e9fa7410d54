//! The first stage of a meter pipeline: what can't be true is rejected here, so that the stages behind it
//! needn't ask again; with `rules` what may not be true is flagged, and what is missing estimated.
//!
//! A body is JSON or MessagePack, in one of the forms of `report`. Every rejection has a code of a small set,
//! so that dead letters can be grouped by it. A row of the table `meters`, where the stage has it, adds the
//! headers `region`, `tariff` and `transformer`.
//!
//! With `rules` a reading goes on with `energy-wh`, `interval-start` and `interval-s` (whole numbers), `quality`
//! (`V` valid, `S` suspect, `E` estimated), and `vee`: the rules that found something, with commas between.

mod estimate;
mod report;
mod row;
mod rules;
mod seen;

use std::borrow::Cow;
use std::time::Duration;

use report::{Report, Status, Time};
use row::Row;
use rules::{Examined, Facts, Finding, Rules};
use seen::Seen;
use serde::{Deserialize, Serialize};
use sluicegate_sdk::{
    Change, ConfigError, Context, Decision, EncodeError, Failure, Map, Message, Plugin, Timer,
    Verdict,
};

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
    /// Whether a meter that the table doesn't know is rejected.
    known_meters: bool,
    /// Thresholds of the rules; without them readings are only looked at one by one.
    rules: Option<Rules>,
    /// Whether what the rules find is emitted to the output `exceptions`.
    exceptions: bool,
    /// Whether what is missing is emitted, estimated, to the output `estimates`.
    estimates: bool,
    /// Whether the status and the events that a reading brings are emitted to `status` and `events`.
    split: bool,
}

/// What the rules found in a reading.
#[derive(Serialize)]
struct Exception<'a> {
    meter: &'a str,
    ts: &'a Time<'a>,
    quality: &'a str,
    findings: &'a [Finding],
}

/// A reading in the short form.
#[derive(Serialize)]
struct Short<'a> {
    meter: &'a str,
    ts: &'a Time<'a>,
    kwh: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    voltage: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    int_s: i64,
    q: &'a str,
    obis: &'a Map<Cow<'a, str>, f64>,
}

/// A part of a reading, as a message of its own.
#[derive(Serialize)]
struct Part<'a> {
    meter: &'a str,
    ts: &'a Time<'a>,
    #[serde(flatten)]
    status: Option<&'a Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u32>,
}

impl Default for Validate {
    fn default() -> Self {
        Self {
            max_kwh: 100.0,
            min_volts: 50.0,
            max_volts: 500.0,
            max_future_s: 180,
            max_age_s: None,
            known_meters: false,
            rules: None,
            exceptions: false,
            estimates: false,
            split: false,
        }
    }
}

impl Plugin for Validate {
    type State = Seen;

    fn prepare(&mut self) -> Result<(), ConfigError> {
        if self.max_kwh <= 0.0 {
            return Err(ConfigError::new("max_kwh", "must be above 0"));
        }
        if self.min_volts >= self.max_volts {
            return Err(ConfigError::new("min_volts", "must be below `max_volts`"));
        }
        match self.rules.as_ref().and_then(Rules::problem) {
            Some((field, text)) => Err(ConfigError::new(field, text)),
            None => Ok(()),
        }
    }

    fn process(&self, message: &Message<'_>, seen: &mut Seen, ctx: &mut Context<'_>) -> Decision {
        let report: Report<'_> = message.decode()?;
        let row = self.row(message)?;
        let ts_s = self.check(message, &report)?;
        let mut change = row.as_ref().and_then(Row::tags);
        // Who sends no type sends readings.
        let is_reading = message.kind().is_none_or(|kind| kind == "reading");
        if let (Some(rules), true) = (&self.rules, is_reading) {
            let region = row.as_ref().and_then(|row| row.region.as_deref());
            let region = region.or_else(|| region_of(message)).unwrap_or("unknown");
            if seen.region != region {
                seen.region = region.to_owned();
            }
            let mut examined = self.examine(rules, message, seen, (&report, &row, ts_s))?;
            self.estimate(rules, message, seen, &mut examined, ctx)?;
            if self.exceptions && !examined.findings.is_empty() {
                except(message, &report, seen, &examined, ctx)?;
            }
            change = Some(found(change.unwrap_or_default(), &report, &examined, ts_s)?);
        }
        if self.split && is_reading {
            self.split(message, &report, ctx)?;
        }
        Ok(change.map_or_else(Verdict::next, Verdict::next_with))
    }

    fn process_keyless(&self, message: &Message<'_>, _: &mut Context<'_>) -> Decision {
        if self.rules.is_some() {
            let text = "the rules need to know whose message it is, and it has no key";
            return Err(Failure::reject("no_key", text));
        }
        self.check(message, &message.decode()?)?;
        Ok(Verdict::next())
    }

    fn on_timer(&self, timer: &Timer<'_>, seen: &mut Seen, ctx: &mut Context<'_>) -> Decision {
        if let Some(rules) = &self.rules {
            let now_s = timer.now().as_secs();
            estimate::due(rules, (timer.key(), seen), now_s, ctx)?;
        }
        Ok(Verdict::done())
    }
}

impl Validate {
    fn row<'a>(&self, message: &Message<'a>) -> Result<Option<Row<'a>>, Failure> {
        let row = message.row("meters")?;
        if self.known_meters && row.is_none() {
            let text = "no row of the table `meters` has this meter";
            return Err(Failure::reject("unknown_meter", text));
        }
        Ok(row)
    }

    /// Refuses what can't be true; when it was measured.
    fn check(&self, message: &Message<'_>, report: &Report<'_>) -> Result<f64, Failure> {
        if report.meter.as_ref().is_none_or(|meter| meter.trim().is_empty()) {
            return Err(Failure::reject("missing_meter", "no `meter` says whose message it is"));
        }
        let Some(ts) = &report.ts else {
            return Err(Failure::reject("missing_ts", "no `ts` says when it was measured"));
        };
        let measured = ts.seconds()?;
        self.check_clock(measured, message.now())?;
        if message.kind().is_none_or(|kind| kind == "reading") {
            if !report.has_energy() {
                return Err(Failure::reject("missing_kwh", "a reading without `kwh`"));
            }
            report.interval_kwh().map_or(Ok(()), |kwh| self.check_energy(kwh))?;
        }
        report.volts().try_for_each(|volts| self.check_voltage(volts))?;
        Ok(measured)
    }

    fn check_clock(&self, measured: f64, now: Duration) -> Result<(), Failure> {
        let ahead = measured - now.as_secs_f64();
        if ahead.is_nan() || ahead > self.max_future_s as f64 {
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

    fn examine(
        &self,
        rules: &Rules,
        message: &Message<'_>,
        seen: &mut Seen,
        (report, row, ts_s): (&Report<'_>, &Option<Row<'_>>, f64),
    ) -> Result<Examined, Failure> {
        // Before this no interval of a meter that is read over a network ends, and numbers stay small.
        if ts_s < 0.0 {
            return Err(Failure::reject("bad_ts", "`ts` lies before 1970"));
        }
        let facts = Facts {
            ts_s,
            now_s: message.now().as_secs_f64(),
            sent_s: message.timestamp().map(|sent| sent as f64),
            rated_kva: row.as_ref().and_then(|row| row.rated_kva),
            export: row.as_ref().and_then(|row| row.export),
        };
        Ok(rules.examine(seen, report, &facts))
    }

    /// Sees to what is missing before it.
    fn estimate(
        &self,
        rules: &Rules,
        message: &Message<'_>,
        seen: &mut Seen,
        examined: &mut Examined,
        ctx: &mut Context<'_>,
    ) -> Result<(), EncodeError> {
        if !self.estimates {
            return Ok(());
        }
        let meter = message.key().unwrap_or_default();
        if let Some(spread) = examined.spread {
            examined.wh = estimate::spread(rules, (meter, seen), examined, spread, ctx)?;
        } else if examined.fills {
            estimate::came(rules, (meter, seen), (examined.interval, examined.wh), ctx)?;
        } else if let Some(mut gap) = examined.gap.take() {
            // A register that rose by more than can be says nothing.
            let most_wh = self.max_kwh * 1000.0 * gap.count as f64;
            gap.missing_wh = gap.missing_wh.filter(|missing| *missing as f64 <= most_wh);
            estimate::wait(rules, (meter, seen), gap, message.now().as_secs(), ctx)?;
        }
        Ok(())
    }

    /// Emits what a reading brings along.
    fn split(
        &self,
        message: &Message<'_>,
        report: &Report<'_>,
        ctx: &mut Context<'_>,
    ) -> Result<(), EncodeError> {
        let (Some(meter), Some(ts)) = (report.meter.as_deref(), &report.ts) else { return Ok(()) };
        let region = region_of(message).unwrap_or("unknown");
        if let Some(status) = &report.status {
            let part = Part { meter, ts, status: Some(status), log: None, id: None };
            ctx.emit("status")
                .routing_key(&format!("meter.{region}.{meter}.status"))
                .kind("status")
                .message_id(&message.derived_id(0))
                .json(&part)?;
        }
        for (entry, n) in report.events.iter().zip(1..) {
            let ts = entry.ts.as_ref().unwrap_or(ts);
            let (log, id) = (Some(entry.log.as_ref()), Some(entry.id));
            let part = Part { meter, ts, status: None, log, id };
            ctx.emit("events")
                .routing_key(&format!("meter.{region}.{meter}.event"))
                .kind("event")
                .message_id(&message.derived_id(n))
                .json(&part)?;
        }
        Ok(())
    }
}

/// What the rules found, for the stages behind.
fn found(
    mut change: Change,
    report: &Report<'_>,
    examined: &Examined,
    ts_s: f64,
) -> Result<Change, EncodeError> {
    let quality = quality(report, examined);
    change = change.header("quality", quality).header("interval-s", examined.interval_s);
    #[expect(clippy::cast_possible_truncation, reason = "seconds since 1970, checked before")]
    let start_s = ts_s.round() as i64 - examined.interval_s;
    change = change.header("interval-start", start_s);
    if !examined.findings.is_empty() {
        let mut rules: Vec<&str> = examined.findings.iter().map(|found| found.rule).collect();
        rules.dedup();
        change = change.header("vee", rules.join(",").as_str());
    }
    let Some(wh) = examined.wh else { return Ok(change) };
    change = change.header("energy-wh", wh);
    let (Some(meter), Some(ts), None) = (report.meter.as_deref(), &report.ts, report.kwh) else {
        return Ok(change);
    };
    let (kwh, voltage) = (wh as f64 / 1000.0, report.volts().next());
    let (seq, obis, int_s) = (report.seq, &report.obis, examined.interval_s);
    change.json(&Short { meter, ts, kwh, voltage, seq, int_s, q: quality, obis })
}

fn quality(report: &Report<'_>, examined: &Examined) -> &'static str {
    if report.is_estimated() || examined.spread.is_some() {
        "E"
    } else if examined.is_suspect() {
        "S"
    } else {
        "V"
    }
}

/// Tells what the rules found.
fn except(
    message: &Message<'_>,
    report: &Report<'_>,
    seen: &Seen,
    examined: &Examined,
    ctx: &mut Context<'_>,
) -> Result<(), EncodeError> {
    let (Some(meter), Some(ts)) = (report.meter.as_deref(), &report.ts) else { return Ok(()) };
    let quality = quality(report, examined);
    let first = examined.findings.first().map_or("none", |finding| finding.rule);
    let exception = Exception { meter, ts, quality, findings: &examined.findings };
    let reversed = examined.findings.iter().any(|finding| finding.rule == "reverse");
    let told = ctx
        .emit("exceptions")
        .routing_key(&format!("vee.{first}.{}", seen.region))
        .kind("vee")
        .message_id(&message.derived_id(u64::MAX))
        .header("region", seen.region.as_str());
    let told = if reversed {
        // Energy that isn't billed is of interest to somebody else too.
        told.header("fault-class", "revenue").header("severity", "major")
    } else {
        told.header("severity", "info")
    };
    told.json(&exception)?;
    Ok(())
}

/// `meter.REGION.…` names the region, and a header may.
fn region_of<'a>(message: &Message<'a>) -> Option<&'a str> {
    let mut words = message.routing_key().split('.');
    let word = if words.next() == Some("meter") { words.next() } else { None };
    message.text_header("region").or(word)
}

sluicegate_sdk::export!(Validate);

#[cfg(test)]
mod tests;
