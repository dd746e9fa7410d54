//! What another version costs before it has decided anything: made on a shard's thread between two batches, and
//! called for the first time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Serialize;
use sluicegate::config::PluginLimits;
use sluicegate::plugin::{Batch, Engine, EngineOptions, Input, Instance, StateSlot};

use crate::dispatch::{Logic, messages};
use crate::guests;
use crate::sample::Sample;

/// Messages of a call.
const BATCH: usize = 64;

/// Microseconds, each of one time.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Made {
    /// An instance is made.
    pub made: Vec<f64>,
    /// Its first call.
    pub first: Vec<f64>,
    /// Its tenth.
    pub tenth: Vec<f64>,
}

/// Makes an instance as often as that, and calls it.
///
/// # Errors
/// It can't be made or called.
pub fn made(times: usize) -> anyhow::Result<Made> {
    let engine = Engine::new(EngineOptions::default())?;
    let config = rmp_serde::to_vec_named(&serde_json::json!({ "logic": "anomaly" }))?;
    let plugin = engine.load("bench", guests::ANOMALY, &config, &PluginLimits::default())?;
    let samples = messages(Logic::Anomaly, 256, BATCH)?;
    let mut made = Made::default();
    for _ in 0..times {
        let began = Instant::now();
        let instance = plugin.instantiate()?;
        made.made.push(us(began.elapsed()));
        calls(instance, &samples, &mut made)?;
    }
    Ok(made)
}

fn calls(mut instance: Instance, samples: &[Sample], made: &mut Made) -> anyhow::Result<()> {
    let mut keys: HashMap<&str, u32> = HashMap::new();
    for call in 0..10 {
        let batch = &samples[call * BATCH..(call + 1) * BATCH];
        keys.clear();
        let inputs: Vec<Input<'_>> = batch
            .iter()
            .map(|sample| {
                let next = u32::try_from(keys.len()).unwrap_or(u32::MAX);
                sample.input(Some(*keys.entry(&sample.key).or_insert(next)))
            })
            .collect();
        let states = vec![StateSlot { bytes: None, generation: 0 }; keys.len()];
        let batch = Batch { now_us: 1_767_225_600_000_000, messages: &inputs, states: &states };
        let began = Instant::now();
        instance.process(&batch).map_err(|error| anyhow::anyhow!("{error}"))?;
        match call {
            0 => made.first.push(us(began.elapsed())),
            9 => made.tenth.push(us(began.elapsed())),
            _ => {}
        }
    }
    Ok(())
}

fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
