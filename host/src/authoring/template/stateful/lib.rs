//! PLUGIN-NAME: tells the output `alerts` when a sensor was too hot several times in a row.

use serde::{Deserialize, Serialize};
use sluicegate_sdk::{ConfigError, Context, Decision, Failure, Message, Plugin, Verdict};

/// The operator's `config`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PluginType {
    /// Degrees above which a reading is hot.
    limit: f64,
    /// Hot readings in a row that are told.
    readings: u32,
}

/// What is remembered per key; the pipeline's config says what the key is.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Seen {
    hot: u32,
}

/// A message's body, as far as it matters here.
#[derive(Deserialize)]
struct Reading<'a> {
    sensor: &'a str,
    celsius: f64,
}

impl Plugin for PluginType {
    type State = Seen;

    fn prepare(&mut self) -> Result<(), ConfigError> {
        if self.readings == 0 {
            return Err(ConfigError::new("readings", "must be at least 1"));
        }
        Ok(())
    }

    fn process(&self, message: &Message<'_>, seen: &mut Seen, ctx: &mut Context<'_>) -> Decision {
        let reading: Reading<'_> = message.decode()?;
        if reading.celsius < -273.15 {
            return Err(Failure::reject("impossible", "colder than can be"));
        }
        seen.hot = if reading.celsius > self.limit { seen.hot + 1 } else { 0 };
        if seen.hot == self.readings {
            ctx.emit("alerts").routing_key(&format!("hot.{}", reading.sensor));
        }
        Ok(Verdict::next())
    }
}

sluicegate_sdk::export!(PluginType);

#[cfg(test)]
mod tests;
