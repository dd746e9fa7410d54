//! The last stage of a meter pipeline: where does it go?
//!
//! By kind of message (its `type`, else the last word of its routing key), by what the stages before
//! it have found (`fault-class`, `severity`, `anomaly-score`), and by region. An output is a name
//! that the pipeline's config declares; the routing key lets queues choose from it:
//!
//! | message | output | routing key |
//! |---|---|---|
//! | reading | `readings` | `reading.REGION`, `reading.REGION.TARIFF` where a tariff is known |
//! | reading with an anomaly | `anomalies` too | `anomaly.SEVERITY.REGION` |
//! | event | `faults` | `fault.CLASS.SEVERITY.REGION` |
//! | status | `status` | `status.REGION` |
//!
//! A reading that was validated by rules goes on with all its headers, and so does an event: a headers exchange
//! can choose by region, tariff, severity, class and quality.

use serde::Deserialize;
use sluicegate_sdk::{Context, Decision, Failure, Message, Plugin, Verdict};

/// The outputs' names, where a pipeline calls them otherwise.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Route {
    readings: String,
    anomalies: String,
    faults: String,
    status: String,
}

impl Default for Route {
    fn default() -> Self {
        let [readings, anomalies, faults, status] =
            ["readings", "anomalies", "faults", "status"].map(str::to_owned);
        Self { readings, anomalies, faults, status }
    }
}

impl Plugin for Route {
    type State = ();

    fn process(&self, message: &Message<'_>, _: &mut (), ctx: &mut Context<'_>) -> Decision {
        let region = region(message);
        let found = |header| message.text_header(header).unwrap_or("unknown");
        let kind = message.kind().or_else(|| message.routing_key().rsplit('.').next());
        match kind {
            Some("reading") => {
                let key = match message.text_header("tariff") {
                    Some(tariff) => format!("reading.{region}.{tariff}"),
                    None => format!("reading.{region}"),
                };
                if message.header("quality").is_some() {
                    ctx.forward(&self.readings, message).routing_key(&key);
                } else {
                    ctx.emit(&self.readings).routing_key(&key);
                }
                if message.header("anomaly-score").is_some() {
                    let key = format!("anomaly.{}.{region}", found("severity"));
                    ctx.emit(&self.anomalies).routing_key(&key);
                }
            }
            Some("event") => {
                let (class, severity) = (found("fault-class"), found("severity"));
                ctx.forward(&self.faults, message)
                    .routing_key(&format!("fault.{class}.{severity}.{region}"))
                    .header("fault-class", class)
                    .header("severity", severity)
                    .header("region", region)
                    .priority(priority(severity));
            }
            Some("status") => {
                ctx.emit(&self.status).routing_key(&format!("status.{region}"));
            }
            other => {
                let text = format!("no route for messages of type '{}'", other.unwrap_or_default());
                return Err(Failure::reject("unknown_kind", text));
            }
        }
        Ok(Verdict::done())
    }
}

/// The region: what the validation found in its table, else the second word of `meter.REGION.METER.KIND`.
fn region<'a>(message: &Message<'a>) -> &'a str {
    let mut words = message.routing_key().split('.');
    let from_key = if words.next() == Some("meter") { words.next() } else { None };
    message.text_header("region").or(from_key).unwrap_or("unknown")
}

fn priority(severity: &str) -> u8 {
    match severity {
        "critical" => 9,
        "major" => 6,
        "minor" => 3,
        _ => 0,
    }
}

sluicegate_sdk::export!(Route);

#[cfg(test)]
mod tests;
