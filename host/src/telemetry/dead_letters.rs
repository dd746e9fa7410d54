//! What dead-letter queues hold.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::families::{DeadLetterFamilies, Families, Labels};

/// The metrics of one dead-letter queue. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DeadLetterMetrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    messages: Gauge,
    archived: Counter,
    share: Gauge<f64, AtomicU64>,
    labels: Labels,
    /// Only queues whose oldest message may be looked at have a series.
    age: Family<Labels, Gauge>,
}

// === impl DeadLetterMetrics ===

impl DeadLetterMetrics {
    pub(super) fn new(broker: &str, queue: &str, families: &Families) -> Self {
        let labels = vec![("broker", broker.to_owned()), ("queue", queue.to_owned())];
        let DeadLetterFamilies { messages, age, share, archived } = &families.dead_letters;
        Self(Arc::new(Inner {
            messages: messages.get_or_create_owned(&labels),
            archived: archived.get_or_create_owned(&labels),
            share: share.get_or_create_owned(&labels),
            age: age.clone(),
            labels,
        }))
    }

    /// It holds so much, the oldest so old where that is known; so near is that to a limit, 1 being it.
    pub fn looked(&self, messages: u32, age: Option<Duration>, share: f64) {
        self.0.messages.set(messages.into());
        self.0.share.set(share);
        if let Some(age) = age {
            let age = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
            self.0.age.get_or_create_owned(&self.0.labels).set(age);
        }
    }

    /// So many letters more are in files.
    pub fn archived(&self, letters: u64) {
        self.0.archived.inc_by(letters);
    }
}
