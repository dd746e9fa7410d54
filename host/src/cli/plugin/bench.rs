//! `sluicegate plugin bench`: how fast a plugin is, in the sandbox, by size of batch.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::inspect::config;
use super::{build, test};
use crate::authoring::Case;
use crate::authoring::bench::{Bench, Measured, Sample};
use crate::cli::figures::grouped;
use crate::config::PluginLimits;
use crate::message::Properties;
use crate::plugin::{Engine, EngineOptions};
use crate::publish::record::{Content, Format, Records};

/// Options of `plugin bench`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The plugin's folder, which is built first, or a component
    #[arg(default_value = ".", value_name = "FOLDER|FILE.wasm")]
    plugin: PathBuf,
    /// Messages, one a line: what `dlq export` writes, or bodies of JSON [default: those of the cases]
    #[arg(long, value_name = "FILE.jsonl", conflicts_with = "size")]
    messages: Option<PathBuf>,
    /// Generated messages of so many bytes instead
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(16..=1 << 24))]
    size: Option<u32>,
    /// The key is this field of a JSON body; generated messages have one of 1,000
    #[arg(long, value_name = "FIELD")]
    key: Option<String>,
    /// The plugin's config, as JSON [default: that of the first case]
    #[arg(long, value_name = "JSON", value_parser = config)]
    config: Option<Value>,
    /// Sizes of batches
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [1, 16, 64, 256],
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch: Vec<u32>,
    /// Milliseconds of each measurement
    #[arg(long, value_name = "MS", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    time: u64,
    /// Use only what cargo has fetched before
    #[arg(long)]
    offline: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Alternating rounds; each measures the same thing twice.
const ROUNDS: usize = 5;
/// Keys of generated messages.
const KEYS: u32 = 1000;
/// Generated messages.
const GENERATED: u32 = 4096;

