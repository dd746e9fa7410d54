//! A shard's plugin instances: one store per plugin, made when first needed, replaced when spent.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::address::OutputTarget;
use super::guard::Guard;
use super::lane::Lane;
use super::observe::{Called, Observer};
use super::shard::Guests;
use super::slot::{PluginSlot, Shadowing};
use super::stages::{Call, Version};
use crate::limits::{BATCH_CALL_SHARE, RECYCLE_FACTOR, RECYCLE_INTERVAL, RECYCLE_SHARE};
use crate::plugin::{Batch, CallCost, CallError, Decisions, Instance, Plugin};
use crate::reference::Table;
use crate::telemetry::PipelineMetrics;
use crate::verdict::FailureClass;

/// How fast the measured cost per message follows what calls cost now.
const COST_WEIGHT: f64 = 0.2;

/// One shard's instances, by their slots and versions.
#[derive(Default)]
pub struct Instances {
    slots: HashMap<Place, Slot>,
    /// The versions that each lane runs on, stage by stage; lanes by their pipeline's index.
    lanes: HashMap<u16, Vec<Place>>,
}

/// A plugin slot's id, and its generation when its version was taken.
type Place = (u64, u64);

struct Slot {
    plugin: Arc<Plugin>,
    guard: Arc<Guard>,
    instance: Option<Instance>,
    shadow: Option<Arc<Shadowing>>,
    shadow_instance: Option<Instance>,
    /// Seconds per message, smoothed; 0 until measured.
    cost_s: f64,
    /// When an instance was last replaced for what it held.
    recycled: Option<Instant>,
}

/// The instances as one pipeline's stages see them.
pub struct Stages<'i> {
    /// The shard's instances.
    pub instances: &'i mut Instances,
    /// The pipeline's name.
    pub pipeline: &'i str,
    /// Each stage's version.
    places: Vec<Place>,
    /// Who looks on.
    pub observers: &'i [Arc<dyn Observer>],
    /// The outputs that the pipeline has.
    outputs: &'i [OutputTarget],
    /// Where calls are counted.
    pub metrics: &'i PipelineMetrics,
}

impl Instances {
    /// Whether other versions serve than those that this lane runs on.
    #[must_use]
    pub fn moved(&self, lane: u16, plugins: &[Arc<PluginSlot>]) -> bool {
        let serves = |slot: &Arc<PluginSlot>| (slot.id(), slot.generation());
        let places = self.lanes.get(&lane);
        places.is_none_or(|places| !plugins.iter().map(serves).eq(places.iter().copied()))
    }

    /// Takes the versions that serve now. Called where nothing is under way in that lane, so that all
    /// that a message leads to comes from the same ones.
    pub fn follow(&mut self, lane: u16, plugins: &[Arc<PluginSlot>]) {
        let places = plugins.iter().map(|slot| {
            let (generation, serving) = slot.serving();
            let place = (slot.id(), generation);
            self.slots.entry(place).or_insert_with(|| {
                Slot::new(serving.plugin, serving.shadow, Arc::clone(slot.guard()))
            });
            place
        });
        let places = places.collect();
        self.lanes.insert(lane, places);
        let lanes = &self.lanes;
        self.slots.retain(|place, _| lanes.values().any(|places| places.contains(place)));
    }

    /// How many messages a lane's plugins take in a share of their `call` limits.
    #[must_use]
    pub fn batch_messages(&self, lane: u16) -> usize {
        let places = self.lanes.get(&lane).map_or(&[][..], Vec::as_slice);
        let fitting = places.iter().map(|place| {
            let Some(slot) = self.slots.get(place) else { return 1.0 };
            let budget = slot.plugin.limits().call.as_secs_f64() * BATCH_CALL_SHARE;
            // Until it is measured, one: nobody knows how long a batch of more would hold the shard.
            if slot.cost_s > 0.0 { budget / slot.cost_s } else { 1.0 }
        });
        let fewest = fitting.fold(f64::INFINITY, f64::min).max(1.0);
        #[expect(clippy::cast_possible_truncation, reason = "saturates: infinity is no bound")]
        let fewest = fewest as usize;
        fewest
    }

    /// The versions that this lane runs on, to be called.
    pub fn stages<'i>(
        &'i mut self,
        lane: u16,
        pipeline: &'i str,
        (observers, outputs): (&'i [Arc<dyn Observer>], &'i [OutputTarget]),
        metrics: &'i PipelineMetrics,
    ) -> Stages<'i> {
        let places = self.lanes.get(&lane).cloned().unwrap_or_default();
        Stages { instances: self, pipeline, places, observers, outputs, metrics }
    }
}

impl Guests for Instances {
    fn work(&mut self, lane: &mut Lane) -> bool {
        let shape = Arc::clone(lane.shape());
        if self.moved(shape.index, &shape.plugins) {
            if lane.rests() {
                self.follow(shape.index, &shape.plugins);
                lane.go_on();
            } else {
                lane.wind_down();
            }
        }
        let fitting = self.batch_messages(shape.index);
        let watched = (&*shape.observers, &*shape.addresses.outputs);
        let mut stages = self.stages(shape.index, &shape.name, watched, &shape.metrics);
        lane.work(&mut stages, fitting, shape.clock.now_us())
    }

    fn retire(&mut self, gone: &[u64], left: &BTreeSet<u64>) {
        self.slots.retain(|(id, _), _| left.contains(id));
        for (_, slot) in self.slots.iter_mut().filter(|((id, _), _)| gone.contains(id)) {
            // It may keep state under generations that the next pipeline in that place uses too.
            slot.instance = None;
            slot.shadow_instance = None;
        }
        let slots = &self.slots;
        self.lanes.retain(|_, places| places.iter().all(|place| slots.contains_key(place)));
    }
}

