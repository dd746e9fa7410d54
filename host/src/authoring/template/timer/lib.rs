//! PLUGIN-NAME: tells the output `alerts` when nothing has come of a key for too long.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sluicegate_sdk::{ConfigError, Context, Decision, Message, Plugin, Timer, Verdict};

/// The operator's `config`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PluginType {
    /// Seconds without a message that are told.
    silent_s: u64,
}

#[derive(Serialize)]
struct Silence<'a> {
    silent: &'a str,
}

impl Plugin for PluginType {
    type State = (); // the timer is all that is remembered
    const TIMERS: bool = true;

    fn prepare(&mut self) -> Result<(), ConfigError> {
        if self.silent_s == 0 {
            return Err(ConfigError::new("silent_s", "must be at least 1"));
        }
        Ok(())
    }

    fn process(&self, _: &Message<'_>, _: &mut (), ctx: &mut Context<'_>) -> Decision {
        // A key has one timer of a name: each message sets it anew.
        ctx.set_timer("silent", Duration::from_secs(self.silent_s));
        Ok(Verdict::next())
    }

    fn on_timer(&self, timer: &Timer<'_>, _: &mut (), ctx: &mut Context<'_>) -> Decision {
        ctx.emit("alerts").routing_key("silent").json(&Silence { silent: timer.key() })?;
        Ok(Verdict::done())
    }
}

sluicegate_sdk::export!(PluginType);

#[cfg(test)]
mod tests;
