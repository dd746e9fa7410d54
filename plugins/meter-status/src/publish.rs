//! What is told: changes, actions, answers.

use jiff::Timestamp;
use serde::Serialize;
use sluicegate_sdk::{Context, EncodeError, Failure, Message};

use crate::Status;
use crate::aspects::{Aspect, Level, Meter};

/// An aspect's change.
#[derive(Serialize)]
struct Change<'a> {
    meter: &'a str,
    region: &'a str,
    area: &'a str,
    aspect: &'a str,
    before: &'a str,
    level: &'a str,
    at: String,
    heard: String,
}

/// What somebody, or the meter, is to do.
#[derive(Serialize)]
struct Action<'a> {
    meter: &'a str,
    region: &'a str,
    action: &'a str,
    reason: &'a str,
    /// Since when there is nothing of it.
    from: String,
    to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    days_left: Option<f64>,
}

/// All that is known.
#[derive(Serialize)]
struct Current<'a> {
    meter: &'a str,
    known: bool,
    region: &'a str,
    area: &'a str,
    heard: String,
    connection: Level,
    battery: Level,
    battery_v: f64,
    battery_v_per_day: Option<f64>,
    battery_days_left: Option<f64>,
    delivery: Level,
    readings_last_day: Option<u32>,
    expected_per_day: u64,
    delay_s: f64,
    resets: u32,
    signal: Level,
    signal_dbm: f64,
    firmware: &'a str,
}

impl Status {
    /// Gives an aspect a level, and tells of it where that is another one.
    pub(crate) fn level(
        &self,
        key: &str,
        meter: &mut Meter,
        (aspect, level): (Aspect, Level),
        now_s: u64,
        ctx: &mut Context<'_>,
    ) -> Result<(), EncodeError> {
        let before = std::mem::replace(aspect.level(meter), level);
        // That all is well with what was never looked at before is only news of the connection.
        let is_news = before != Level::Unknown || level != Level::Ok;
        if before == level || !(is_news || aspect == Aspect::Connection) {
            return Ok(());
        }
        tell(key, meter, aspect.as_str(), (before.as_str(), level.as_str()), now_s, ctx)?;
        self.act(key, meter, (aspect, level), now_s, ctx)
    }

    pub(crate) fn tell_firmware(
        &self,
        key: &str,
        meter: &Meter,
        before: &str,
        now_s: u64,
        ctx: &mut Context<'_>,
    ) -> Result<(), EncodeError> {
        tell(key, meter, "firmware", (before, &meter.firmware), now_s, ctx)
    }

    fn act(
        &self,
        key: &str,
        meter: &Meter,
        (aspect, level): (Aspect, Level),
        now_s: u64,
        ctx: &mut Context<'_>,
    ) -> Result<(), EncodeError> {
        let action = match (aspect, level) {
            (Aspect::Connection, Level::Minor) => "read_again",
            (Aspect::Connection | Aspect::Battery, Level::Major) => "work_order",
            _ => return Ok(()),
        };
        let reason = aspect.as_str();
        let days_left = meter.battery.days_left(self.battery_empty_v);
        let told = Action {
            meter: key,
            region: &meter.region,
            action,
            reason,
            from: written(meter.heard_s),
            to: written(now_s),
            days_left: days_left.filter(|_| aspect == Aspect::Battery),
        };
        ctx.emit("actions")
            // For a direct exchange: who does the one doesn't do the other.
            .routing_key(action)
            .kind("action")
            .message_id(&format!("{key}/{action}/{reason}/{now_s}"))
            .header("meter-id", key)
            .header("region", meter.region.as_str())
            .header("reason", reason)
            .json(&told)?;
        Ok(())
    }

    /// Answers a request.
    pub(crate) fn answer(
        &self,
        message: &Message<'_>,
        key: &str,
        meter: &Meter,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let Some(reply_to) = message.reply_to() else {
            let text = "a request says with `reply_to` where the answer is to go";
            return Err(Failure::reject("no_reply_to", text));
        };
        let Meter { battery, delivery, signal, .. } = meter;
        let current = Current {
            meter: key,
            known: meter.connection != Level::Unknown,
            region: &meter.region,
            area: &meter.area,
            heard: written(meter.heard_s),
            connection: meter.connection,
            battery: battery.level,
            battery_v: battery.volts,
            battery_v_per_day: battery.slope(),
            battery_days_left: battery.days_left(self.battery_empty_v),
            delivery: delivery.level,
            readings_last_day: delivery.last_day,
            expected_per_day: 86_400 / self.interval_s,
            delay_s: delivery.delay_s,
            resets: delivery.all_resets,
            signal: signal.level,
            signal_dbm: signal.dbm,
            firmware: &meter.firmware,
        };
        // The request's correlation id goes along by itself.
        ctx.emit("replies").routing_key(reply_to).kind("status.reply").json(&current)?;
        Ok(())
    }
}

fn tell(
    key: &str,
    meter: &Meter,
    aspect: &str,
    (before, level): (&str, &str),
    now_s: u64,
    ctx: &mut Context<'_>,
) -> Result<(), EncodeError> {
    let Meter { region, area, .. } = meter;
    let (at, heard) = (written(now_s), written(meter.heard_s));
    let severity = if matches!(level, "minor" | "major") { level } else { "info" };
    ctx.emit("changes")
        .routing_key(&format!("status.{aspect}.{severity}.{region}"))
        .kind("status.change")
        // A meter's level can't be the same twice within a second.
        .message_id(&format!("{key}/{aspect}/{before}/{level}/{now_s}"))
        .header("meter-id", key)
        .header("region", region.as_str())
        .header("aspect", aspect)
        .header("severity", severity)
        .json(&Change { meter: key, region, area, aspect, before, level, at, heard })?;
    Ok(())
}

fn written(at_s: u64) -> String {
    let at = i64::try_from(at_s).ok().and_then(|at_s| Timestamp::from_second(at_s).ok());
    at.unwrap_or_default().to_string()
}
