//! The anomaly plugin that the host carries, called as a pipeline calls it: over the Numenta Anomaly Benchmark, and
//! for what a reading costs.

mod cost;

use std::borrow::Cow;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use serde_json::json;
use sluicegate::builtin;
use sluicegate::config::PluginLimits;
use sluicegate::message::{FieldValue, Properties};
use sluicegate::plugin::{Batch, Engine, EngineOptions, Input, Instance, StateChange, StateSlot};
use sluicegate::verdict::{Decision, Verdict};
use sluicegate_detection::nab::{Corpus, File};

pub use cost::{Cost, cost};

/// The plugin's name.
const PLUGIN: &str = "meter-anomaly";
/// Rows of a batch.
const BATCH: usize = 64;
/// When batches run: nothing of the plugin depends on it.
const NOW_US: u64 = 1_767_225_600_000_000;

/// The rows that the plugin tags, with the scores that it gives them, by file. It is set to tell from so many bits
/// on and to look for nothing but what surprises; everything else is its default.
///
/// # Errors
/// The plugin can't be loaded, or fails.
pub fn nab(corpus: &Corpus, threshold: f64) -> anyhow::Result<Vec<Vec<(usize, f32)>>> {
    let value = json!({ "name": "value", "lasting": false, "stuck": 0 });
    let config = json!({
        "threshold": threshold,
        "alert": 1000.0,
        "quiet_days": 0,
        "quantities": [value],
    });
    let mut instance = instance(&config)?;
    corpus.files.iter().map(|file| alarms(&mut instance, file)).collect()
}

fn instance(config: &serde_json::Value) -> anyhow::Result<Instance> {
    let engine = Engine::new(EngineOptions::default())?;
    let wasm = builtin::plugin(PLUGIN).context("the host carries no such plugin")?;
    let config = rmp_serde::to_vec_named(config)?;
    let plugin = engine.load(PLUGIN, wasm, &config, &PluginLimits::default())?;
    Ok(plugin.instantiate()?)
}

/// As a reading's properties are.
fn properties(content_type: &str) -> Properties {
    Properties {
        content_type: Some(content_type.to_owned()),
        kind: Some("reading".to_owned()),
        ..Properties::default()
    }
}

fn input<'a>(key: &'a str, properties: &'a Properties, body: &'a Bytes, slot: u32) -> Input<'a> {
    Input {
        exchange: "meters",
        routing_key: "meter.north.m-1.reading",
        key: Some(key),
        properties,
        body,
        attempt: 1,
        seed: [7; 16],
        slot: Some(slot),
        row: None,
        due_us: None,
    }
}

/// Has the plugin read a file, as a meter of its own.
fn alarms(instance: &mut Instance, file: &File) -> anyhow::Result<Vec<(usize, f32)>> {
    let properties = properties("application/json");
    let mut state: Option<Bytes> = None;
    let mut alarms = Vec::new();
    for (batch, rows) in file.rows.chunks(BATCH).enumerate() {
        let bodies: Vec<Bytes> = rows
            .iter()
            .map(|(at, value)| json!({ "meter": file.path, "ts": at, "value": value }))
            .map(|body| body.to_string().into())
            .collect();
        let inputs: Vec<Input<'_>> =
            bodies.iter().map(|body| input(&file.path, &properties, body, 0)).collect();
        let slot =
            StateSlot { bytes: state.as_deref().map(Cow::Borrowed), generation: batch as u64 };
        let batch_of = Batch { now_us: NOW_US, messages: &inputs, states: &[slot] };
        let (decisions, _) = instance.process(&batch_of).map_err(|error| anyhow!("{error}"))?;
        for (at, decision) in decisions.messages.iter().enumerate() {
            let score = score(decision).with_context(|| format!("{}: row {at}", file.path))?;
            alarms.extend(score.map(|score| (batch * BATCH + at, score)));
        }
        for change in decisions.states {
            match change {
                StateChange::Set(bytes) => state = Some(bytes),
                StateChange::Unchanged => {}
                other => anyhow::bail!("{}: the state became {other:?}", file.path),
            }
        }
    }
    Ok(alarms)
}

/// The score in the headers, where there is one.
#[expect(clippy::cast_possible_truncation, reason = "the plugin made it of one")]
fn score(decision: &Decision) -> anyhow::Result<Option<f32>> {
    match &decision.verdict {
        Verdict::Next(None) => Ok(None),
        Verdict::Next(Some(change)) => {
            let headers = change.headers.as_ref().context("no headers")?;
            match headers.get("anomaly-score") {
                Some(FieldValue::F64(score)) => Ok(Some(*score as f32)),
                other => anyhow::bail!("the score is {other:?}"),
            }
        }
        other => anyhow::bail!("{other:?}"),
    }
}
