//! What one plugin does in one pipeline, counted.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::telemetry::families::{Families, Labels};
use crate::telemetry::histogram::Histogram;
use crate::telemetry::snapshot::PluginSnapshot;
use crate::verdict::FailureClass;

#[derive(Clone, Debug)]
pub(super) struct Plugin {
    pub(super) calls: Histogram,
    pub(super) messages: Counter,
    pub(super) memory: Gauge,
    pub(super) replaced: [Counter; FailureClass::ALL.len()],
    pub(super) recycled: Counter,
    /// Calls that were run again: answered the same, and not.
    pub(super) rechecked: [Counter; 2],
}

#[derive(Debug)]
pub(super) struct PluginFamilies {
    calls: Family<Labels, Histogram>,
    messages: Family<Labels, Counter>,
    memory: Family<Labels, Gauge>,
    replaced: Family<Labels, Counter>,
    recycled: Family<Labels, Counter>,
    rechecked: Family<Labels, Counter>,
}

// === impl PluginFamilies ===

impl PluginFamilies {
    pub(super) fn of(families: &Families) -> Self {
        Self {
            calls: families.calls.clone(),
            messages: families.called_messages.clone(),
            memory: families.plugin_memory.clone(),
            replaced: families.instances.replaced.clone(),
            recycled: families.instances.recycled.clone(),
            rechecked: families.instances.rechecked.clone(),
        }
    }

    /// The counters under these labels.
    pub(super) fn plugin(&self, labels: &Labels) -> Plugin {
        let labelled = |family: &Family<Labels, Counter>, name, value: &str| {
            let mut labels = labels.clone();
            labels.push((name, value.to_owned()));
            family.get_or_create_owned(&labels)
        };
        Plugin {
            calls: self.calls.get_or_create_owned(labels),
            messages: self.messages.get_or_create_owned(labels),
            memory: self.memory.get_or_create_owned(labels),
            replaced: FailureClass::ALL
                .map(|class| labelled(&self.replaced, "class", class.as_str())),
            recycled: self.recycled.get_or_create_owned(labels),
            rechecked: ["same", "impure"]
                .map(|outcome| labelled(&self.rechecked, "outcome", outcome)),
        }
    }
}

// === impl Plugin ===

impl Plugin {
    pub(super) fn snapshot(&self) -> PluginSnapshot {
        PluginSnapshot {
            calls: self.calls.count(),
            messages: self.messages.get(),
            call_seconds: self.calls.sum_s(),
            memory_bytes: self.memory.get(),
            instances_replaced: self.replaced.iter().map(Counter::get).sum(),
        }
    }
}
