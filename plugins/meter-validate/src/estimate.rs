//! Intervals that didn't come, estimated: flagged as such, and giving way to what was measured.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use sluicegate_sdk::{Context, EncodeError};

use crate::rules::{Examined, Rules};
use crate::seen::{FILLED, GAPS, Gap, Seen};

pub(crate) const TIMER: &str = "gaps";

/// An estimate, in the short form of a reading.
#[derive(Serialize)]
struct Estimate<'a> {
    meter: &'a str,
    ts: String,
    kwh: f64,
    int_s: i64,
    q: &'static str,
}

/// Remembers a gap until its intervals had the time to come.
pub(crate) fn wait(
    rules: &Rules,
    (meter, seen): (&str, &mut Seen),
    mut gap: Gap,
    now_s: u64,
    ctx: &mut Context<'_>,
) -> Result<(), EncodeError> {
    if gap.count > rules.estimate_max {
        return Ok(());
    }
    gap.due_s = now_s.saturating_add(rules.estimate_after_s);
    seen.gaps.push_back(gap);
    if seen.gaps.len() > GAPS
        && let Some(first) = seen.gaps.pop_front()
    {
        fill(rules, (meter, seen), first, ctx)?;
    }
    arm(seen, ctx);
    Ok(())
}

/// One that was missing came: its gap lacks it no more. Where the rest is estimated already it is estimated anew,
/// for what came is a part of what the register rose by.
pub(crate) fn came(
    rules: &Rules,
    (meter, seen): (&str, &mut Seen),
    (interval, wh): (i64, Option<i64>),
    ctx: &mut Context<'_>,
) -> Result<(), EncodeError> {
    if let Some(gap) = seen.gaps.iter_mut().find(|gap| gap.lacks(interval)) {
        gap.take(interval, wh);
        seen.gaps.retain(|gap| gap.missing().next().is_some());
        return Ok(());
    }
    let lacking = seen.filled.iter().position(|gap| gap.lacks(interval));
    let Some(mut gap) = lacking.and_then(|at| seen.filled.remove(at)) else { return Ok(()) };
    gap.take(interval, wh);
    if gap.missing_wh.is_some() {
        fill(rules, (meter, seen), gap, ctx)?;
    }
    Ok(())
}

/// Estimates what is due.
pub(crate) fn due(
    rules: &Rules,
    (meter, seen): (&str, &mut Seen),
    now_s: u64,
    ctx: &mut Context<'_>,
) -> Result<(), EncodeError> {
    while seen.gaps.front().is_some_and(|gap| gap.due_s <= now_s) {
        if let Some(gap) = seen.gaps.pop_front() {
            fill(rules, (meter, seen), gap, ctx)?;
        }
    }
    arm(seen, ctx);
    Ok(())
}

fn arm(seen: &Seen, ctx: &mut Context<'_>) {
    if let Some(gap) = seen.gaps.front() {
        ctx.set_timer_at(TIMER, Duration::from_secs(gap.due_s));
    }
}

/// Tells what is estimated of a gap, and remembers it as long as what may still come of it changes the rest.
fn fill(
    rules: &Rules,
    (meter, seen): (&str, &mut Seen),
    gap: Gap,
    ctx: &mut Context<'_>,
) -> Result<(), EncodeError> {
    for (interval, wh) in energies(rules, seen, &gap) {
        tell((meter, seen), (interval, wh), gap.came.len(), ctx)?;
    }
    if gap.missing_wh.is_some() && gap.missing().nth(1).is_some() {
        seen.filled.push_back(gap);
        if seen.filled.len() > FILLED {
            seen.filled.pop_front();
        }
    }
    Ok(())
}

/// Energy of the intervals that a gap lacks: along a line where it is short, else by the hours of the week; and
/// where a register says what they came to, in these shares of it, to the last watt hour.
fn energies(rules: &Rules, seen: &Seen, gap: &Gap) -> Vec<(i64, i64)> {
    let is_short = gap.count * seen.interval_s <= rules.linear_s;
    let along_the_line = |interval: i64| {
        let rise = (gap.to_wh - gap.from_wh) * (interval - gap.first + 1);
        gap.from_wh + rise.div_euclid(gap.count + 1)
    };
    let usual = |interval: i64| {
        if is_short {
            return Some(along_the_line(interval));
        }
        let watts = seen.profile.watts(seen.hour_of_week(interval));
        #[expect(clippy::cast_possible_truncation, reason = "watt hours of an interval")]
        watts.map(|watts| (watts * seen.interval_s as f64 / 3600.0).round() as i64)
    };
    let Some(all_wh) = gap.missing_wh else {
        return gap.missing().filter_map(|at| Some((at, usual(at)?))).collect();
    };
    // One more each, so that there are shares where nothing was used.
    let share = |at: i64| 1 + i128::from(usual(at).unwrap_or_else(|| along_the_line(at)).max(0));
    let shares: i128 = gap.missing().map(share).sum();
    let (mut upto, mut told) = (0, 0);
    let told_of = |at: i64| {
        upto += share(at);
        // Not more than what all came to, which is an i64.
        let all = i64::try_from(i128::from(all_wh) * upto / shares).unwrap_or(all_wh);
        (at, all - std::mem::replace(&mut told, all))
    };
    gap.missing().map(told_of).collect()
}

/// Spreads what a register rose by over the intervals that it rose in; the energy of the last one.
pub(crate) fn spread(
    rules: &Rules,
    (meter, seen): (&str, &Seen),
    examined: &Examined,
    (rise_wh, count): (i64, i64),
    ctx: &mut Context<'_>,
) -> Result<Option<i64>, EncodeError> {
    if count - 1 > rules.estimate_max {
        return Ok(None);
    }
    let each = rise_wh.div_euclid(count);
    for interval in examined.interval - count + 1..examined.interval {
        tell((meter, seen), (interval, each), 0, ctx)?;
    }
    Ok(Some(rise_wh - each * (count - 1)))
}

fn tell(
    (meter, seen): (&str, &Seen),
    (interval, wh): (i64, i64),
    revision: usize,
    ctx: &mut Context<'_>,
) -> Result<(), EncodeError> {
    let end_s = interval * seen.interval_s;
    let ts = Timestamp::from_second(end_s).unwrap_or_default().to_string();
    let kwh = wh as f64 / 1000.0;
    let start_s = end_s - seen.interval_s;
    ctx.emit("estimates")
        .routing_key(&format!("estimate.{}", seen.region))
        .kind("estimate")
        // With its revision: what was estimated before may be estimated again, and is no repeat then.
        .message_id(&format!("{meter}/estimate/{start_s}/{revision}/{wh}"))
        .header("meter-id", meter)
        .header("region", seen.region.as_str())
        .header("quality", "E")
        .header("energy-wh", wh)
        .header("interval-start", start_s)
        .header("interval-s", seen.interval_s)
        .json(&Estimate { meter, ts, kwh, int_s: seen.interval_s, q: "E" })?;
    Ok(())
}
