//! Plugins of a running host, as an operator looks at them and has them swapped.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Inner;
use super::parts::Tasks;
use crate::admin::{Following, Lines, PluginStatus};
use crate::config::{self, Config};
use crate::pipeline::slot::PluginSlot;
use crate::recorder::Recorder;
use crate::reload::{Line, Recorded, RecordedCall, Reloads, Teller};

/// Attends to every plugin until the host stops.
pub(super) fn attend(
    reloads: &Reloads,
    config: &Config,
    plugins: &BTreeMap<String, Arc<PluginSlot>>,
    tasks: &mut Tasks,
) {
    for (name, slot) in plugins {
        if let Some(settings) = config.plugins.get(name) {
            tasks.spawn(reloads.attend(Arc::clone(slot), settings.clone()));
        }
    }
}

/// What trials take where queues are quiet.
pub(super) fn recorded(recorder: &Arc<Recorder>) -> Recorded {
    let recorder = Arc::clone(recorder);
    Arc::new(move |plugin| {
        let calls = recorder.recorded(plugin).into_iter();
        calls.map(|it| RecordedCall { schema: it.meta.state_version, batch: it.batch }).collect()
    })
}

impl Inner {
    /// Loads a plugin's file anew; what happens is told meanwhile.
    pub(super) fn reload_plugin(&self, plugin: &str) -> Result<Following, String> {
        let (lines, following) = Following::new(plugin.to_owned());
        self.reloads.reload(plugin, teller(lines))?;
        Ok(following)
    }

    /// Puts a former version of a plugin back.
    pub(super) fn roll_back(&self, plugin: &str, to: Option<String>) -> Result<Following, String> {
        let (lines, following) = Following::new(plugin.to_owned());
        self.reloads.roll_back(plugin, to, teller(lines))?;
        Ok(following)
    }

    /// The versions that served, as JSON: by plugin, the latest first.
    pub(super) fn plugin_history(&self, plugin: Option<&str>) -> Result<String, String> {
        let names = self.reloads.names();
        if let Some(name) = plugin.filter(|name| !names.iter().any(|known| known == name)) {
            return Err(format!("there is no plugin '{name}'; there are: {}", names.join(", ")));
        }
        let wanted = names.into_iter().filter(|name| plugin.is_none_or(|wanted| wanted == name));
        let history: BTreeMap<String, _> =
            wanted.map(|name| (name.clone(), self.reloads.history(&name))).collect();
        serde_json::to_string(&history).map_err(|error| error.to_string())
    }

    /// How a plugin is doing.
    pub(super) fn plugin_status(&self, slot: &PluginSlot) -> PluginStatus {
        let plugin = slot.current();
        let parts = self.parts();
        let uses = |pipeline: &&config::Pipeline| {
            pipeline.stages.iter().any(|stage| stage.plugin == plugin.name())
        };
        let pipelines = parts.config.pipelines.iter().filter(uses).map(|it| it.name.clone());
        PluginStatus {
            pipelines: pipelines.collect(),
            name: plugin.name().to_owned(),
            version: plugin.description().version.clone(),
            digest: plugin.digest().to_owned(),
            sdk: plugin.description().sdk.clone(),
            memory_bytes: self.memory_of(plugin.name()),
            broken: slot.guard().why(),
            impure: self.purity.impure(&plugin),
            reload: self.reload_status(plugin.name()),
        }
    }

    /// The largest of the instances that its pipelines called last, in bytes.
    fn memory_of(&self, plugin: &str) -> u64 {
        let snapshots = self.telemetry.snapshot();
        let held = snapshots.iter().filter_map(|it| it.plugins.get(plugin));
        held.map(|it| u64::try_from(it.memory_bytes).unwrap_or(0)).max().unwrap_or(0)
    }

    /// How a plugin's last reload ended, or how far one is.
    pub(super) fn reload_status(&self, plugin: &str) -> Option<String> {
        let standing = self.reloads.standing(plugin);
        if let Some(step) = standing.step {
            return Some(format!("{step}…"));
        }
        let last = standing.last?;
        Some(format!("{}: {}", last.as_str().replace('_', " "), last.text()))
    }
}

fn teller(lines: Lines) -> Teller {
    Box::new(move |line: &Line| {
        if let Ok(line) = serde_json::to_string(line) {
            // A reload goes on whether or not somebody still listens.
            let _listens = lines.tell(line);
        }
    })
}