/// What was measured with one size of batch.
struct Row {
    batch: u32,
    /// Two arms that measure the same, so that their distance is what chance does.
    arms: [Measured; 2],
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (component, beside) = if args.plugin.is_dir() {
        (build::component_of(&args.plugin, args.offline)?, args.plugin.clone())
    } else {
        (args.plugin.clone(), args.plugin.parent().unwrap_or(Path::new("")).to_owned())
    };
    let wasm =
        fs::read(&component).with_context(|| format!("can't read {}", component.display()))?;
    let case = test::cases_in(&[beside.join("cases")]).ok();
    let cases: Vec<Case> =
        case.into_iter().flatten().filter_map(|file| Case::read(&file).ok()).collect();
    let (what, samples) = samples(args, &cases)?;
    let (config, limits) = match (&args.config, cases.first()) {
        (Some(config), _) => (rmp_serde::to_vec_named(config)?, PluginLimits::default()),
        (None, Some(case)) => (case.config()?, case.limits()?),
        (None, None) => (vec![0x80], PluginLimits::default()),
    };
    let engine = Engine::new(EngineOptions::default())?;
    let name = component.file_stem().unwrap_or_default().to_string_lossy();
    let plugin = engine
        .load(&name, &wasm, &config, &limits)
        .context("with --config '{…}' the plugin gets what an operator would write")?;
    let time = Duration::from_millis(args.time);
    let mut rows = Vec::new();
    for &batch in &args.batch {
        rows.push(Row { batch, arms: <[Measured; 2]>::default() });
    }
    let mut benches = Vec::new();
    for row in &rows {
        let mut bench = Bench::new(&Arc::clone(&plugin), &samples)?;
        bench.run(row.batch as usize, time, &mut Measured::default())?;
        benches.push(bench);
    }
    for round in 0..ROUNDS {
        for (row, bench) in rows.iter_mut().zip(&mut benches) {
            for arm in [round % 2, 1 - round % 2] {
                bench.run(row.batch as usize, time, &mut row.arms[arm])?;
            }
        }
    }
    let how = format!(
        "{what}; {} ms of warm-up, then {ROUNDS} rounds of 2 × {} ms for each size of batch in turn",
        args.time, args.time
    );
    let mut out = std::io::stdout().lock();
    if args.json {
        let rows: Vec<Value> = rows.iter_mut().map(Row::json).collect();
        writeln!(out, "{}", json!({ "plugin": component, "how": how, "batches": rows }))?;
    } else {
        out.write_all(text(&component, &how, &mut rows).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What is measured with, and what that is called.
fn samples(args: &Args, cases: &[Case]) -> anyhow::Result<(String, Vec<Sample>)> {
    if let Some(file) = &args.messages {
        let samples = from_lines(file, args.key.as_deref())?;
        return Ok((format!("{} messages of {}", samples.len(), file.display()), samples));
    }
    if let Some(size) = args.size {
        let what = format!("generated messages of {size} bytes, {KEYS} keys");
        return Ok((what, (0..GENERATED).map(|at| generated(at, size as usize)).collect()));
    }
    let mut samples = Vec::new();
    for case in cases {
        samples.extend(Sample::of(case)?);
    }
    ensure!(
        !samples.is_empty(),
        "there are no cases to take messages from: name some with --messages FILE.jsonl, or have \
         them generated with --size BYTES"
    );
    Ok((format!("the {} messages of the cases", samples.len()), samples))
}

fn generated(at: u32, size: usize) -> Sample {
    let key = format!("key-{}", at % KEYS);
    let head = format!("{{\"n\":{at},\"pad\":\"");
    let pad = "x".repeat(size.saturating_sub(head.len() + 2));
    Sample {
        routing_key: "bench".to_owned(),
        key: Some(key),
        properties: typed("application/json"),
        body: format!("{head}{pad}\"}}").into(),
        row: None,
    }
}

fn typed(content_type: &str) -> Properties {
    Properties { content_type: Some(content_type.to_owned()), ..Properties::default() }
}

/// The messages of a file, one a line.
pub(super) fn from_lines(file: &Path, key: Option<&str>) -> anyhow::Result<Vec<Sample>> {
    let opened = File::open(file).with_context(|| format!("can't read {}", file.display()))?;
    let count = Arc::new(AtomicU64::new(0));
    let records = Records::new(Box::new(opened), Format::Jsonl, None, true, count)
        .map_err(|error| anyhow!("{}: {}", error.place, error.text))?;
    let mut samples = Vec::new();
    for record in records {
        let record = record.map_err(|error| anyhow!("{}: {}", error.place, error.text))?;
        let Content::Json(line) = record.content else { bail!("{}: not JSON", record.place) };
        samples.push(sample(&line, key).with_context(|| record.place.clone())?);
    }
    ensure!(!samples.is_empty(), "{} has no message", file.display());
    Ok(samples)
}

/// A line: a message as `dlq export` writes it, or else a body.
fn sample(line: &Value, key: Option<&str>) -> anyhow::Result<Sample> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let (body, is_json) = match (line.get("body_base64"), line.get("body")) {
        (Some(packed), _) => (STANDARD.decode(packed.as_str().unwrap_or_default())?, false),
        (None, Some(Value::String(text))) => (text.clone().into_bytes(), false),
        (None, Some(body)) => (serde_json::to_vec(body)?, true),
        (None, None) => (serde_json::to_vec(line)?, true),
    };
    let said = line.pointer("/properties/content_type").and_then(Value::as_str);
    let content_type = said.or(is_json.then_some("application/json")).map(str::to_owned);
    let mut properties = Properties { content_type, ..Properties::default() };
    for (name, value) in line.get("headers").and_then(Value::as_object).into_iter().flatten() {
        properties.headers.set(name.as_str(), text(value));
    }
    let field = |name: &str| line.get("body").unwrap_or(line).get(name).map(text);
    Ok(Sample {
        routing_key: line.get("routing_key").map(text).unwrap_or_default(),
        key: key.and_then(field).or_else(|| line.get("key").map(text)),
        properties,
        body: body.into(),
        row: None,
    })
}

fn text(component: &Path, how: &str, rows: &mut [Row]) -> String {
    let mut text = format!("{}\n{how}\n", component.display());
    text.push_str("  batch      msg/s    ns/msg  p50 µs/call  p99 µs/call    A/A   memory\n");
    for row in rows.iter_mut() {
        let aa = row.apart();
        let whole = row.whole();
        let mut whole = whole;
        let us = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e6);
        text.push_str(&format!(
            "  {:>5} {:>10} {:>9.0} {:>12} {:>12} {:>5.1}% {:>4} KiB\n",
            row.batch,
            grouped(rate(whole.ns_per_message())),
            whole.ns_per_message(),
            us(whole.percentile(50)),
            us(whole.percentile(99)),
            aa * 100.0,
            whole.memory_bytes / 1024,
        ));
    }
    let Some(first) = rows.first().map(Row::whole) else { return text };
    let share = |count: u64| 100.0 * count as f64 / first.messages.max(1) as f64;
    let verdicts: Vec<String> =
        first.verdicts.iter().map(|(name, n)| format!("{name} {:.1}%", share(*n))).collect();
    let each = first.emissions as f64 / first.messages.max(1) as f64;
    text.push_str(&format!("answers: {}; {each:.2} emissions each\n", verdicts.join(", ")));
    if first.verdicts.keys().all(|name| name.starts_with("reject")) {
        text.push_str(
            "note: every message is rejected, so this is how fast the plugin says no; give it \
             messages of its own with --messages\n",
        );
    }
    text
}

/// Messages a second, of one thread that does nothing else.
fn rate(ns_per_message: f64) -> u64 {
    if ns_per_message <= 0.0 {
        return 0;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a figure for people, above 0"
    )]
    let rate = (1e9 / ns_per_message) as u64;
    rate
}

// === impl Row ===

impl Row {
    /// Both arms as one.
    fn whole(&self) -> Measured {
        let [mut whole, other] = self.arms.clone();
        whole.messages += other.messages;
        whole.spent += other.spent;
        whole.calls.extend(other.calls);
        whole.memory_bytes = whole.memory_bytes.max(other.memory_bytes);
        whole.emissions += other.emissions;
        for (name, count) in other.verdicts {
            *whole.verdicts.entry(name).or_default() += count;
        }
        whole
    }

    /// How far the arms are apart, as a share of both.
    fn apart(&self) -> f64 {
        let [a, b] = [0, 1].map(|at| self.arms[at].ns_per_message());
        2.0 * (a - b).abs() / (a + b).max(f64::MIN_POSITIVE)
    }

    fn json(&mut self) -> Value {
        let mut whole = self.whole();
        let [p50, p99] = [50, 99].map(|percent| whole.percentile(percent).as_secs_f64());
        json!({
            "batch": self.batch,
            "messages": whole.messages,
            "ns_per_message": whole.ns_per_message(),
            "messages_per_s": rate(whole.ns_per_message()),
            "call_s": { "p50": p50, "p99": p99 },
            "a_a": self.apart(),
            "memory_bytes": whole.memory_bytes,
            "verdicts": whole.verdicts,
            "emissions": whole.emissions,
        })
    }
}

#[cfg(test)]
mod tests;
