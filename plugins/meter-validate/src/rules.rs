//! The rules of validation: each has a name, a threshold in the config, and says what it saw.

mod values;

use serde::{Deserialize, Serialize};

use crate::report::Report;
use crate::seen::{Gap, RECENT, Register, Seen};

/// The thresholds. What is 0 is off.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Rules {
    /// Seconds of an interval where the message doesn't say.
    pub(crate) interval_s: i64,
    /// Older than this when it comes is `late`.
    pub(crate) late_s: u64,
    /// A clock that is off by more is `clock_drift`, by more than the second `clock_invalid`.
    pub(crate) clock_warn_s: f64,
    pub(crate) clock_fail_s: f64,
    /// How far the intervals' sum may be from the register's difference: watt hours, and a share.
    pub(crate) sum_wh: i64,
    pub(crate) sum_share: f64,
    /// How far the highest interval of a day may be above the third highest, as a share of that.
    pub(crate) spike: f64,
    /// A day's energy below and above these multiples of the usual one is `low` and `high`.
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// Energy above so many times what the rated power allows is `limit`.
    pub(crate) rated: f64,
    /// Where registers start again at 0, in kWh.
    pub(crate) register_max_kwh: f64,
    /// Readings in a row below the register after which the meter counts as swapped.
    pub(crate) swap_after: u32,
    /// Whether meters export where the table doesn't say.
    pub(crate) export: bool,
    /// Hours without energy, but with voltage, that are `zero`.
    pub(crate) zero_h: u32,
    /// Equal intervals in a row that are `stuck`.
    pub(crate) stuck: u32,
    /// EN 50160: 10 % around it is the band, down to 15 % below it is allowed now and then.
    pub(crate) volts: f64,
    /// Seconds after which intervals that didn't come are estimated; 0 never.
    pub(crate) estimate_after_s: u64,
    /// Gaps up to so long are estimated along a line, longer ones by the profile of the week.
    pub(crate) linear_s: i64,
    /// Intervals of a gap that are estimated at most.
    pub(crate) estimate_max: i64,
}

/// What a rule found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Finding {
    pub(crate) rule: &'static str,
    pub(crate) seen: f64,
    pub(crate) limit: f64,
}

/// What is known of a reading beside its body.
pub(crate) struct Facts {
    /// When its interval ends.
    pub(crate) ts_s: f64,
    pub(crate) now_s: f64,
    /// When it was sent by the meter's clock.
    pub(crate) sent_s: Option<f64>,
    pub(crate) rated_kva: Option<f64>,
    pub(crate) export: Option<bool>,
}

/// What came out of it.
#[derive(Default)]
pub(crate) struct Examined {
    pub(crate) findings: Vec<Finding>,
    /// Energy of its interval, where that is known.
    pub(crate) wh: Option<i64>,
    /// Which interval it is: how many since 1970, by its end.
    pub(crate) interval: i64,
    pub(crate) interval_s: i64,
    /// What is missing before it.
    pub(crate) gap: Option<Gap>,
    /// Whether it is one that was missing.
    pub(crate) fills: bool,
    /// The energy of so many intervals, this one and those missing before it, where a register says it.
    pub(crate) spread: Option<(i64, i64)>,
}

/// Rules by which a value isn't to be trusted.
const SUSPECT: [&str; 8] = [
    "clock_invalid",
    "sum",
    "limit",
    "register_decrease",
    "register_swap",
    "reverse",
    "zero",
    "stuck",
];
impl Default for Rules {
    fn default() -> Self {
        Self {
            interval_s: 900,
            late_s: 86_400,
            clock_warn_s: 60.0,
            clock_fail_s: 180.0,
            sum_wh: 1000,
            sum_share: 0.005,
            spike: 1.8,
            low: 0.2,
            high: 3.0,
            rated: 1.1,
            register_max_kwh: 1_000_000.0,
            swap_after: 3,
            export: true,
            zero_h: 24,
            stuck: 8,
            volts: 230.0,
            estimate_after_s: 3600,
            linear_s: 7200,
            estimate_max: 672,
        }
    }
}

