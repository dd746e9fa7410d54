//! `sluicegate plugin inspect`: what a component is, imports, takes and weighs.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::config::PluginLimits;
use crate::limits;
use crate::plugin::{Engine, EngineOptions, Examined, Sections, sections};
use crate::telemetry::logging::printable;

/// Options of `plugin inspect`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The component
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// A config to start it with, as JSON: '{"limit": 60}'
    #[arg(long, value_name = "JSON", value_parser = config)]
    config: Option<Value>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A config, as an argument.
pub(super) fn config(text: &str) -> Result<Value, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    value.is_object().then_some(value).ok_or_else(|| "write a JSON object".to_owned())
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let file = args.file.display();
    let about = fs::metadata(&args.file).with_context(|| format!("can't read {file}"))?;
    ensure!(
        about.is_file(),
        "{file} is no file: name a component; `sluicegate plugin build` prints where it puts one"
    );
    ensure!(
        about.len() <= limits::PLUGIN_FILE_BYTES,
        "{file} has {} bytes; a plugin has at most {}",
        about.len(),
        limits::PLUGIN_FILE_BYTES
    );
    let wasm = fs::read(&args.file).with_context(|| format!("can't read {file}"))?;
    let config = args.config.as_ref().map(rmp_serde::to_vec_named).transpose()?;
    let name = args.file.file_stem().unwrap_or_default().to_string_lossy();
    let engine = Engine::new(EngineOptions::default())?;
    let found = engine
        .examine(&name, &wasm, config.as_deref(), &PluginLimits::default())
        .with_context(|| format!("{file} can't be run"))?;
    let weight = sections(&wasm);
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", as_json(args, &found, weight, wasm.len()))?;
    } else {
        out.write_all(text(&found, weight, wasm.len()).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn text(found: &Examined, weight: Sections, bytes: usize) -> String {
    let description = &found.description;
    let kib = |bytes: usize| format!("{} KiB", bytes.div_ceil(1024));
    let state = description
        .state_version
        .map_or("none".to_owned(), |version| format!("kept per key, schema version {version}"));
    let names = match weight.names {
        0 => "none: a trap's backtrace will show numbers; build without `strip = true`".to_owned(),
        bytes => kib(bytes),
    };
    let memory = match &found.wants_config {
        None => format!("{} once started", kib(found.memory_bytes)),
        Some(_) => format!("{} before its config", kib(found.memory_bytes)),
    };
    let most = kib(limits::PLUGIN_MEMORY_BYTES);
    let mut lines = vec![
        ("plugin", format!("{} {}", printable(&description.name), printable(&description.version))),
        ("sdk", printable(&description.sdk)),
        ("state", state),
        ("sha256", found.digest.clone()),
        ("size", format!("{} of {} allowed", kib(bytes), kib(usize_of(limits::PLUGIN_FILE_BYTES)))),
        ("  code", kib(weight.code)),
        ("  data", kib(weight.data)),
        ("  names", names),
        ("  debug", kib(weight.debug)),
        ("  other", kib(weight.custom + weight.other)),
        ("memory", format!("{memory}; limits.memory is {most} unless configured")),
        ("compiles", format!("in {} ms", found.compile.as_millis())),
        ("starts", format!("in {} µs", found.start.as_micros())),
    ];
    lines.extend(found.exports.iter().map(|name| ("exports", name.clone())));
    lines.extend(found.imports.iter().map(|name| ("imports", name.clone())));
    if let Some(why) = &found.wants_config {
        lines.push(("config", format!("{} (try --config)", printable(why))));
    }
    lines.iter().map(|(what, said)| format!("{what:<9} {said}\n")).collect()
}

fn usize_of(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn as_json(args: &Args, found: &Examined, weight: Sections, bytes: usize) -> Value {
    json!({
        "file": args.file,
        "name": found.description.name,
        "version": found.description.version,
        "sdk": found.description.sdk,
        "state_version": found.description.state_version,
        "sha256": found.digest,
        "bytes": bytes,
        "sections": {
            "code": weight.code,
            "data": weight.data,
            "names": weight.names,
            "debug": weight.debug,
            "other": weight.custom + weight.other,
        },
        "memory_bytes": found.memory_bytes,
        "compile_s": found.compile.as_secs_f64(),
        "start_s": found.start.as_secs_f64(),
        "exports": found.exports,
        "imports": found.imports,
        "wants_config": found.wants_config,
    })
}
