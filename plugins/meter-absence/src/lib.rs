//! Tells of meters that fell silent, once per silence, and when they are heard of again.
use std::time::Duration;

use sluicegate_sdk::{Absence, Context, Decision, Message, Plugin, Presence, Timer, Verdict};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct MeterAbsence {
    /// Seconds without a message after which a meter counts as silent.
    after_s: u64,
}

impl MeterAbsence {
    fn absence(&self) -> Absence {
        Absence::after(Duration::from_secs(self.after_s))
    }
}

impl Plugin for MeterAbsence {
    type State = Presence;

    fn process(&self, message: &Message, meter: &mut Presence, ctx: &mut Context) -> Decision {
        if self.absence().heard(meter, message.now(), ctx).is_some() {
            ctx.emit("alerts").kind("meter.back").json(&message.key())?;
        }
        Ok(Verdict::next())
    }

    fn on_timer(&self, timer: &Timer, meter: &mut Presence, ctx: &mut Context) -> Decision {
        if self.absence().silent(meter, timer, ctx).is_some() {
            ctx.emit("alerts").kind("meter.silent").json(&timer.key())?;
        }
        Ok(Verdict::done())
    }
}

sluicegate_sdk::export!(MeterAbsence);

#[cfg(test)]
mod tests;