// === impl Rules ===

impl Rules {
    /// What is wrong with the thresholds: the field, and what it must be.
    pub(crate) fn problem(&self) -> Option<(&'static str, &'static str)> {
        let positive = [
            ("rules.clock_warn_s", self.clock_warn_s),
            ("rules.clock_fail_s", self.clock_fail_s),
            ("rules.sum_share", self.sum_share),
            ("rules.spike", self.spike),
            ("rules.low", self.low),
            ("rules.high", self.high),
            ("rules.rated", self.rated),
            ("rules.register_max_kwh", self.register_max_kwh),
            ("rules.volts", self.volts),
        ];
        let negative = positive.iter().find(|(_, value)| *value < 0.0 || !value.is_finite());
        if let Some((field, _)) = negative {
            return Some((field, "must be 0 or more"));
        }
        if !(60..=86_400).contains(&self.interval_s) {
            return Some(("rules.interval_s", "must be 60 to 86400"));
        }
        if !(0..=900).contains(&self.estimate_max) {
            return Some(("rules.estimate_max", "must be 0 to 900"));
        }
        (self.sum_wh < 0).then_some(("rules.sum_wh", "must be 0 or more"))
    }

    /// Looks at a reading, and remembers what later ones are compared with.
    pub(crate) fn examine(&self, seen: &mut Seen, report: &Report<'_>, facts: &Facts) -> Examined {
        let interval_s = report.int_s.unwrap_or(self.interval_s).clamp(60, 86_400);
        if interval_s != seen.interval_s {
            // Intervals of another length are counted anew.
            *seen =
                Seen { interval_s, profile: std::mem::take(&mut seen.profile), ..Seen::default() };
        }
        seen.zone_min = report.tz_min.unwrap_or(seen.zone_min).clamp(-1440, 1440);
        #[expect(clippy::cast_possible_truncation, reason = "seconds since 1970, checked before")]
        let ends_s = facts.ts_s.round() as i64;
        let interval = (ends_s + interval_s / 2).div_euclid(interval_s);
        let mut examined = Examined { interval, interval_s, ..Examined::default() };
        self.clock(facts, &mut examined);
        let next = self.order(seen, &mut examined);
        self.registers(seen, report, next, &mut examined);
        self.energy(seen, report, facts, next, &mut examined);
        self.export(seen, report, facts, next.is_some(), &mut examined);
        self.voltage(seen, report, next.is_some(), &mut examined);
        examined
    }

    fn clock(&self, facts: &Facts, examined: &mut Examined) {
        if self.late_s > 0 && facts.now_s - facts.ts_s > self.late_s as f64 {
            examined.find("late", facts.now_s - facts.ts_s, self.late_s as f64);
        }
        // Only a message that was sent just now says what the meter's clock says; one that lies ahead of the
        // host's clock says it always.
        let ahead = facts.ts_s - facts.now_s;
        let off = facts.sent_s.map_or(ahead.max(0.0), |sent_s| (sent_s - facts.now_s).abs());
        if self.clock_fail_s > 0.0 && off > self.clock_fail_s {
            examined.find("clock_invalid", off, self.clock_fail_s);
        } else if self.clock_warn_s > 0.0 && off > self.clock_warn_s {
            examined.find("clock_drift", off, self.clock_warn_s);
        }
    }

    /// Where it stands among the others: how many intervals after the newest one, `None` where it isn't newer.
    fn order(&self, seen: &mut Seen, examined: &mut Examined) -> Option<i64> {
        let step = examined.interval - seen.newest;
        if seen.newest == 0 || step > 0 {
            let first = seen.newest == 0;
            if step > 1 && !first {
                examined.find("gap", (step - 1) as f64, 0.0);
                let (before, count) = (seen.newest + 1, step - 1);
                examined.gap = Some(Gap::new(before, count, seen.last_wh));
            }
            seen.recent = if first || step >= RECENT { 1 } else { seen.recent << step | 1 };
            seen.newest = examined.interval;
            return Some(if first { 1 } else { step });
        }
        if seen.came(examined.interval) {
            examined.find("duplicate", examined.interval as f64, 0.0);
        } else {
            examined.find("out_of_order", -step as f64, 0.0);
            examined.fills = true;
            if -step < RECENT {
                seen.recent |= 1 << -step;
            }
        }
        None
    }

