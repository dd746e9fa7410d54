//! Who is told of what, as the operator means it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::secret::Secret;
use crate::notice::{ConditionKind, Severity};
use crate::verdict::FailureClass;

/// One rule: of what is told, how often, and where to.
#[derive(Clone, Debug, PartialEq)]
pub struct Notify {
    /// Its name: metrics, logs and receivers see it.
    pub name: String,
    /// What it is about.
    pub about: About,
    /// Failures of one cause within `within` from which on they are told.
    pub at_least: u32,
    /// The time in which so many must fail.
    pub within: Duration,
    /// A condition that ends before it has stood so long isn't told.
    pub after: Duration,
    /// Between two tellings of one cause or condition.
    pub cool_down: Duration,
    /// Failures of one cause count as over when there was none for so long.
    pub resolve_after: Duration,
    /// Tellings of this rule within a minute.
    pub per_minute: u32,
    /// Labels beside the host's own.
    pub labels: BTreeMap<String, String>,
    /// An exchange to publish to.
    pub exchange: Option<NotifyExchange>,
    /// An address to post to.
    pub webhook: Option<Webhook>,
}

/// What a rule is about. An empty list is no restriction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// Whether failures of messages are told.
    pub failures: bool,
    /// The conditions that are told.
    pub conditions: Vec<ConditionKind>,
    /// Of failures: their classes.
    pub classes: Vec<FailureClass>,
    /// Of failures: their codes.
    pub codes: Vec<String>,
    /// Of failures: the plugins to blame.
    pub plugins: Vec<String>,
    /// Of failures and conditions: the pipelines.
    pub pipelines: Vec<String>,
    /// Of failures and conditions: the queues.
    pub queues: Vec<String>,
    /// Of failures and conditions: how bad at least.
    pub severity: Option<Severity>,
}

/// An exchange that a rule publishes to.
#[derive(Clone, Debug, PartialEq)]
pub struct NotifyExchange {
    /// Its broker.
    pub broker: String,
    /// Its name.
    pub name: String,
    /// Routing key; `None` is severity and name of what is told.
    pub routing_key: Option<String>,
}

/// An address that a rule posts to.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    /// Where.
    pub url: Secret,
    /// What.
    pub format: WebhookFormat,
    /// Headers of the request.
    pub headers: BTreeMap<String, Secret>,
    /// Roots to verify `https://` with instead of the usual ones, PEM.
    pub ca: Option<PathBuf>,
}

/// What is posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookFormat {
    /// What Alertmanager posts to its receivers, version 4.
    Webhook,
    /// What Prometheus posts to Alertmanager: `POST /api/v2/alerts`.
    Alertmanager,
}
