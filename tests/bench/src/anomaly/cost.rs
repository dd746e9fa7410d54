//! What a reading costs in the sandbox: decoding, judging, and what is kept of its meter, of two quantities or one.

use std::sync::Arc;

use anyhow::anyhow;
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use sluicegate::message::Properties;
use sluicegate::plugin::{Batch, Input, Instance, StateChange, StateSlot};

use super::{NOW_US, input, instance, properties};
use crate::dispatch::Effort;
use crate::method::{Contender, Done, Row, compare};

/// Meters, and readings of each before all begin anew.
const METERS: usize = 1000;
const TURNS: usize = 400;
/// 2026-01-01, and the seconds between two readings.
const START_S: usize = 1_767_225_600;
const INTERVAL_S: usize = 900;

/// What was compared.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    /// Readings of a call.
    pub batch: usize,
    /// How it came out.
    pub rows: Vec<Row>,
    /// Bytes of a meter's state, by quantities.
    pub state_bytes: [usize; 2],
}

/// What a reading costs in batches of that many: of a quantity that isn't watched, which is decoded and passed on;
/// of one that is; of two.
///
/// # Errors
/// The plugin can't be loaded, or fails.
pub fn cost(batch: usize, effort: Effort) -> anyhow::Result<Cost> {
    let bodies = Arc::new(bodies()?);
    let quantity = |name: &str, field: &str| json!({ "name": name, "field": field });
    let none = json!({ "quantities": [quantity("other", "other")] });
    let one = json!({ "quantities": [quantity("consumption", "kwh")] });
    let mut contenders: Vec<Box<dyn Contender>> = Vec::new();
    let all = [
        ("not watched", none.clone()),
        ("not watched, again", none),
        ("one quantity", one.clone()),
        ("one quantity, again", one),
        ("two quantities", json!({})),
    ];
    let mut state_bytes = [0; 2];
    for (name, config) in all {
        let mut readings = Readings::new(name, &config, Arc::clone(&bodies), batch)?;
        readings.take(2 * METERS / batch)?;
        let bytes = readings.states.iter().flatten().map(Bytes::len).max().unwrap_or(0);
        match name {
            "one quantity" => state_bytes[0] = bytes,
            "two quantities" => state_bytes[1] = bytes,
            _ => {}
        }
        contenders.push(Box::new(readings));
    }
    let rows = compare(&mut contenders, effort.rounds, effort.turn)?;
    Ok(Cost { batch, rows, state_bytes })
}

/// Readings of all meters in turn, as MessagePack.
fn bodies() -> anyhow::Result<Vec<Bytes>> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut bodies = Vec::with_capacity(METERS * TURNS);
    for turn in 0..TURNS {
        for meter in 0..METERS {
            let usual = 0.2 + 0.04 * ((turn + meter) % 96) as f64;
            let kwh = (1000.0 * (usual + 0.1 * random.f64())).round() / 1000.0;
            let voltage = (2300.0 + 30.0 * random.f64()).round() / 10.0;
            let body = json!({
                "meter": format!("m-{meter:04}"),
                "ts": START_S + turn * INTERVAL_S,
                "kwh": kwh,
                "voltage": voltage,
            });
            bodies.push(rmp_serde::to_vec_named(&body)?.into());
        }
    }
    Ok(bodies)
}

/// The plugin in an instance of its own, with its meters' states.
struct Readings {
    name: &'static str,
    instance: Instance,
    bodies: Arc<Vec<Bytes>>,
    batch: usize,
    next: usize,
    properties: Properties,
    keys: Vec<String>,
    states: Vec<Option<Bytes>>,
    generations: Vec<u64>,
}

impl Readings {
    fn new(
        name: &'static str,
        config: &Value,
        bodies: Arc<Vec<Bytes>>,
        batch: usize,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            name,
            instance: instance(config)?,
            bodies,
            batch,
            next: 0,
            properties: properties("application/msgpack"),
            keys: (0..METERS).map(|meter| format!("m-{meter:04}")).collect(),
            states: vec![None; METERS],
            generations: vec![0; METERS],
        })
    }

    fn call(&mut self, done: &mut Done) -> anyhow::Result<()> {
        if self.next + self.batch > self.bodies.len() {
            // Readings would be late otherwise.
            self.next = 0;
            self.states.fill(None);
            self.generations.iter_mut().for_each(|generation| *generation += 1);
        }
        let bodies = &self.bodies[self.next..self.next + self.batch];
        let meters: Vec<usize> =
            (self.next..self.next + self.batch).map(|at| at % METERS).collect();
        self.next += self.batch;
        // No meter is twice in a batch.
        let inputs: Vec<Input<'_>> = (0..)
            .zip(bodies.iter().zip(&meters))
            .map(|(slot, (body, meter))| input(&self.keys[*meter], &self.properties, body, slot))
            .collect();
        let states: Vec<StateSlot<'_>> = meters
            .iter()
            .map(|meter| StateSlot {
                bytes: self.states[*meter].as_deref().map(Into::into),
                generation: self.generations[*meter],
            })
            .collect();
        let batch = Batch { now_us: NOW_US, messages: &inputs, states: &states };
        let (decisions, _) = self.instance.process(&batch).map_err(|error| anyhow!("{error}"))?;
        drop(states);
        done.messages += decisions.messages.len() as u64;
        for (meter, change) in meters.into_iter().zip(decisions.states) {
            if let StateChange::Set(bytes) = change {
                self.states[meter] = Some(bytes);
                self.generations[meter] += 1;
            }
        }
        Ok(())
    }
}

impl Contender for Readings {
    fn name(&self) -> &str {
        self.name
    }

    fn take(&mut self, batches: usize) -> anyhow::Result<Done> {
        let mut done = Done::default();
        for _ in 0..batches {
            self.call(&mut done)?;
        }
        Ok(done)
    }
}
