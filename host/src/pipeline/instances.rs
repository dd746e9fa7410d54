//! A shard's plugin instances: one store per plugin, made when first needed, replaced when spent.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::address::OutputTarget;
use super::guard::Guard;
use super::lane::Lane;
use super::observe::{Called, Observer};
use super::shape::Shape;
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
    /// The versions that each lane runs on; lanes by their pipeline's index.
    lanes: HashMap<u16, Versions>,
}

/// The versions that a lane runs on, stage by stage.
#[derive(Default)]
struct Versions {
    serving: Vec<Place>,
    /// Those before, where something may have to run on them again.
    former: Vec<Place>,
}

/// Which of a lane's versions are to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that serve.
    Serving,
    /// Those before.
    Former,
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
        let versions = self.lanes.get(&lane);
        versions.is_none_or(|it| !plugins.iter().map(serves).eq(it.serving.iter().copied()))
    }

    /// Takes the versions that serve now, ready to be called, and keeps those before as the former ones.
    /// Called where none of the former ones' messages can run again any more, so that all that a message
    /// leads to comes from the same versions.
    pub fn follow(&mut self, lane: u16, plugins: &[Arc<PluginSlot>]) {
        let places = plugins.iter().map(|slot| {
            let (generation, serving) = slot.serving();
            let place = (slot.id(), generation);
            self.slots.entry(place).or_insert_with(|| {
                Slot::new(serving.plugin, serving.shadow, Arc::clone(slot.guard()))
            });
            place
        });
        let serving: Vec<Place> = places.collect();
        for place in &serving {
            if let Some(slot) = self.slots.get_mut(place) {
                slot.prepare();
            }
        }
        let versions = self.lanes.entry(lane).or_default();
        versions.former = std::mem::replace(&mut versions.serving, serving);
        self.forget_unused();
    }

    /// The versions before aren't needed by that lane any more.
    fn forget_former(&mut self, lane: u16) {
        let versions = self.lanes.get_mut(&lane);
        if versions.is_some_and(|it| !std::mem::take(&mut it.former).is_empty()) {
            self.forget_unused();
        }
    }

    fn forget_unused(&mut self) {
        let lanes = &self.lanes;
        self.slots.retain(|place, _| lanes.values().any(|it| it.uses(place)));
    }

    /// How many messages a lane's plugins take in a share of their `call` limits.
    #[must_use]
    pub fn batch_messages(&self, lane: u16, which: Which) -> usize {
        let places = self.lanes.get(&lane).map_or(&[][..], |it| it.of(which));
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

    /// Those versions of a lane, to be called.
    pub fn stages<'i>(
        &'i mut self,
        (lane, which): (u16, Which),
        pipeline: &'i str,
        (observers, outputs): (&'i [Arc<dyn Observer>], &'i [OutputTarget]),
        metrics: &'i PipelineMetrics,
    ) -> Stages<'i> {
        let places = self.lanes.get(&lane).map_or_else(Vec::new, |it| it.of(which).to_vec());
        Stages { instances: self, pipeline, places, observers, outputs, metrics }
    }
}

impl Instances {
    /// Those versions of a lane with the outside that they run in, and how many messages they take.
    fn turn<'i>(&'i mut self, shape: &'i Shape, which: Which) -> (Stages<'i>, usize) {
        let fitting = self.batch_messages(shape.index, which);
        let watched = (&*shape.observers, &*shape.addresses.outputs);
        (self.stages((shape.index, which), &shape.name, watched, &shape.metrics), fitting)
    }
}

impl Guests for Instances {
    fn work(&mut self, lane: &mut Lane) -> bool {
        let shape = Arc::clone(lane.shape());
        if self.moved(shape.index, &shape.plugins) && lane.change_versions() {
            self.follow(shape.index, &shape.plugins);
            lane.versions_changed();
        }
        if lane.needs_former() {
            let (mut stages, fitting) = self.turn(&shape, Which::Former);
            if lane.work_again(&mut stages, fitting, shape.clock.now_us()) {
                return true;
            }
        } else {
            self.forget_former(shape.index);
        }
        let (mut stages, fitting) = self.turn(&shape, Which::Serving);
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
        self.lanes.retain(|_, it| it.serving.iter().all(|place| slots.contains_key(place)));
    }
}

impl Versions {
    fn of(&self, which: Which) -> &[Place] {
        match which {
            Which::Serving => &self.serving,
            Which::Former => &self.former,
        }
    }

    fn uses(&self, place: &Place) -> bool {
        self.serving.contains(place) || self.former.contains(place)
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

    /// Makes the instances that a call will need. One that can't be made says so when it is called.
    fn prepare(&mut self) {
        if self.instance().is_ok()
            && self.shadow_instance.is_none()
            && let Some(plugin) = self.shadow()
        {
            self.shadow_instance = plugin.instantiate().ok();
        }
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
