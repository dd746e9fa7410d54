//! Classifies what meters report about themselves and their supply: the class says which team it is
//! for, the severity how soon. Both go on as headers, for routing; what is critical is alerted at
//! once.
//!
//! With `incidents` each fault, and each end of one, is forwarded to the output of that name, by the key that
//! its incident is of: outages and power quality are their transformer's, the rest the meter's own.
//!
//! An event is named (`{"event": "power_loss"}`) or an entry of an IDIS event log
//! (`{"log": "99.98.0", "id": 7}`). One that nobody knows is rejected: it would get lost otherwise.

use Severity::{Critical, Info, Major, Minor};
use serde::{Deserialize, Serialize};
use sluicegate_sdk::{
    Change, ConfigError, Context, Decision, Failure, Map, Message, Plugin, Verdict,
};

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Faults {
    /// Severities by event where an operator sees them otherwise: `{ battery_low = "major" }`.
    severity: Map<String, Severity>,
    /// Whether faults are forwarded to the output `incidents`.
    incidents: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Info,
    Minor,
    Major,
    Critical,
}

/// Event, class, severity.
const EVENTS: [(&str, &str, Severity); 24] = [
    ("power_loss", "outage", Critical),
    ("last_gasp", "outage", Critical),
    ("power_restored", "outage", Info),
    ("voltage_sag", "powerquality", Critical),
    ("voltage_swell", "powerquality", Critical),
    ("phase_loss", "powerquality", Critical),
    ("voltage_restored", "powerquality", Info),
    ("phase_restored", "powerquality", Info),
    ("tamper", "tamper", Critical),
    ("cover_open", "tamper", Critical),
    ("magnetic_field", "tamper", Critical),
    ("current_without_voltage", "tamper", Critical),
    ("replay", "tamper", Critical),
    ("reverse_energy", "revenue", Major),
    ("register_error", "meter", Major),
    ("memory_error", "meter", Major),
    ("clock_invalid", "meter", Major),
    ("clock_adjusted", "meter", Info),
    ("stuck", "meter", Major),
    ("comms_lost", "comms", Minor),
    ("comms_restored", "comms", Info),
    ("battery_low", "battery", Minor),
    ("battery_critical", "battery", Major),
    ("battery_replaced", "battery", Info),
];

/// Events that say that a fault of their class is over.
const ENDS: [&str; 5] =
    ["power_restored", "voltage_restored", "phase_restored", "comms_restored", "battery_replaced"];
/// Classes of what happens to a transformer's meters together.
const SHARED: [&str; 2] = ["outage", "powerquality"];

#[derive(Deserialize)]
struct Event {
    meter: String,
    ts: Option<Time>,
    event: Option<String>,
    log: Option<String>,
    id: Option<u32>,
    transformer: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Time {
    Text(String),
    Unix(f64),
}

#[derive(Serialize)]
struct Alert<'a> {
    meter: &'a str,
    ts: Option<Time>,
    event: &'a str,
    class: &'a str,
    severity: Severity,
}

impl Plugin for Faults {
    type State = ();

    fn prepare(&mut self) -> Result<(), ConfigError> {
        match self.severity.keys().find(|name| find(name).is_none()) {
            Some(name) => {
                Err(ConfigError::new("severity", &format!("no event is called '{name}'")))
            }
            None => Ok(()),
        }
    }

    fn process(&self, message: &Message<'_>, _: &mut (), ctx: &mut Context<'_>) -> Decision {
        if message.kind().is_some_and(|kind| kind != "event") {
            return Ok(Verdict::next());
        }
        let event: Event = message.decode()?;
        let name = event.name();
        let Some((name, class, usual)) = name.and_then(find) else {
            let text = format!("meter {} reports {}", event.meter, event.describe());
            return Err(Failure::reject("unknown_event", text));
        };
        let severity = self.severity.get(name).copied().unwrap_or(usual);
        if self.incidents {
            // Who makes incidents of them says what is critical, once.
            forward(message, &event, (name, class, severity), ctx);
        } else if severity == Critical {
            let alert = Alert { meter: &event.meter, ts: event.ts, event: name, class, severity };
            ctx.emit("alerts")
                .routing_key(&format!("alert.{class}"))
                .kind("alert")
                .header("severity", severity.as_str())
                .priority(9)
                .json(&alert)?;
        }
        let change = Change::new().header("fault-class", class).header("fault-event", name);
        Ok(Verdict::next_with(change.header("severity", severity.as_str())))
    }
}

/// Hands a fault, or its end, to whoever makes incidents of them.
fn forward(
    message: &Message<'_>,
    event: &Event,
    (name, class, severity): (&str, &str, Severity),
    ctx: &mut Context<'_>,
) {
    let ends = ENDS.contains(&name);
    if severity == Info && !ends {
        return;
    }
    let transformer = message.text_header("transformer").or(event.transformer.as_deref());
    let shared = transformer.filter(|_| SHARED.contains(&class));
    let key = shared.unwrap_or(&event.meter);
    ctx.forward("incidents", message)
        .routing_key(&format!("fault.{class}.{key}"))
        .kind("fault")
        .header("incident-key", key)
        .header("fault-class", class)
        .header("severity", severity.as_str())
        .header("fault-state", if ends { "cleared" } else { "raised" })
        .priority(if severity == Critical { 9 } else { 0 });
}

fn find(name: &str) -> Option<(&'static str, &'static str, Severity)> {
    EVENTS.into_iter().find(|(event, ..)| *event == name)
}

impl Event {
    /// The event's name, from whichever of the two forms there is.
    fn name(&self) -> Option<&str> {
        if self.event.is_some() {
            return self.event.as_deref();
        }
        match (self.log.as_deref()?, self.id?) {
            ("99.98.0", 4 | 5) => Some("clock_adjusted"),
            ("99.98.0", 6) => Some("clock_invalid"),
            ("99.98.0", 7) => Some("battery_low"),
            // Whatever stands in the tamper log is for revenue protection.
            ("99.98.1", _) => Some("tamper"),
            _ => None,
        }
    }

    fn describe(&self) -> String {
        match (&self.event, &self.log, self.id) {
            (Some(name), ..) => format!("the unknown event '{name}'"),
            (None, Some(log), Some(id)) => format!("the unknown entry {id} of log {log}"),
            _ => "neither an `event` nor a `log` and an `id`".to_owned(),
        }
    }
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Info => "info",
            Minor => "minor",
            Major => "major",
            Critical => "critical",
        }
    }
}

sluicegate_sdk::export!(Faults);

#[cfg(test)]
mod tests;