    /// What the import register says: by how much it rose, and whether the intervals add up to that.
    fn registers(
        &self,
        seen: &mut Seen,
        report: &Report<'_>,
        next: Option<i64>,
        examined: &mut Examined,
    ) {
        let told_wh = report.interval_kwh().map(watt_hours);
        examined.wh = told_wh;
        // What comes out of order was missing, and isn't counted.
        let Some(step) = next else { return };
        let before_it = seen.since_wh.take();
        if step == 1 {
            seen.since_wh = before_it.zip(told_wh).map(|(since, wh)| since.saturating_add(wh));
        }
        let Some(kwh) = report.obis("1.8.0") else { return };
        let wh = watt_hours(kwh);
        let at = examined.interval;
        let Some(before) = seen.register else {
            (seen.register, seen.since_wh) = (Some(Register { wh, at }), Some(0));
            return;
        };
        let mut rise = wh.saturating_sub(before.wh);
        if rise < 0 {
            let max_wh = watt_hours(self.register_max_kwh);
            let rolls = before.wh > max_wh / 10 * 9 && wh < max_wh / 10;
            if !rolls {
                return self.below(seen, (wh, before.wh, at), examined);
            }
            examined.find("rollover", kwh, self.register_max_kwh);
            rise = rise.saturating_add(max_wh);
        }
        seen.decreases = 0;
        if let Some(since) = seen.since_wh {
            let limit = (self.sum_wh as f64).max(self.sum_share * rise as f64);
            let off = (since - rise).abs() as f64;
            if (self.sum_wh > 0 || self.sum_share > 0.0) && off > limit {
                examined.find("sum", off, limit);
            }
        }
        if let (Some(gap), Some(known), Some(told)) = (&mut examined.gap, before_it, told_wh) {
            let missing = rise.checked_sub(known).and_then(|wh| wh.checked_sub(told));
            gap.missing_wh = missing.filter(|missing| *missing >= 0);
        }
        if told_wh.is_none() {
            match at - before.at {
                1 => examined.wh = Some(rise),
                // It is the energy of all that is missing as well.
                count @ 2.. => examined.spread = Some((rise, count)),
                _ => {}
            }
        }
        (seen.register, seen.since_wh) = (Some(Register { wh, at }), Some(0));
    }

    /// A register below what it was is wrong, unless it stays so: then it is another meter's.
    fn below(
        &self,
        seen: &mut Seen,
        (wh, before_wh, at): (i64, i64, i64),
        examined: &mut Examined,
    ) {
        seen.decreases = seen.decreases.saturating_add(1);
        let swapped = self.swap_after > 0 && seen.decreases >= self.swap_after;
        let rule = if swapped { "register_swap" } else { "register_decrease" };
        examined.find(rule, wh as f64 / 1000.0, before_wh as f64 / 1000.0);
        if swapped {
            (seen.register, seen.since_wh) = (Some(Register { wh, at }), Some(0));
            seen.decreases = 0;
        }
    }
}

// === impl Examined ===

impl Examined {
    fn find(&mut self, rule: &'static str, seen: f64, limit: f64) {
        self.findings.push(Finding { rule, seen, limit });
    }

    /// Whether its value isn't to be trusted.
    pub(crate) fn is_suspect(&self) -> bool {
        self.findings.iter().any(|finding| SUSPECT.contains(&finding.rule))
    }
}

/// The nearest whole watt hour.
#[expect(clippy::cast_possible_truncation, reason = "what is out of range is cut")]
pub(crate) fn watt_hours(kwh: f64) -> i64 {
    (kwh * 1000.0).round() as i64
}
