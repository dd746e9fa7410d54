//! A shard's plugin instances: one store per plugin, made when first needed, replaced when spent.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::lane::Lane;
use super::observe::{Called, Observer};
use super::shard::Guests;
use super::slot::PluginSlot;
use super::stages::Call;
use crate::limits::BATCH_CALL_SHARE;
use crate::plugin::{Batch, CallCost, CallError, Decisions, Instance, Plugin};
use crate::telemetry::PipelineMetrics;
use crate::verdict::FailureClass;

/// How fast the measured cost per message follows what calls cost now.
const COST_WEIGHT: f64 = 0.2;

/// One shard's instances, by their slots.
#[derive(Default)]
pub struct Instances {
    slots: HashMap<u64, Slot>,
}

struct Slot {
    /// Of the plugin slot, when its version was taken.
    generation: u64,
    plugin: Arc<Plugin>,
    instance: Option<Instance>,
    /// Seconds per message, smoothed; 0 until measured.
    cost_s: f64,
}

/// The instances as one pipeline's stages see them.
pub struct Stages<'i> {
    /// The shard's instances.
    pub instances: &'i mut Instances,
    /// The pipeline's name.
    pub pipeline: &'i str,
    /// Each stage's plugin.
    pub plugins: &'i [Arc<PluginSlot>],
    /// Who looks on.
    pub observers: &'i [Arc<dyn Observer>],
    /// Where calls are counted.
    pub metrics: &'i PipelineMetrics,
}

impl Instances {
    /// Takes the versions that serve now. Called between two batches, so that a batch sees one.
    pub fn follow(&mut self, plugins: &[Arc<PluginSlot>]) {
        for plugin in plugins {
            let generation = plugin.generation();
            if self.slots.get(&plugin.id()).is_none_or(|slot| slot.generation != generation) {
                self.slots.insert(plugin.id(), Slot::new(generation, plugin.current()));
            }
        }
    }

    /// How many messages these plugins take in a share of their `call` limits.
    #[must_use]
    pub fn batch_messages(&self, plugins: &[Arc<PluginSlot>]) -> usize {
        let fitting = plugins.iter().map(|plugin| {
            let Some(slot) = self.slots.get(&plugin.id()) else { return 1.0 };
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
        self.follow(plugins);
        let fitting = self.batch_messages(plugins);
        let mut stages = Stages {
            instances: self,
            pipeline: &shape.name,
            plugins,
            observers: &shape.observers,
            metrics: &shape.metrics,
        };
        lane.work(&mut stages, fitting, super::unix_us())
    }

    fn retire(&mut self, gone: &[u64], left: &BTreeSet<u64>) {
        self.slots.retain(|id, _| left.contains(id));
        for id in gone {
            // It may keep state under generations that the next pipeline in that place uses too.
            if let Some(slot) = self.slots.get_mut(id) {
                slot.instance = None;
            }
        }
    }
}

impl Slot {
    fn new(generation: u64, plugin: Arc<Plugin>) -> Self {
        Self { generation, plugin, instance: None, cost_s: 0.0 }
    }

    fn call(
        &mut self,
        batch: &Batch<'_>,
        metrics: &PipelineMetrics,
    ) -> Result<(Decisions, CallCost), CallError> {
        let instance = match &mut self.instance {
            Some(instance) => instance,
            none => none.insert(self.plugin.instantiate()?),
        };
        let (decisions, cost) = instance.process(batch)?;
        metrics.called(self.plugin.name(), batch.messages.len(), cost.wall, cost.memory_bytes);
        self.measure(cost.wall, batch.messages.len());
        Ok((decisions, cost))
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
        let plugin = &self.plugins[stage];
        let slots = &mut self.instances.slots;
        let slot = slots
            .entry(plugin.id())
            .or_insert_with(|| Slot::new(plugin.generation(), plugin.current()));
        let result = slot.call(batch, self.metrics).inspect_err(|error| {
            slot.instance = None;
            if error.class == FailureClass::Deadline {
                // Whatever waits behind it gets its turn before the next message that may take as long.
                slot.cost_s = slot.plugin.limits().call.as_secs_f64();
            }
            self.metrics.instance_replaced(slot.plugin.name(), error.class);
        });
        let called = Called {
            pipeline: self.pipeline,
            stage,
            plugin: &slot.plugin,
            batch,
            result: result.as_ref().map(|(decisions, _)| decisions),
            cost: result.as_ref().map(|(_, cost)| *cost).unwrap_or_default(),
        };
        self.observers.iter().for_each(|observer| observer.called(&called));
        result.map(|(decisions, _)| decisions)
    }
}
