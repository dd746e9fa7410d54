//! PLUGIN-NAME: passes on what is worth reading, and tells the output `alerts` of what is too hot.

use serde::Deserialize;
use sluicegate_sdk::{Context, Decision, Failure, Message, Plugin, Verdict};

/// The operator's `config`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PluginType {
    /// Degrees above which a reading is told.
    limit: f64,
}

/// A message's body, as far as it matters here.
#[derive(Deserialize)]
struct Reading<'a> {
    sensor: &'a str,
    celsius: f64,
}

impl Plugin for PluginType {
    type State = (); // nothing is remembered

    fn process(&self, message: &Message<'_>, _: &mut (), ctx: &mut Context<'_>) -> Decision {
        let reading: Reading<'_> = message.decode()?;
        if reading.celsius < -273.15 {
            return Err(Failure::reject("impossible", "colder than can be"));
        }
        if reading.celsius > self.limit {
            ctx.emit("alerts").routing_key(&format!("hot.{}", reading.sensor));
        }
        Ok(Verdict::next())
    }
}

sluicegate_sdk::export!(PluginType);

#[cfg(test)]
mod tests;
