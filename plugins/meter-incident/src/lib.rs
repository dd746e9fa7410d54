//! Turns the faults that meters report into incidents: what belongs together is one, it is told of at once,
//! escalated until somebody acknowledges it, and closed when it is over.
//!
//! The pipeline's key is what incidents are of: the transformer for outages, so that the last gasps of its
//! meters become one incident; the meter for what is its own. A key has one incident of a class at a time.
//!
//! | status | when |
//! |---|---|
//! | `opened` | at once; of the classes in `gather` when `at_once` meters reported it, or after `group_s` |
//! | `updated` | more meters, or some that are back; at most every `group_s` |
//! | `acknowledged` | a message of the type `acknowledge` said so |
//! | `escalated` | nobody did in time; as often as `escalate_s` has times |
//! | `restored` | as many of its meters as `restored_percent` are back |
//! | `flapping` | the third time that it came back while it cooled down |
//! | `reopened` | it came back, and was still there when it had cooled down |
//! | `closed` | it cooled down; nothing was heard for `expire_s`; a message of the type `close` said so |

mod incident;
mod publish;
mod workflow;

use std::time::Duration;

use incident::{Incident, Severity};
use serde::{Deserialize, Serialize};
use sluicegate_sdk::{
    ConfigError, Context, Decision, Failure, Map, Message, Plugin, Timer, Verdict,
};

/// Incidents of different classes that one key can have.
const CLASSES_MAX: usize = 16;
const DAY_S: u64 = 86_400;

/// The operator's `config`. Times are seconds of the host's clock.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Incidents {
    /// Classes that are worth telling of when others join, or when it lasts.
    gather: Vec<String>,
    /// How long reports of these are gathered, and the least time between two updates.
    group_s: u64,
    /// Meters whose reports make an incident without waiting for more.
    at_once: usize,
    /// Of each severity, the times after which nobody's acknowledging it is escalated, one after the other.
    escalate_s: Map<Severity, Vec<u64>>,
    /// The share of its meters that must be back.
    restored_percent: usize,
    /// How long all must be well before an incident is closed.
    cool_down_s: u64,
    /// How long after the last report an incident is closed that nobody closes.
    expire_s: u64,
    /// Meters of an incident that are told apart; the others are only counted.
    meters_max: usize,
}

/// The incidents of a key: one of a class.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
struct Open {
    incidents: Vec<Incident>,
}

/// A moment in the life of a key's incidents.
struct Step<'s, 'c> {
    key: &'s str,
    /// Seconds since 1970, by the host's clock.
    now_s: u64,
    ctx: &'s mut Context<'c>,
}

/// What a report's body says of it.
#[derive(Deserialize)]
struct Report {
    meter: String,
}

/// What somebody does about an incident.
#[derive(Deserialize)]
struct Command {
    incident: String,
    by: String,
}

impl Default for Incidents {
    fn default() -> Self {
        let mut escalate_s = Map::default();
        escalate_s.insert(Severity::Critical, vec![300, 600, 1800]);
        escalate_s.insert(Severity::Major, vec![DAY_S]);
        Self {
            gather: ["outage", "powerquality", "comms"].map(str::to_owned).to_vec(),
            group_s: 60,
            at_once: 3,
            escalate_s,
            restored_percent: 90,
            cool_down_s: 300,
            expire_s: 7 * DAY_S,
            meters_max: 1000,
        }
    }
}

impl Plugin for Incidents {
    type State = Open;

    fn prepare(&mut self) -> Result<(), ConfigError> {
        let times = [
            ("group_s", self.group_s, 1..=3600),
            ("cool_down_s", self.cool_down_s, 1..=7 * DAY_S),
            ("expire_s", self.expire_s, 60..=365 * DAY_S),
        ];
        if let Some((field, _, range)) = times.iter().find(|(_, time, range)| !range.contains(time))
        {
            let text = format!("must be {} to {}", range.start(), range.end());
            return Err(ConfigError::new(field, &text));
        }
        let counts = [
            ("at_once", self.at_once, 1..=1000),
            ("restored_percent", self.restored_percent, 1..=100),
            ("meters_max", self.meters_max, 1..=2000),
        ];
        if let Some((field, _, range)) =
            counts.iter().find(|(_, count, range)| !range.contains(count))
        {
            let text = format!("must be {} to {}", range.start(), range.end());
            return Err(ConfigError::new(field, &text));
        }
        let long =
            |times: &Vec<u64>| times.len() > 10 || times.iter().any(|time| *time > 7 * DAY_S);
        if self.escalate_s.values().any(long) {
            let text = "is at most ten times of a severity, none longer than a week";
            return Err(ConfigError::new("escalate_s", text));
        }
        Ok(())
    }

    fn process(&self, message: &Message<'_>, open: &mut Open, ctx: &mut Context<'_>) -> Decision {
        let key = message.key().unwrap_or_default();
        let step = &mut Step { key, now_s: message.now().as_secs(), ctx };
        match message.kind() {
            Some("acknowledge") => self.acknowledge(open, &message.decode()?, step)?,
            Some("close") => self.close_by(open, &message.decode()?, step)?,
            _ => self.report(message, open, step)?,
        }
        Ok(Verdict::done())
    }

    fn on_timer(&self, timer: &Timer<'_>, open: &mut Open, ctx: &mut Context<'_>) -> Decision {
        let Some((class, what)) = timer.name().rsplit_once('/') else { return Ok(Verdict::done()) };
        let Some(at) = open.incidents.iter().position(|incident| incident.class == class) else {
            return Ok(Verdict::done());
        };
        let step = &mut Step { key: timer.key(), now_s: timer.now().as_secs(), ctx };
        let incident = &mut open.incidents[at];
        let closed = match what {
            "group" => self.grouped(incident, step)?,
            "escalate" => self.escalate(incident, timer, step)?,
            "cool" => self.cooled(incident, step)?,
            "expire" => self.expired(incident, step)?,
            _ => false,
        };
        if closed {
            open.incidents.remove(at);
        }
        Ok(Verdict::done())
    }
}

impl Incidents {
    /// A meter has a fault, or has it no more.
    fn report(
        &self,
        message: &Message<'_>,
        open: &mut Open,
        step: &mut Step<'_, '_>,
    ) -> Result<(), Failure> {
        let Report { meter } = message.decode()?;
        let Some(class) = message.text_header("fault-class") else {
            let text = "no header `fault-class` says what kind of fault it is";
            return Err(Failure::reject("no_class", text));
        };
        let severity = message.text_header("severity").and_then(Severity::read);
        let severity = severity.unwrap_or(Severity::Minor);
        let at = open.incidents.iter().position(|incident| incident.class == class);
        if message.text_header("fault-state") == Some("cleared") {
            // What nobody heard the beginning of is no incident at its end.
            return match at {
                Some(at) => self.cleared(open, at, &meter, step),
                None => Ok(()),
            };
        }
        let at = match at {
            Some(at) => at,
            None if open.incidents.len() >= CLASSES_MAX => {
                let text = format!("{} has {CLASSES_MAX} incidents of other classes", step.key);
                return Err(Failure::reject("too_many_classes", text));
            }
            None => {
                let region = message.text_header("region").unwrap_or("unknown");
                open.incidents.push(Incident::new(class, region, step.now_s));
                open.incidents.len() - 1
            }
        };
        self.raised(&mut open.incidents[at], (&meter, severity), step)
    }
}

fn after(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

sluicegate_sdk::export!(Incidents);

#[cfg(test)]
mod tests;
