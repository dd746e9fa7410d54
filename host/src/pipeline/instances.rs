//! A shard's plugin instances: one store per plugin, made when first needed, replaced when spent.

use std::sync::Arc;
use std::time::Duration;

use super::lane::Lane;
use super::shard::Guests;
use super::stages::Call;
use crate::limits::BATCH_CALL_SHARE;
use crate::plugin::{Batch, CallError, Decisions, Instance, Plugin};
use crate::telemetry::PipelineMetrics;
use crate::verdict::FailureClass;

/// How fast the measured cost per message follows what calls cost now.
const COST_WEIGHT: f64 = 0.2;

/// One shard's instances, by the plugin's place in the host's list.
pub struct Instances {
    slots: Vec<Slot>,
}

struct Slot {
    plugin: Arc<Plugin>,
    instance: Option<Instance>,
    /// Seconds per message, smoothed; 0 until measured.
    cost_s: f64,
}

/// The instances as one pipeline's stages see them.
pub struct Stages<'i> {
    /// The shard's instances.
    pub instances: &'i mut Instances,
    /// Each stage's plugin.
    pub plugins: &'i [usize],
    /// Where calls are counted.
    pub metrics: &'i PipelineMetrics,
}

impl Instances {
    /// Of these plugins; none is instantiated yet.
    #[must_use]
    pub fn new(plugins: &[Arc<Plugin>]) -> Self {
        let slots = plugins.iter().map(|plugin| Slot {
            plugin: Arc::clone(plugin),
            instance: None,
            cost_s: 0.0,
        });
        Self { slots: slots.collect() }
    }

    /// How many messages these plugins take in a share of their `call` limits.
    #[must_use]
    pub fn batch_messages(&self, plugins: &[usize]) -> usize {
        let fitting = plugins.iter().map(|&plugin| {
            let slot = &self.slots[plugin];
            let budget = slot.plugin.limits().call.as_secs_f64() * BATCH_CALL_SHARE;
            // Until it is measured, one: nobody knows how long a batch of more would hold the shard.
            if slot.cost_s > 0.0 { budget / slot.cost_s } else { 1.0 }
        });
        let fewest = fitting.fold(f64::INFINITY, f64::min).max(1.0);
        #[expect(clippy::cast_possible_truncation, reason = "saturates: infinity is no bound")]
        let fewest = fewest as usize;
        fewest
    }
}

impl Guests for Instances {
    fn work(&mut self, lane: &mut Lane) -> bool {
        let shape = Arc::clone(lane.shape());
        let plugins = &shape.plugins;
        let fitting = self.batch_messages(plugins);
        let mut stages = Stages { instances: self, plugins, metrics: &shape.metrics };
        lane.work(&mut stages, fitting, super::unix_us())
    }
}

impl Slot {
    fn call(
        &mut self,
        batch: &Batch<'_>,
        metrics: &PipelineMetrics,
    ) -> Result<Decisions, CallError> {
        let instance = match &mut self.instance {
            Some(instance) => instance,
            none => none.insert(self.plugin.instantiate()?),
        };
        let (decisions, cost) = instance.process(batch)?;
        metrics.called(self.plugin.name(), batch.messages.len(), cost.wall, cost.memory_bytes);
        self.measure(cost.wall, batch.messages.len());
        Ok(decisions)
    }

    fn measure(&mut self, wall: Duration, messages: usize) {
        let cost = wall.as_secs_f64() / messages as f64;
        self.cost_s = if self.cost_s == 0.0 {
            cost
        } else {
            self.cost_s + COST_WEIGHT * (cost - self.cost_s)
        };
    }
}

impl Call for Stages<'_> {
    fn call(&mut self, stage: usize, batch: &Batch<'_>) -> Result<Decisions, CallError> {
        let slot = &mut self.instances.slots[self.plugins[stage]];
        slot.call(batch, self.metrics).inspect_err(|error| {
            slot.instance = None;
            if error.class == FailureClass::Deadline {
                // Whatever waits behind it gets its turn before the next message that may take as long.
                slot.cost_s = slot.plugin.limits().call.as_secs_f64();
            }
            self.metrics.instance_replaced(slot.plugin.name(), error.class);
        })
    }
}
