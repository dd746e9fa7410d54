//! What is told, and how each kind of receiver wants to hear it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::limits;
use crate::notice::{Condition, Severity};
use crate::report::Report;
use crate::telemetry::logging::clipped;

/// `type` of a message that tells something.
pub(super) const ALERT_KIND: &str = "alert";

/// The time by which Alertmanager's receivers know an alert that hasn't ended.
const NOT_ENDED: &str = "0001-01-01T00:00:00Z";

/// What is told once.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Telling {
    pub(super) rule: String,
    /// What makes it one: a failure's fingerprint, a condition and its subject.
    pub(super) key: String,
    /// The rule's own labels.
    pub(super) labels: BTreeMap<String, String>,
    /// It is the matter; else it no longer is.
    pub(super) firing: bool,
    pub(super) count: u64,
    pub(super) first_s: u64,
    pub(super) last_s: u64,
    /// When it ended, or will be taken for ended unless it is told again.
    pub(super) ends_s: u64,
    pub(super) subject: Subject,
}

/// What it is about.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Subject {
    /// The first failure of its cause.
    Failure(Box<Report>),
    Condition(Condition),
}

// === impl Telling ===

impl Telling {
    /// Firing or resolved, as Alertmanager names it.
    pub(super) fn status(&self) -> &'static str {
        if self.firing { "firing" } else { "resolved" }
    }

    pub(super) fn severity(&self) -> Severity {
        match &self.subject {
            Subject::Failure(report) => Severity::of_class(&report.class),
            Subject::Condition(condition) => condition.kind.severity(),
        }
    }

    /// One word for what it is.
    pub(super) fn name(&self) -> &'static str {
        match &self.subject {
            Subject::Failure(_) => "message_failures",
            Subject::Condition(condition) => condition.kind.as_str(),
        }
    }

    /// The same for the same telling, however often it is sent.
    pub(super) fn id(&self, host: &str) -> String {
        let whole = [
            host,
            &self.rule,
            &self.key,
            self.status(),
            &self.first_s.to_string(),
            &self.ends_s.to_string(),
        ];
        digest(&whole)[..32].to_owned()
    }

    /// What a routing key says of it, unless the rule has one.
    pub(super) fn routing_key(&self) -> String {
        format!("{}.{}", self.severity().as_str(), self.name())
    }

    /// What makes the alert that alert for Alertmanager: the same while it lasts.
    fn all_labels(&self, host: &str) -> BTreeMap<String, String> {
        let mut labels = self.labels.clone();
        let mut set = |name: &str, value: &str| {
            if !value.is_empty() {
                labels.insert(name.to_owned(), value.to_owned());
            }
        };
        set("alertname", &camel(self.name()));
        set("severity", self.severity().as_str());
        set("host", host);
        set("rule", &self.rule);
        match &self.subject {
            Subject::Failure(report) => {
                set("pipeline", &report.pipeline);
                set("queue", &report.queue);
                set("class", &report.class);
                set("code", clipped(&report.code, limits::FAILURE_CODE_BYTES));
                set("plugin", report.plugin.as_deref().unwrap_or_default());
                set("fingerprint", &self.key);
            }
            Subject::Condition(condition) => {
                set(condition.kind.subject(), &condition.subject);
            }
        }
        labels
    }

    fn summary(&self) -> String {
        match &self.subject {
            Subject::Failure(report) => {
                let by = report.plugin.as_ref().map(|name| format!(" in plugin '{name}'"));
                format!(
                    "{} of pipeline '{}' failed: {} ({}){}",
                    if self.count == 1 {
                        "1 message".into()
                    } else {
                        format!("{} messages", self.count)
                    },
                    report.pipeline,
                    report.code,
                    report.class,
                    by.unwrap_or_default()
                )
            }
            Subject::Condition(condition) => {
                let what = condition.kind.as_str().replace('_', " ");
                match condition.kind.subject() {
                    "host" => what,
                    kind => format!("{what}: {kind} '{}'", condition.subject),
                }
            }
        }
    }

    fn annotations(&self) -> BTreeMap<&'static str, String> {
        let mut all = BTreeMap::from([
            ("summary", self.summary()),
            ("count", self.count.to_string()),
            ("first_seen", time(self.first_s)),
            ("last_seen", time(self.last_s)),
        ]);
        match &self.subject {
            Subject::Failure(report) => {
                all.insert("description", report.text.clone());
                all.insert("example", report.id.clone());
                let more = [("message_id", &report.message_id), ("trace", &report.traceparent)];
                for (name, value) in more {
                    all.extend(value.clone().map(|value| (name, value)));
                }
            }
            Subject::Condition(condition) => {
                all.insert("description", condition.text.clone());
            }
        }
        all
    }

    /// The body of a message to an exchange.
    pub(super) fn message(&self, host: &str) -> Value {
        let (report, condition) = match &self.subject {
            Subject::Failure(report) => (Some(report), None),
            Subject::Condition(condition) => (None, Some(condition)),
        };
        json!({
            "id": self.id(host),
            "rule": self.rule,
            "name": self.name(),
            "status": self.status(),
            "severity": self.severity().as_str(),
            "summary": self.summary(),
            "host": host,
            "labels": self.all_labels(host),
            "count": self.count,
            "first_seen": time(self.first_s),
            "last_seen": time(self.last_s),
            "report": report,
            "condition": condition,
        })
    }

    /// The body of `POST /api/v2/alerts`.
    pub(super) fn alertmanager(&self, host: &str) -> Value {
        json!([{
            "labels": self.all_labels(host),
            "annotations": self.annotations(),
            "startsAt": time(self.first_s),
            "endsAt": time(self.ends_s),
        }])
    }

    /// What Alertmanager posts to its receivers.
    pub(super) fn webhook(&self, host: &str) -> Value {
        let labels = self.all_labels(host);
        let annotations = self.annotations();
        let ends = if self.firing { NOT_ENDED.to_owned() } else { time(self.ends_s) };
        let status = self.status();
        json!({
            "version": "4",
            "groupKey": format!("{{}}/{{rule={:?}}}:{{key={:?}}}", self.rule, self.key),
            "truncatedAlerts": 0,
            "status": status,
            "receiver": self.rule,
            "groupLabels": { "alertname": labels.get("alertname") },
            "commonLabels": labels,
            "commonAnnotations": annotations,
            "externalURL": "",
            "alerts": [{
                "status": status,
                "labels": labels,
                "annotations": annotations,
                "startsAt": time(self.first_s),
                "endsAt": ends,
                "generatorURL": "",
                "fingerprint": &digest(&[&self.rule, &self.key])[..16],
            }],
        })
    }
}

fn digest(parts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// RFC 3339.
fn time(s: u64) -> String {
    let s = i64::try_from(s).unwrap_or(i64::MAX);
    Timestamp::from_second(s).unwrap_or(Timestamp::MAX).to_string()
}

/// `broker_unreachable` as Prometheus would name an alert.
fn camel(words: &str) -> String {
    let words = words.split('_').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    });
    format!("Sluicegate{}", words.collect::<String>())
}

#[cfg(test)]
mod tests;
