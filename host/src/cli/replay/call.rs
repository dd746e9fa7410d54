//! A capsule: found, run again, compared.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::json;

use super::Args;
use crate::authoring::capture;
use crate::cli::exit;
use crate::config::{self, Config, PluginSource};
use crate::limits::{CAPSULE_BYTES, CAPSULE_FOLDER};
use crate::plugin::capsule::{Capsule, Outcome, Redacted};
use crate::plugin::{Engine, EngineOptions};
use crate::recorder::rerun::{self, Component, Rerun};
use crate::recorder::shelf;
use crate::telemetry::logging::printable;

/// Digits of a digest that people are shown.
const DIGITS: usize = 12;

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let config = match &args.config {
        None => None,
        Some(file) => match config::read(file) {
            Ok((config, _)) => Some(config),
            Err(problems) => {
                let source = std::fs::read_to_string(file).unwrap_or_default();
                eprint!("{}", config::render_all(&problems, &source, false));
                return Ok(ExitCode::from(exit::CONFIG));
            }
        },
    };
    let path = locate(args.capsule.as_deref().unwrap_or_default(), config.as_ref())?;
    let shown = path.display().to_string();
    let capsule = read(&path).with_context(|| format!("can't read {shown}"))?;
    if args.show {
        println!("{}", serde_json::to_string_pretty(&capsule)?);
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(folder) = &args.as_test {
        let file = as_test(&capsule, folder)?;
        println!("{}", file.display());
        return Ok(ExitCode::SUCCESS);
    }
    let component = match &args.plugin {
        Some(file) => Component {
            place: file.display().to_string(),
            wasm: rerun::read(file).with_context(|| format!("can't read {}", file.display()))?,
        },
        None => recorded(&capsule, &path, config.as_ref())?,
    };
    let engine = Engine::new(EngineOptions::default())?;
    let run = rerun::rerun(&engine, &capsule, &component.wasm, args.times)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&as_json(&shown, &capsule, &component, &run))?);
    } else {
        print!("{}", told(&shown, &capsule, &component, &run));
    }
    let whole = capsule.meta.redacted == Redacted::No;
    let same = whole && run.identical == run.times;
    Ok(if same { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILURE) })
}

/// A file's name, or a failure's id.
fn locate(said: &str, config: Option<&Config>) -> anyhow::Result<PathBuf> {
    let path = PathBuf::from(said);
    if path.is_file() {
        return Ok(path);
    }
    let id = said.strip_suffix("-failure").unwrap_or(said);
    if id.is_empty() || !id.chars().all(|c| c.is_ascii_hexdigit()) {
        bail!("there is no file {said}");
    }
    let Some(config) = config else {
        bail!("there is no file {said}; to look for a failure's id, name the config with -c");
    };
    let folder = shelf::folder(&config.service.state_dir);
    let found = shelf::find(&folder, id)
        .with_context(|| format!("can't look for capsules in {}", folder.display()))?;
    found.with_context(|| {
        format!(
            "no capsule of failure {id} is in {}: it was too old, one of too many of its cause, or of \
             no plugin's call",
            folder.display()
        )
    })
}

fn read(path: &Path) -> anyhow::Result<Capsule> {
    let mut bytes = Vec::new();
    let most = CAPSULE_BYTES as u64 + 1;
    std::fs::File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(Capsule::decode(&bytes)?)
}

/// Writes the call as a test case; a case that is there already stays.
fn as_test(capsule: &Capsule, folder: &Path) -> anyhow::Result<PathBuf> {
    if capsule.meta.redacted != Redacted::No {
        bail!("the capsule's bodies and state were taken out: there is nothing to test with");
    }
    let id = shelf::failure_id(capsule);
    let meta = &capsule.meta;
    let about = format!(
        "recorded in pipeline {}, stage {}: {}",
        meta.pipeline,
        meta.stage,
        outcome(&capsule.outcome)
    );
    let text = capture::case(capsule, &about).to_toml()?;
    std::fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
    let file = folder.join(format!("recorded-{}.toml", short(&id)));
    let written = std::fs::File::create_new(&file)
        .and_then(|mut open| std::io::Write::write_all(&mut open, text.as_bytes()));
    written.with_context(|| format!("can't write {}", file.display()))?;
    Ok(file)
}

