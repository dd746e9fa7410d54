//! Finds, checks and loads the plugins of a config.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::builtin;
use crate::config::{self, Config, PluginSource};
use crate::digest;
use crate::plugin::{Engine, LoadError, Plugin, file};

/// Loads every plugin of the config, off the runtime's threads.
///
/// # Errors
/// All plugins that can't be loaded, not the first alone.
pub async fn load_all(
    engine: Engine,
    config: &Config,
) -> anyhow::Result<BTreeMap<String, Arc<Plugin>>> {
    load_some(engine, config.plugins.values().cloned().collect()).await
}

/// Loads these plugins, off the runtime's threads.
///
/// # Errors
/// All that can't be loaded, not the first alone.
pub async fn load_some(
    engine: Engine,
    settings: Vec<config::Plugin>,
) -> anyhow::Result<BTreeMap<String, Arc<Plugin>>> {
    let loaded = tokio::task::spawn_blocking(move || {
        let load = |settings: &config::Plugin| load(&engine, settings);
        settings.iter().map(load).collect::<Vec<_>>()
    })
    .await?;
    let mut plugins = BTreeMap::new();
    let mut errors = Vec::new();
    for result in loaded {
        match result {
            Ok(plugin) => drop(plugins.insert(plugin.name().to_owned(), plugin)),
            Err(error) => errors.push(error.to_string()),
        }
    }
    anyhow::ensure!(errors.is_empty(), "{}", errors.join("\n"));
    Ok(plugins)
}

/// Loads one plugin: its bytes, its pin, then all that the engine checks.
///
/// # Errors
/// Why it can't be loaded.
pub fn load(engine: &Engine, settings: &config::Plugin) -> Result<Arc<Plugin>, LoadError> {
    load_bytes(engine, settings, &bytes(settings)?)
}

/// The bytes of a plugin, from wherever its config has them.
///
/// # Errors
/// Why there are none.
pub fn bytes(settings: &config::Plugin) -> Result<Vec<u8>, LoadError> {
    let failed = |text| LoadError { plugin: settings.name.clone(), text };
    Ok(match &settings.source {
        PluginSource::File(path) => file::read(path, settings.limits.file_bytes).map_err(failed)?,
        PluginSource::Builtin(name) => builtin::plugin(name)
            .ok_or_else(|| {
                let known: Vec<&str> = builtin::names().collect();
                failed(format!("no built-in plugin '{name}'; there are: {}", known.join(", ")))
            })?
            .to_vec(),
    })
}

/// Loads a plugin from bytes that are here already: its pin, then all that the engine checks.
///
/// # Errors
/// Why it can't be loaded.
pub fn load_bytes(
    engine: &Engine,
    settings: &config::Plugin,
    wasm: &[u8],
) -> Result<Arc<Plugin>, LoadError> {
    let failed = |text| LoadError { plugin: settings.name.clone(), text };
    if let Some(pin) = &settings.sha256 {
        let digest = digest::sha256(wasm);
        if !digest.eq_ignore_ascii_case(pin) {
            return Err(failed(format!(
                "its file has SHA-256 {digest}, the config pins {pin}; change one or the other"
            )));
        }
    }
    engine.load(&settings.name, wasm, &settings.config, &settings.limits)
}
