//! sluicegate's sandbox: encode, call, decode, and what the host keeps of the answer.

use std::sync::Arc;

use anyhow::anyhow;
use bytes::Bytes;
use sluicegate::config::PluginLimits;
use sluicegate::plugin::{Batch, Engine, EngineOptions, Input, Instance, StateChange, StateSlot};
use sluicegate::verdict::Verdict;

use super::{HashMap, Logic, Turns};
use crate::guests;
use crate::method::{Contender, Done};
use crate::sample::Sample;

/// A plugin in an instance of its own, with its keys' states.
pub struct Sandboxed {
    instance: Instance,
    turns: Turns,
    places: HashMap<Arc<str>, usize>,
    states: Vec<State>,
    stateful: bool,
    batch: u64,
    now_us: u64,
}

/// What is kept of a key.
struct State {
    bytes: Option<Bytes>,
    generation: u64,
    /// Its slot in that batch.
    slot: (u64, u32),
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
            places: HashMap::default(),
            states: Vec::new(),
            stateful,
            batch: 0,
            now_us: 1_767_225_600_000_000,
        })
    }

    fn call(&mut self, done: &mut Done) -> anyhow::Result<()> {
        let samples = self.turns.take();
        self.batch += 1;
        // Which keys the batch has, by place in `states`.
        let mut keys: Vec<usize> = Vec::new();
        let inputs: Vec<Input<'_>> = samples
            .iter()
            .map(|sample| {
                let slot = self.stateful.then(|| {
                    let at = match self.places.get(&*sample.key) {
                        Some(at) => *at,
                        None => {
                            let none = State { bytes: None, generation: 0, slot: (0, 0) };
                            self.states.push(none);
                            self.places.insert(Arc::clone(&sample.key), self.states.len() - 1);
                            self.states.len() - 1
                        }
                    };
                    let state = &mut self.states[at];
                    if state.slot.0 != self.batch {
                        state.slot = (self.batch, u32::try_from(keys.len()).unwrap_or(u32::MAX));
                        keys.push(at);
                    }
                    state.slot.1
                });
                sample.input(slot)
            })
            .collect();
        let states: Vec<StateSlot<'_>> = keys
            .iter()
            .map(|at| {
                let State { bytes, generation, .. } = &self.states[*at];
                StateSlot { bytes: bytes.as_deref().map(Into::into), generation: *generation }
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
        for (at, change) in keys.into_iter().zip(decisions.states) {
            if let StateChange::Set(bytes) = change {
                let state = &mut self.states[at];
                state.bytes = Some(bytes);
                state.generation += 1;
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
