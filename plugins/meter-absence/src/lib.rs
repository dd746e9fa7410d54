//! Tells of meters that fell silent, once per silence, and when they are heard of again: a timer per meter,
//! which each message sets anew.
use std::time::Duration;

use sluicegate_sdk::{Context, Decision, Message, Plugin, Timer, Verdict};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct MeterAbsence {
    /// Seconds without a message after which a meter counts as silent.
    after_s: u64,
}

impl Plugin for MeterAbsence {
    type State = bool; // whether it is silent

    fn process(&self, message: &Message, silent: &mut bool, ctx: &mut Context) -> Decision {
        if std::mem::take(silent) {
            ctx.emit("alerts").kind("meter.back").json(&message.key())?;
        }
        ctx.set_timer("silent", Duration::from_secs(self.after_s));
        Ok(Verdict::next())
    }

    fn on_timer(&self, timer: &Timer, silent: &mut bool, ctx: &mut Context) -> Decision {
        *silent = true;
        ctx.emit("alerts").kind("meter.silent").json(&timer.key())?;
        Ok(Verdict::done())
    }
}

sluicegate_sdk::export!(MeterAbsence);

#[cfg(test)]
mod tests;
