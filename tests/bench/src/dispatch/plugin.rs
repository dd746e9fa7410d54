//! sluicegate's sandbox: encode, call, decode, and what the host keeps of the answer.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::anyhow;
use bytes::Bytes;
use sluicegate::config::PluginLimits;
use sluicegate::plugin::{Batch, Engine, EngineOptions, Input, Instance, StateChange, StateSlot};
use sluicegate::verdict::Verdict;

use super::{Logic, Turns};
use crate::guests;
use crate::method::{Contender, Done};
use crate::sample::Sample;

/// A plugin in an instance of its own, with its keys' states.
pub struct Sandboxed {
    instance: Instance,
    turns: Turns,
    states: HashMap<Arc<str>, (Bytes, u64)>,
    stateful: bool,
    now_us: u64,
}

impl Sandboxed {
    /// Loads the plugin for that logic.
    ///
    /// # Errors
    /// It doesn't load.
    pub fn new(logic: Logic, samples: &[Sample], batch: usize) -> anyhow::Result<Self> {
        let engine = Engine::new(EngineOptions::default())?;
        let stateful = logic == Logic::Anomaly;
        let (name, wasm) =
            if stateful { ("anomaly", guests::ANOMALY) } else { ("plain", guests::PLAIN) };
        let other = std::env::var_os("BENCH_GUESTS").map(std::path::PathBuf::from);
        let other = other.map(|dir| std::fs::read(dir.join(format!("bench_{name}.wasm"))));
        let other = other.transpose()?;
        let wasm = other.as_deref().unwrap_or(wasm);
        let config = rmp_serde::to_vec_named(&serde_json::json!({ "logic": logic.as_str() }))?;
        let plugin = engine.load("bench", wasm, &config, &PluginLimits::default())?;
        Ok(Self {
            instance: plugin.instantiate()?,
            turns: Turns::new(samples, batch),
            states: HashMap::new(),
            stateful,
            now_us: 1_767_225_600_000_000,
        })
    }

    fn call(&mut self, done: &mut Done) -> anyhow::Result<()> {
        let samples = self.turns.next();
        let mut places: HashMap<&str, u32> = HashMap::new();
        let mut keys: Vec<&Arc<str>> = Vec::new();
        let inputs: Vec<Input<'_>> = samples
            .iter()
            .map(|sample| {
                let slot = self.stateful.then(|| {
                    let next = u32::try_from(keys.len()).unwrap_or(u32::MAX);
                    *places.entry(&sample.key).or_insert_with(|| {
                        keys.push(&sample.key);
                        next
                    })
                });
                Input {
                    exchange: "meters",
                    routing_key: &sample.routing_key,
                    key: Some(&sample.key),
                    properties: &sample.properties,
                    body: &sample.body,
                    attempt: 1,
                    seed: [7; 16],
                    slot,
                    row: None,
                    due_us: None,
                }
            })
            .collect();
        let states: Vec<StateSlot<'_>> = keys
            .iter()
            .map(|key| match self.states.get(&***key) {
                Some((bytes, generation)) => {
                    StateSlot { bytes: Some((&**bytes).into()), generation: *generation }
                }
                None => StateSlot { bytes: None, generation: 0 },
            })
            .collect();
        self.now_us += 1000;
        let batch = Batch { now_us: self.now_us, messages: &inputs, states: &states };
        let (decisions, _) = self.instance.process(&batch).map_err(|error| anyhow!("{error}"))?;
        drop(states);
        for decision in &decisions.messages {
            done.messages += 1;
            done.refused += u64::from(matches!(decision.verdict, Verdict::Reject { .. }));
            done.told += decision.emissions.len() as u64;
        }
        for (key, change) in keys.into_iter().zip(decisions.states) {
            if let StateChange::Set(bytes) = change {
                match self.states.get_mut(&**key) {
                    Some(state) => *state = (bytes, state.1 + 1),
                    None => drop(self.states.insert(Arc::clone(key), (bytes, 1))),
                }
            }
        }
        Ok(())
    }
}

impl Contender for Sandboxed {
    fn name(&self) -> &str {
        "sluicegate"
    }

    fn take(&mut self, batches: usize) -> anyhow::Result<Done> {
        let mut done = Done::default();
        for _ in 0..batches {
            self.call(&mut done)?;
        }
        Ok(done)
    }
}