impl Slot {
    fn new(plugin: Arc<Plugin>, shadow: Option<Arc<Shadowing>>, guard: Arc<Guard>) -> Self {
        Self {
            plugin,
            guard,
            instance: None,
            shadow,
            shadow_instance: None,
            cost_s: 0.0,
            recycled: None,
        }
    }

    /// The version that is run beside this one.
    fn shadow(&self) -> Option<&Arc<Plugin>> {
        self.shadow.as_ref()?.plugin()
    }

    fn call(
        &mut self,
        batch: &Batch<'_>,
        metrics: &PipelineMetrics,
    ) -> Result<(Decisions, CallCost), CallError> {
        let (decisions, cost) = self.instance()?.process(batch)?;
        metrics.called(self.plugin.name(), batch.messages.len(), cost.wall, cost.memory_bytes);
        self.measure(cost.wall, batch.messages.len());
        self.recycle(cost.memory_bytes, metrics);
        Ok((decisions, cost))
    }

    fn instance(&mut self) -> Result<&mut Instance, CallError> {
        match &mut self.instance {
            Some(instance) => Ok(instance),
            none => Ok(none.insert(self.plugin.instantiate()?)),
        }
    }

    /// Lets an instance go whose memory has grown past its mark: a guest never gives memory back, and one
    /// that leaks is replaced before it fails a message.
    fn recycle(&mut self, memory_bytes: usize, metrics: &PipelineMetrics) {
        let Some(instance) = &self.instance else { return };
        let share = self.plugin.limits().memory_bytes as f64 * RECYCLE_SHARE;
        let grown = instance.memory_at_start().saturating_mul(RECYCLE_FACTOR);
        let lately = self.recycled.is_some_and(|at| at.elapsed() < RECYCLE_INTERVAL);
        if lately || memory_bytes <= grown || (memory_bytes as f64) < share {
            return;
        }
        tracing::debug!(plugin = self.plugin.name(), memory_bytes, "an instance is replaced");
        self.instance = None;
        self.recycled = Some(Instant::now());
        metrics.instance_recycled(self.plugin.name());
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

impl Stages<'_> {
    fn slot(&mut self, stage: usize) -> Result<&mut Slot, CallError> {
        let place = self.places.get(stage);
        place.and_then(|place| self.instances.slots.get_mut(place)).ok_or_else(|| CallError {
            class: FailureClass::Trap,
            text: "no version of its plugin was taken".to_owned(),
            backtrace: Vec::new(),
        })
    }
}

impl Call for Stages<'_> {
    fn version(&self, stage: usize) -> Version<'_> {
        let slot = self.places.get(stage).and_then(|place| self.instances.slots.get(place));
        let schema = |plugin: &Arc<Plugin>| plugin.description().state_version;
        slot.map_or_else(Version::default, |slot| Version {
            digest: slot.plugin.digest(),
            stateful: slot.plugin.stateful(),
            schema: schema(&slot.plugin).unwrap_or_default(),
            shadow: slot.shadow().and_then(schema),
        })
    }

    fn call(
        &mut self,
        stage: usize,
        batch: &Batch<'_>,
        tables: &[Arc<Table>],
    ) -> Result<Decisions, CallError> {
        let metrics = self.metrics;
        let slot = self.slot(stage)?;
        let ticket = slot.guard.admit()?;
        let result = slot.call(batch, metrics).inspect_err(|error| {
            slot.instance = None;
            if error.class == FailureClass::Deadline {
                // Whatever waits behind it gets its turn before the next message that may take as long.
                slot.cost_s = slot.plugin.limits().call.as_secs_f64();
            }
            metrics.instance_replaced(slot.plugin.name(), error.class);
        });
        let plugin = Arc::clone(&slot.plugin);
        let units = batch.messages.len();
        slot.guard.note(ticket, plugin.name(), units, result.as_ref().err());
        let called = Called {
            pipeline: self.pipeline,
            stage,
            plugin: &plugin,
            batch,
            tables,
            outputs: self.outputs,
            result: result.as_ref().map(|(decisions, _)| decisions),
            cost: result.as_ref().map(|(_, cost)| *cost).unwrap_or_default(),
        };
        self.observers.iter().for_each(|observer| observer.called(&called));
        result.map(|(decisions, _)| decisions)
    }

    fn migrate(&mut self, stage: usize, from: u32, state: &[u8]) -> Result<Bytes, CallError> {
        let metrics = self.metrics;
        let slot = self.slot(stage)?;
        let migrated = slot.instance().and_then(|instance| instance.migrate(from, state));
        migrated.inspect_err(|error| {
            slot.instance = None;
            metrics.instance_replaced(slot.plugin.name(), error.class);
        })
    }

    fn shadow(&mut self, stage: usize, batch: &Batch<'_>) -> Result<Decisions, CallError> {
        let slot = self.slot(stage)?;
        let Some(plugin) = slot.shadow().map(Arc::clone) else {
            slot.shadow_instance = None;
            return Ok(Decisions::unchanged(batch));
        };
        let instance = match &mut slot.shadow_instance {
            Some(instance) => instance,
            none => none.insert(plugin.instantiate()?),
        };
        let result = instance.process(batch).map(|(decisions, _)| decisions);
        result.inspect_err(|_| slot.shadow_instance = None)
    }
}
