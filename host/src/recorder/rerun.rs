//! A capsule run again: in the version that was recorded, or in another to see what it does differently.

use std::fs;
use std::path::{Path, PathBuf};

use crate::builtin;
use crate::digest;
use crate::limits::{PLUGIN_CALL_MAX, PLUGIN_FILE_BYTES, PLUGIN_MEMORY_BYTES_MAX};
use crate::plugin::capsule::{Capsule, Difference, Outcome, diff_outcomes};
use crate::plugin::{Engine, LoadError};

/// Where a plugin's bytes come from.
#[derive(Clone, Debug)]
pub struct Component {
    /// Where it was found, for people.
    pub place: String,
    /// The component.
    pub wasm: Vec<u8>,
}

/// What running it again came to.
#[derive(Clone, Debug)]
pub struct Rerun {
    /// Whether it is the version that was recorded.
    pub same_version: bool,
    /// What the plugin calls itself, and its version.
    pub plugin: String,
    /// SHA-256 of its file.
    pub digest: String,
    /// The version of its state's schema.
    pub state_version: Option<u32>,
    /// How often it ran.
    pub times: u32,
    /// How often it ended as recorded, to the bit.
    pub identical: u32,
    /// What came of the first run that didn't, else of the last.
    pub outcome: Outcome,
    /// Where that differs from what was recorded.
    pub differences: Vec<Difference>,
}

/// Looks for the version that was recorded: among former versions and other files in those folders, in
/// those files, among the plugins that this binary carries.
#[must_use]
pub fn find(digest: &str, folders: &[PathBuf], files: &[PathBuf]) -> Option<Component> {
    let named = folders.iter().map(|folder| folder.join(format!("{digest}.wasm")));
    let beside = folders.iter().flat_map(|folder| wasm_files(folder));
    let mut candidates = named.chain(files.iter().cloned()).chain(beside);
    let found = candidates.find_map(|path| {
        let wasm = read(&path).ok()?;
        (digest::sha256(&wasm) == digest)
            .then(|| Component { place: path.display().to_string(), wasm })
    });
    found.or_else(|| {
        builtin::names().find_map(|name| {
            let wasm = builtin::plugin(name)?;
            let place = format!("builtin:{name}");
            (digest::sha256(wasm) == digest).then(|| Component { place, wasm: wasm.to_vec() })
        })
    })
}

/// A component's file, bounded.
///
/// # Errors
/// It can't be read, or is larger than a plugin can be.
pub fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let bytes = fs::metadata(path)?.len();
    if bytes > PLUGIN_FILE_BYTES {
        let text = format!("it has {bytes} bytes; a plugin has {PLUGIN_FILE_BYTES} at most");
        return Err(std::io::Error::other(text));
    }
    fs::read(path)
}

/// Runs a capsule so many times, each on a fresh instance with the recorded limits and config.
///
/// # Errors
/// The component can't be loaded.
pub fn rerun(
    engine: &Engine,
    capsule: &Capsule,
    wasm: &[u8],
    times: u32,
) -> Result<Rerun, LoadError> {
    let mut limits = capsule.meta.limits.clone();
    // A capsule may come from anywhere: no more than a config may ask for.
    let most = usize::try_from(PLUGIN_MEMORY_BYTES_MAX).unwrap_or(usize::MAX);
    limits.memory_bytes = limits.memory_bytes.min(most);
    limits.call = limits.call.min(PLUGIN_CALL_MAX);
    let plugin = engine.load(&capsule.meta.plugin, wasm, &capsule.meta.config, &limits)?;
    let mut identical = 0;
    let mut told: Option<(Outcome, Vec<Difference>)> = None;
    for _ in 0..times.max(1) {
        let answer = plugin.instantiate().and_then(|mut instance| capsule.batch.run(&mut instance));
        let outcome = Outcome::from(answer);
        let differences = diff_outcomes(&capsule.outcome, &outcome);
        identical += u32::from(differences.is_empty());
        if told.as_ref().is_none_or(|(_, before)| before.is_empty()) {
            told = Some((outcome, differences));
        }
    }
    let (outcome, differences) = told.unwrap_or((capsule.outcome.clone(), Vec::new()));
    let description = plugin.description();
    Ok(Rerun {
        same_version: plugin.digest() == capsule.meta.digest,
        plugin: format!("{} {}", description.name, description.version),
        digest: plugin.digest().to_owned(),
        state_version: description.state_version,
        times: times.max(1),
        identical,
        outcome,
        differences,
    })
}

fn wasm_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(|path| path.extension().is_some_and(|end| end == "wasm")).collect()
}
