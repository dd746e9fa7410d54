//! The rules about values: energy, export, voltage.

use super::{Examined, Facts, Rules, watt_hours};
use crate::report::Report;
use crate::seen::{Day, Seen, Week};

/// Days before a day's energy can be high or low.
const USUAL_DAYS: u32 = 7;
/// The share of a new day in the usual one.
const LEARN_DAY: f64 = 1.0 / 14.0;
/// The share of a day's intervals that must be there for it to be judged.
const WHOLE_DAY: f64 = 0.9;
/// Voltage means of a week before it is judged: half of those of quarter hours.
const WEEK_MEANS: u32 = 336;
/// The share of a week's means that may be outside of the band.
const WEEK_SHARE: f64 = 0.05;

impl Rules {
    /// What the energy of an interval is compared with: rated power, the ones before, the day's others.
    pub(super) fn energy(
        &self,
        seen: &mut Seen,
        report: &Report<'_>,
        facts: &Facts,
        next: Option<i64>,
        examined: &mut Examined,
    ) {
        let Some(wh) = examined.wh else { return };
        let hours = examined.interval_s as f64 / 3600.0;
        if let Some(rated) = facts.rated_kva.filter(|_| self.rated > 0.0) {
            let limit = rated * self.rated * hours;
            if wh as f64 / 1000.0 > limit {
                examined.find("limit", wh as f64 / 1000.0, limit);
            }
        }
        if next.is_none() {
            return;
        }
        seen.equal = if wh == seen.last_wh && wh != 0 { seen.equal.saturating_add(1) } else { 1 };
        if self.stuck > 0 && seen.equal == self.stuck {
            examined.find("stuck", f64::from(seen.equal), f64::from(self.stuck));
        }
        // Without voltage nothing is used, and that is no fault of the meter's.
        let powered = report.volts().next().is_some_and(|volts| volts > self.volts / 2.0);
        seen.zero = if wh == 0 && powered { seen.zero.saturating_add(1) } else { 0 };
        let zeros = f64::from(self.zero_h) / hours;
        if self.zero_h > 0 && f64::from(seen.zero) >= zeros && f64::from(seen.zero) < zeros + 1.0 {
            examined.find("zero", f64::from(seen.zero) * hours, f64::from(self.zero_h));
        }
        let day = seen.day_of(examined.interval);
        if day != seen.day.number {
            self.day_over(seen, examined);
            seen.day = Day { number: day, ..Day::default() };
        }
        seen.day.add(wh);
        if let Some(gap) = &mut examined.gap {
            gap.to_wh = wh;
        }
        if !examined.is_suspect() {
            let hour = seen.hour_of_week(examined.interval);
            seen.profile.learn(hour, wh as f64 / hours);
        }
        seen.last_wh = wh;
    }

    /// Judges the day that is over.
    fn day_over(&self, seen: &mut Seen, examined: &mut Examined) {
        let Day { wh, intervals, top, .. } = seen.day;
        let whole = 86_400.0 / examined.interval_s as f64 * WHOLE_DAY;
        if f64::from(intervals) < whole {
            return;
        }
        let [highest, _, third] = top.map(|wh| wh as f64);
        if self.spike > 0.0 && third > 0.0 && (highest - third) / third > self.spike {
            examined.find("spike", (highest - third) / third, self.spike);
        }
        let wh = wh as f64;
        if seen.days >= USUAL_DAYS && seen.usual_wh > 0.0 {
            let share = wh / seen.usual_wh;
            if self.low > 0.0 && share < self.low {
                examined.find("low", share, self.low);
            }
            if self.high > 0.0 && share > self.high {
                examined.find("high", share, self.high);
            }
        }
        seen.days = seen.days.saturating_add(1);
        let learn = LEARN_DAY.max(1.0 / f64::from(seen.days));
        seen.usual_wh += learn * (wh - seen.usual_wh);
    }

    pub(super) fn export(
        &self,
        seen: &mut Seen,
        report: &Report<'_>,
        facts: &Facts,
        newer: bool,
        examined: &mut Examined,
    ) {
        let told_wh = report.obis("2.29.0").map(watt_hours);
        // What comes late has the register of then.
        let register_wh = report.obis("2.8.0").map(watt_hours).filter(|_| newer);
        let rise_wh = register_wh.zip(seen.export_wh).map(|(now, before)| now - before);
        if register_wh.is_some() {
            seen.export_wh = register_wh;
        }
        let wh = told_wh.or(rise_wh).unwrap_or(0);
        if wh > 0 && !facts.export.unwrap_or(self.export) {
            examined.find("reverse", wh as f64 / 1000.0, 0.0);
        }
    }

    /// EN 50160 for low voltage: means within 10 % for 95 % of a week, never above that, nor 15 % below.
    pub(super) fn voltage(
        &self,
        seen: &mut Seen,
        report: &Report<'_>,
        newer: bool,
        examined: &mut Examined,
    ) {
        if self.volts <= 0.0 {
            return;
        }
        let bounds = [0.85, 0.9, 1.1].map(|share| self.volts * share);
        let week = seen.day_of(examined.interval).div_euclid(7);
        if newer && week != seen.week.number {
            let Week { means, outside, .. } = seen.week;
            let share = f64::from(outside) / f64::from(means.max(1));
            if means >= WEEK_MEANS && share > WEEK_SHARE {
                examined.find("voltage_week", share, WEEK_SHARE);
            }
            seen.week = Week { number: week, ..Week::default() };
        }
        let [lowest, low, high] = bounds;
        for volts in report.volts() {
            seen.week.means = seen.week.means.saturating_add(1);
            if volts < low {
                seen.week.outside = seen.week.outside.saturating_add(1);
            }
            let rule = if volts < lowest || volts > high { "voltage_critical" } else { "voltage" };
            if volts < low || volts > high {
                let limit = match rule {
                    "voltage" => low,
                    _ if volts > high => high,
                    _ => lowest,
                };
                examined.find(rule, volts, limit);
            }
        }
    }
}