/// The version that was recorded: in the folder that the capsule lies in, in the config's, in its files.
fn recorded(capsule: &Capsule, path: &Path, config: Option<&Config>) -> anyhow::Result<Component> {
    let mut folders = Vec::new();
    let mut files = Vec::new();
    let beside = path.parent().map(Path::to_owned);
    if let Some(capsules) = beside.as_ref().and_then(|folder| folder.parent())
        && capsules.ends_with(CAPSULE_FOLDER)
        && let Some(state) = capsules.parent()
    {
        folders.push(state.join(PLUGINS));
    }
    if let Some(config) = config {
        folders.push(config.service.state_dir.join(PLUGINS));
        files.extend(config.plugins.values().filter_map(|plugin| match &plugin.source {
            PluginSource::File(path) => Some(path.clone()),
            PluginSource::Builtin(_) => None,
        }));
    }
    folders.extend(beside);
    let digest = &capsule.meta.digest;
    rerun::find(digest, &folders, &files).with_context(|| {
        format!(
            "plugin '{}' with SHA-256 {digest} isn't here; name its file with --plugin, or a config that \
             has it with -c",
            printable(&capsule.meta.plugin)
        )
    })
}

/// Where former versions of plugins are kept, in the state folder.
const PLUGINS: &str = "plugins";

fn told(shown: &str, capsule: &Capsule, component: &Component, run: &Rerun) -> String {
    let meta = &capsule.meta;
    let at = i64::try_from(meta.recorded_at_us).unwrap_or(i64::MAX);
    let at =
        jiff::Timestamp::from_microsecond(at).map_or_else(|_| at.to_string(), |at| at.to_string());
    let messages = capsule.batch.messages.len();
    let plural = if messages == 1 { "" } else { "s" };
    let mut lines = vec![
        format!("capsule   {shown}"),
        format!(
            "call      {at}, pipeline {}, stage {}, {messages} message{plural}, recorded as {}",
            meta.pipeline,
            meta.stage,
            meta.why.as_str()
        ),
        format!(
            "plugin    {} ({} {}, {}), SHA-256 {}",
            meta.plugin,
            meta.plugin_name,
            meta.plugin_version,
            meta.sdk,
            short(&meta.digest)
        ),
        format!("outcome   {}", outcome(&capsule.outcome)),
    ];
    if run.same_version {
        lines.push(format!("run with  the same version, {}", component.place));
    } else {
        lines.push(format!(
            "run with  another version: {}, SHA-256 {}, {}",
            run.plugin,
            short(&run.digest),
            component.place
        ));
        if run.state_version != meta.state_version {
            lines.push(
                "          its state has another schema; the recorded state isn't migrated"
                    .to_owned(),
            );
        }
    }
    match meta.redacted {
        Redacted::No => {}
        Redacted::Masked => lines.push(
            "redacted  bodies and state are masked: this isn't the call that was made".to_owned(),
        ),
        Redacted::Removed => lines.push(
            "redacted  bodies and state were left out: this isn't the call that was made"
                .to_owned(),
        ),
    }
    if run.identical == run.times {
        lines.push(format!("result    identical, {} of {}", run.identical, run.times));
    } else {
        lines.push(format!("result    different, {} of {}", run.times - run.identical, run.times));
        for difference in &run.differences {
            lines.extend(difference.to_string().lines().map(|line| format!("  {line}")));
        }
    }
    lines.iter().map(|line| printable(line) + "\n").collect()
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Failed(error) => {
            let stack = error.backtrace.first().map(|frame| format!(", in {frame}"));
            format!("{error}{}", stack.unwrap_or_default())
        }
        Outcome::Decided(decisions) => {
            let emissions: usize = decisions.messages.iter().map(|one| one.emissions.len()).sum();
            format!("{} decisions, {emissions} emissions", decisions.messages.len())
        }
    }
}

fn short(digest: &str) -> &str {
    digest.get(..DIGITS).unwrap_or(digest)
}

fn as_json(
    shown: &str,
    capsule: &Capsule,
    component: &Component,
    run: &Rerun,
) -> serde_json::Value {
    json!({
        "capsule": shown,
        "pipeline": capsule.meta.pipeline,
        "stage": capsule.meta.stage,
        "plugin": capsule.meta.plugin,
        "recorded_digest": capsule.meta.digest,
        "recorded_at_us": capsule.meta.recorded_at_us,
        "redacted": capsule.meta.redacted,
        "recorded": capsule.outcome,
        "component": component.place,
        "digest": run.digest,
        "same_version": run.same_version,
        "times": run.times,
        "identical": run.identical,
        "outcome": run.outcome,
        "differences": run.differences,
    })
}
