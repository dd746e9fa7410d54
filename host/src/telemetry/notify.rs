//! What becomes of notifications.

use std::sync::Arc;
use std::time::Instant;

use prometheus_client::metrics::counter::Counter;

use super::families::Families;
use super::throttle::Throttle;
use crate::limits;

/// The metrics of one rule's way to one receiver. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NotifyMetrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rule: String,
    receiver: &'static str,
    sent: Counter,
    retried: Counter,
    dropped: Counter,
    lines: Throttle,
}

// === impl NotifyMetrics ===

impl NotifyMetrics {
    pub(super) fn new(rule: &str, receiver: &'static str, families: &Families) -> Self {
        let counter = |outcome: &str| {
            families.told.notifications.get_or_create_owned(&vec![
                ("rule", rule.to_owned()),
                ("receiver", receiver.to_owned()),
                ("outcome", outcome.to_owned()),
            ])
        };
        Self(Arc::new(Inner {
            rule: rule.to_owned(),
            receiver,
            sent: counter("sent"),
            retried: counter("retried"),
            dropped: counter("dropped"),
            lines: Throttle::per_second(limits::NOTIFY_LOG_LINES_PER_S),
        }))
    }

    /// The receiver took it.
    pub fn sent(&self) {
        self.0.sent.inc();
    }

    /// An attempt failed; there will be another.
    pub fn retried(&self, why: &str) {
        self.0.retried.inc();
        self.log(why, "a notification wasn't taken; trying again");
    }

    /// It was given up.
    pub fn dropped(&self, why: &str) {
        self.0.dropped.inc();
        self.log(why, "a notification is dropped");
    }

    fn log(&self, why: &str, what: &str) {
        let Some(suppressed) = self.0.lines.admit(Instant::now()) else { return };
        let suppressed = (suppressed > 0).then_some(suppressed);
        tracing::warn!(rule = self.0.rule, receiver = self.0.receiver, why, suppressed, "{what}");
    }
}
