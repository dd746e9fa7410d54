//! `sluicegate plugin build`: cargo with the right target, then the checks that the host would make.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use crate::authoring::sdk;
use crate::plugin::{Description, Engine, EngineOptions};

const TARGET: &str = "wasm32-wasip2";

/// For a crate without a `[profile.plugin]`: small components that keep the names a trap's backtrace
/// shows.
const RELEASE: [(&str, &str); 3] = [
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_LTO", "true"),
    ("CARGO_PROFILE_RELEASE_STRIP", "debuginfo"),
];

/// Options of `plugin build`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The plugin's folder, where its Cargo.toml is
    #[arg(default_value = ".", value_name = "FOLDER")]
    folder: PathBuf,
    /// Use only what cargo has fetched before
    #[arg(long)]
    offline: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A component that was built, and found sound.
struct Built {
    file: PathBuf,
    bytes: usize,
    digest: String,
    description: Description,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let files = components_of(&args.folder, args.offline)?;
    let engine = Engine::new(EngineOptions::default())?;
    let mut out = std::io::stdout().lock();
    for file in files {
        let built = check(&engine, file)?;
        if args.json {
            writeln!(out, "{}", built.json())?;
        } else {
            out.write_all(built.text().as_bytes())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds the crate in a folder; answers its components.
pub(super) fn components_of(folder: &Path, offline: bool) -> anyhow::Result<Vec<PathBuf>> {
    let manifest = folder.join("Cargo.toml");
    ensure!(
        manifest.is_file(),
        "there is no {}: name the folder of a plugin's crate, or make one with `sluicegate plugin \
         new NAME`",
        manifest.display()
    );
    if let Some(other) = sdk::other(&folder.join("sdk")) {
        eprintln!(
            "note: sdk/ is another one ({other}) than this sluicegate carries; `sluicegate plugin \
             sdk` in that folder brings it up to date"
        );
    }
    ensure_target(folder)?;
    let files = build(folder, offline)?;
    ensure!(
        !files.is_empty(),
        "{} built no component: it needs `crate-type = [\"cdylib\"]` under `[lib]`",
        manifest.display()
    );
    Ok(files)
}

/// The one component of a crate's folder.
pub(super) fn component_of(folder: &Path, offline: bool) -> anyhow::Result<PathBuf> {
    only(folder, components_of(folder, offline)?)
}

fn only(folder: &Path, mut files: Vec<PathBuf>) -> anyhow::Result<PathBuf> {
    match (files.pop(), files.len()) {
        (Some(file), 0) => Ok(file),
        _ => bail!("{} has several plugins; name one's folder", folder.display()),
    }
}

/// Adds the target where rustup can; a toolchain without rustup may have it all the same.
fn ensure_target(folder: &Path) -> anyhow::Result<()> {
    if has_target(folder)? {
        return Ok(());
    }
    let added = Command::new("rustup").args(["target", "add", TARGET]).current_dir(folder).status();
    ensure!(
        added.is_ok_and(|status| status.success()) && has_target(folder)?,
        "Rust's target {TARGET} is missing: install it with `rustup target add {TARGET}`"
    );
    Ok(())
}

fn has_target(folder: &Path) -> anyhow::Result<bool> {
    let arguments = ["--print=target-libdir", "--target", TARGET];
    let output = Command::new("rustc").args(arguments).current_dir(folder).output();
    let output = output.context("can't run rustc: install Rust, https://rustup.rs")?;
    Ok(Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}

/// Runs cargo and answers the components that it made.
fn build(folder: &Path, offline: bool) -> anyhow::Result<Vec<PathBuf>> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--target", TARGET, "--message-format=json-render-diagnostics"]);
    if has_profile(folder) {
        cargo.args(["--profile", "plugin"]);
    } else {
        cargo.arg("--release").envs(RELEASE);
    }
    if offline {
        cargo.arg("--offline");
    }
    cargo.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = cargo.spawn().context("can't run cargo: install Rust, https://rustup.rs")?;
    let mut files = Vec::new();
    let mut compiled = false;
    if let Some(messages) = child.stdout.take() {
        for line in BufReader::new(messages).lines() {
            let line = line?;
            files.extend(components(&line));
            compiled |= finished(&line);
        }
    }
    if !child.wait()?.success() {
        // Where it didn't come to compile it may have missed something.
        let misses = offline && !compiled;
        let remedy = if misses { "; without --offline cargo fetches what it misses" } else { "" };
        bail!("{} didn't build; cargo's messages are above{remedy}", named(folder));
    }
    Ok(files)
}

/// A folder, for people.
fn named(folder: &Path) -> String {
    if folder == Path::new(".") { "the crate".to_owned() } else { folder.display().to_string() }
}

/// Whether that message of cargo's says that it came to the end of compiling, well or not.
fn finished(message: &str) -> bool {
    let message = serde_json::from_str::<Value>(message);
    message.is_ok_and(|message| message["reason"] == "build-finished")
}

/// Whether the crate says itself how its component is built.
fn has_profile(folder: &Path) -> bool {
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
    manifest.lines().any(|line| line.trim() == "[profile.plugin]")
}

/// The components that one of cargo's messages speaks of: those of libraries, not of build scripts.
fn components(message: &str) -> Vec<PathBuf> {
    let Ok(message) = serde_json::from_str::<Value>(message) else { return Vec::new() };
    let kinds = message["target"]["kind"].as_array();
    if !kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == "cdylib")) {
        return Vec::new();
    }
    let files = message["filenames"].as_array().into_iter().flatten();
    let files = files.filter_map(|file| Some(PathBuf::from(file.as_str()?)));
    files.filter(|file| file.extension().is_some_and(|end| end == "wasm")).collect()
}

fn check(engine: &Engine, file: PathBuf) -> anyhow::Result<Built> {
    let wasm = std::fs::read(&file).with_context(|| format!("can't read {}", file.display()))?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let (digest, description) = engine.inspect(&name, &wasm)?;
    Ok(Built { file, bytes: wasm.len(), digest, description })
}

impl Built {
    fn text(&self) -> String {
        let Description { name, version, sdk, state_version } = &self.description;
        let state = state_version.map_or("none".to_owned(), |version| format!("version {version}"));
        format!(
            "{}\n  plugin  {name} {version}\n  sdk     {sdk}\n  state   {state}\n  size    {} KiB\n  \
             sha256  {}\n",
            self.file.display(),
            self.bytes.div_ceil(1024),
            self.digest
        )
    }

    fn json(&self) -> Value {
        json!({
            "file": self.file,
            "name": self.description.name,
            "version": self.description.version,
            "sdk": self.description.sdk,
            "state_version": self.description.state_version,
            "bytes": self.bytes,
            "sha256": self.digest,
        })
    }
}

#[cfg(test)]
mod tests;
