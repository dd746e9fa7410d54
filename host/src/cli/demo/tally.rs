//! What the demo itself has sent and found, apart from what the host says of itself.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::Deserialize;

use crate::limits;
use crate::message::Message;
use crate::simulate::{Plant, Sent, Simulated};
use crate::telemetry::logging::{clipped, printable};

/// Bytes of a dead letter's id on the screen.
const ID_BYTES: usize = 40;

/// Where messages end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sink {
    Readings,
    Anomalies,
    Faults,
    Status,
    Alerts,
    Dead,
}

/// What was sent and found, and what is still to be found.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// What is shown of it.
    pub(super) figures: Figures,
    /// What was planted and not yet found, by message id.
    planted: HashMap<String, Plant>,
    /// The same ids in order, so that the oldest can be forgotten.
    planted_order: VecDeque<String>,
}

/// What was sent and found.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    /// What the fleet made, confirmed or not.
    pub(super) sent: Sent,
    /// What the broker has confirmed.
    pub(super) confirmed: u64,
    /// Messages found, by sink.
    pub(super) collected: BTreeMap<Sink, u64>,
    /// Planted spikes that were alerted.
    pub(super) spikes_found: u64,
    /// Alerts of consumption where no spike was planted.
    pub(super) false_alarms: u64,
    /// Planted faults that reached their sink.
    pub(super) faults_found: u64,
    /// Planted bad messages that were dead-lettered.
    pub(super) bad_found: u64,
    /// Dead letters that nobody had planted.
    pub(super) good_rejected: u64,
    /// The last alerts, the newest first.
    pub(super) alerts: VecDeque<Alert>,
}

/// An alert, as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Alert {
    pub(super) severity: String,
    pub(super) text: String,
}

/// What plugins write in an alert.
#[derive(Deserialize)]
struct Body {
    meter: String,
    ts: Option<String>,
    class: String,
    severity: String,
    event: Option<String>,
    seen: Option<f64>,
    expected: Option<f64>,
    text: Option<String>,
}

// === impl Sink ===

impl Sink {
    pub(super) const ALL: [Self; 6] =
        [Self::Readings, Self::Anomalies, Self::Faults, Self::Status, Self::Alerts, Self::Dead];

    /// Its queue in `demo.toml`.
    pub(super) const fn queue(self) -> &'static str {
        match self {
            Self::Readings => "meters.sink.readings",
            Self::Anomalies => "meters.sink.anomalies",
            Self::Faults => "meters.sink.faults",
            Self::Status => "meters.sink.status",
            Self::Alerts => "meters.sink.alerts",
            Self::Dead => "meters.dead",
        }
    }

    /// The output that feeds it, by its name in the pipelines; dead letters have none.
    pub(super) const fn output(self) -> Option<&'static str> {
        match self {
            Self::Readings => Some("readings"),
            Self::Anomalies => Some("anomalies"),
            Self::Faults => Some("faults"),
            Self::Status => Some("status"),
            Self::Alerts => Some("alerts"),
            Self::Dead => None,
        }
    }
}

// === impl Tally ===

impl Tally {
    /// Notes a message that is about to be published.
    pub(super) fn sending(&mut self, simulated: &Simulated, sent: Sent) {
        self.figures.sent = sent;
        let (Some(plant), Some(id)) = (simulated.planted, &simulated.message.properties.message_id)
        else {
            return;
        };
        self.planted.insert(id.clone(), plant);
        self.planted_order.push_back(id.clone());
        if self.planted_order.len() > limits::DEMO_PLANTED_MAX
            && let Some(oldest) = self.planted_order.pop_front()
        {
            self.planted.remove(&oldest);
        }
    }

    /// Notes a message that reached a sink.
    pub(super) fn found(&mut self, sink: Sink, message: &Message) {
        *self.figures.collected.entry(sink).or_default() += 1;
        match sink {
            Sink::Alerts => self.alerted(message),
            Sink::Faults => {
                let planted = self.take(message, |plant| matches!(plant, Plant::Fault(_)));
                self.figures.faults_found += u64::from(planted);
            }
            Sink::Dead => {
                let planted = self.take(message, |plant| matches!(plant, Plant::Bad(_)));
                self.figures.bad_found += u64::from(planted);
                self.figures.good_rejected += u64::from(!planted);
            }
            Sink::Readings | Sink::Anomalies | Sink::Status => {}
        }
    }

    fn alerted(&mut self, message: &Message) {
        let Ok(body) = serde_json::from_slice::<Body>(&message.body) else { return };
        if body.class == "consumption" {
            let planted = self.take(message, |plant| plant == Plant::Spike);
            self.figures.spikes_found += u64::from(planted);
            self.figures.false_alarms += u64::from(!planted);
        }
        self.figures.alerts.push_front(body.alert());
        self.figures.alerts.truncate(limits::DEMO_ALERTS_SHOWN);
    }

    /// Whether that was planted in what this message comes from; each is found once.
    fn take(&mut self, message: &Message, is: impl Fn(Plant) -> bool) -> bool {
        let properties = &message.properties;
        let Some(id) = properties.correlation_id.as_ref().or(properties.message_id.as_ref()) else {
            return false;
        };
        let planted = self.planted.get(id).is_some_and(|plant| is(*plant));
        if planted {
            self.planted.remove(id);
        }
        planted
    }
}

// === impl Body ===

impl Body {
    fn alert(self) -> Alert {
        let what = match (&self.event, self.seen, self.expected) {
            (Some(event), ..) => event.replace('_', " "),
            (None, Some(seen), Some(expected)) if self.class == "consumption" => {
                format!("{seen:.2} kWh, expected {expected:.2}")
            }
            _ => clipped(self.text.as_ref().unwrap_or(&self.class), ID_BYTES).to_owned(),
        };
        let ts = self.ts.unwrap_or_default();
        let text =
            format!("{}  {}  {what}", ts.replace('T', " ").trim_end_matches('Z'), self.meter);
        Alert { severity: printable(clipped(&self.severity, ID_BYTES)), text: printable(&text) }
    }
}

#[cfg(test)]
mod tests;
