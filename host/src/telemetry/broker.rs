//! What happens between the host and one broker.

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use serde::{Deserialize, Serialize};

use super::families::{Families, Labels};

/// The metrics of one broker. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BrokerMetrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    connected: Gauge,
    blocked: Gauge,
    reconnects: Counter,
    receipts_dropped: Counter,
}

/// The figures of one broker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerSnapshot {
    /// Its name in the config.
    pub name: String,
    /// Whether it is connected.
    pub connected: bool,
    /// Whether it takes no publishes (memory or disk alarm).
    pub blocked: bool,
    /// Connections made again.
    pub reconnects: u64,
    /// Deliveries released because nothing settled them: a bug.
    pub receipts_dropped: u64,
}

// === impl BrokerMetrics ===

impl BrokerMetrics {
    pub(super) fn new(name: &str, families: &Families) -> Self {
        let labels: Labels = vec![("broker", name.to_owned())];
        Self(Arc::new(Inner {
            name: name.to_owned(),
            connected: families.broker_connected.get_or_create_owned(&labels),
            blocked: families.broker_blocked.get_or_create_owned(&labels),
            reconnects: families.broker_reconnects.get_or_create_owned(&labels),
            receipts_dropped: families.broker_receipts_dropped.get_or_create_owned(&labels),
        }))
    }

    /// The broker is connected, or isn't any more.
    pub fn connected(&self, connected: bool) {
        self.0.connected.set(connected.into());
    }

    /// A connection that was lost is there again.
    pub fn reconnected(&self) {
        self.0.reconnects.inc();
    }

    /// The broker takes no publishes, or takes them again.
    pub fn blocked(&self, blocked: bool) {
        if self.0.blocked.set(blocked.into()) == i64::from(blocked) {
            return;
        }
        let broker = &self.0.name;
        if blocked {
            tracing::warn!(broker, "broker takes no publishes: memory or disk alarm");
        } else {
            tracing::info!(broker, "broker takes publishes again");
        }
    }

    /// So many deliveries were released since the start because nothing settled them.
    pub fn receipts_dropped(&self, total: u64) {
        let more = total.saturating_sub(self.0.receipts_dropped.get());
        self.0.receipts_dropped.inc_by(more);
    }

    /// The figures now.
    #[must_use]
    pub fn snapshot(&self) -> BrokerSnapshot {
        BrokerSnapshot {
            name: self.0.name.clone(),
            connected: self.0.connected.get() == 1,
            blocked: self.0.blocked.get() == 1,
            reconnects: self.0.reconnects.get(),
            receipts_dropped: self.0.receipts_dropped.get(),
        }
    }
}
