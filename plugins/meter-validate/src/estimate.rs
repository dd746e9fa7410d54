//! Intervals that didn't come, estimated: flagged as such, and giving way to what was measured.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use sluicegate_sdk::{Context, EncodeError};

use crate::rules::{Examined, Rules};
use crate::seen::{GAPS, Gap, Seen};

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
    gap.due_s = now_s.saturating_add(rules.estimate_after_s);
    seen.gaps.push_back(gap);
    if seen.gaps.len() > GAPS
        && let Some(first) = seen.gaps.pop_front()
    {
        fill(rules, (meter, seen), &first, ctx)?;
    }
    arm(seen, ctx);
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
            fill(rules, (meter, seen), &gap, ctx)?;
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

/// Estimates what is still missing of a gap: along a line where it is short, else by the hours of the week.
fn fill(
    rules: &Rules,
    (meter, seen): (&str, &Seen),
    gap: &Gap,
    ctx: &mut Context<'_>,
) -> Result<(), EncodeError> {
    if gap.count > rules.estimate_max {
        return Ok(());
    }
    let is_short = gap.count * seen.interval_s <= rules.linear_s;
    for n in 0..gap.count {
        let interval = gap.first + n;
        if seen.came(interval) {
            continue;
        }
        let wh = if is_short {
            let rise = (gap.to_wh - gap.from_wh) * (n + 1);
            Some(gap.from_wh + rise.div_euclid(gap.count + 1))
        } else {
            let watts = seen.profile.watts(seen.hour_of_week(interval));
            #[expect(clippy::cast_possible_truncation, reason = "watt hours of an interval")]
            watts.map(|watts| (watts * seen.interval_s as f64 / 3600.0).round() as i64)
        };
        if let Some(wh) = wh {
            tell((meter, seen), interval, wh, ctx)?;
        }
    }
    Ok(())
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
        tell((meter, seen), interval, each, ctx)?;
    }
    Ok(Some(rise_wh - each * (count - 1)))
}

fn tell(
    (meter, seen): (&str, &Seen),
    interval: i64,
    wh: i64,
    ctx: &mut Context<'_>,
) -> Result<(), EncodeError> {
    let end_s = interval * seen.interval_s;
    let ts = Timestamp::from_second(end_s).unwrap_or_default().to_string();
    let kwh = wh as f64 / 1000.0;
    let start_s = end_s - seen.interval_s;
    ctx.emit("estimates")
        .routing_key(&format!("estimate.{}", seen.region))
        .kind("estimate")
        .message_id(&format!("{meter}/estimate/{start_s}/{wh}"))
        .header("meter-id", meter)
        .header("region", seen.region.as_str())
        .header("quality", "E")
        .header("energy-wh", wh)
        .header("interval-start", start_s)
        .header("interval-s", seen.interval_s)
        .json(&Estimate { meter, ts, kwh, int_s: seen.interval_s, q: "E" })?;
    Ok(())
}
