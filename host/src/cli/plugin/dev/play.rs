//! What a host of `plugin dev`'s own is made of: the plugin in one pipeline on the embedded broker, and the
//! messages, rows, outputs and config that its cases speak of.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, anyhow};
use serde_json::{Map, Value};

use crate::authoring::Case;
use crate::authoring::bench::Sample;
use crate::config::{
    self, Config, KeySource, Output, PluginLimits, Severity, Stage, Table, Unroutable,
};

/// The queue that the pipeline consumes.
pub(super) const QUEUE: &str = "dev";
/// Where all outputs lead; nobody listens there.
const OUTPUTS: &str = "dev.outputs";
/// The header that carries a message's key.
pub(super) const KEY: &str = "dev-key";
/// The file that the plugin is served from, in the host's own folder.
pub(super) const COMPONENT: &str = "plugin.wasm";

/// The rest of the config; the plugin's own settings come from its cases.
const TOML: &str = r#"
[broker.main]
url = "embedded:"

[[exchange]]
name = "dev.outputs"
kind = "fanout"

[[queue]]
name = "dev"
max_length = 10000
dead_letter = { exchange = "dev.dead", queue = "dev.dead", max_length = 1000 }

# What an author sees is what the plugin does, at once: nothing pauses it, puts it back or tries it first.
[[plugin]]
name = "plugin"
file = "plugin.wasm"
breaker = false
purity_sample = 1.0
reload = { watch = false, trial = false, probation = false }

[[pipeline]]
name = "plugin"
queue = "dev"
key = { header = "dev-key" }
stages = ["plugin"]
record = { failures = false }

[service]
http = false
shards = 1
"#;

/// All that differs from plugin to plugin, and from edit to edit.
#[derive(Clone, Debug, Default)]
pub(super) struct Play {
    /// The plugin's name.
    pub(super) name: String,
    /// What its pipeline is fed with, again and again.
    pub(super) samples: Vec<Sample>,
    /// What decides the host's config.
    pub(super) settings: Settings,
}

/// What decides the host's config.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Settings {
    /// The plugin's config, a MessagePack map.
    config: Vec<u8>,
    limits: PluginLimits,
    outputs: BTreeSet<String>,
    /// Rows of tables, by table and key.
    rows: BTreeMap<String, BTreeMap<String, Value>>,
}

impl Play {
    /// What those cases speak of. An operator's config may be given in place of the first case's;
    /// `outputs` are those that the plugin was seen to name.
    pub(super) fn of(
        name: &str,
        cases: &[Case],
        config: Option<&Value>,
        outputs: BTreeSet<String>,
    ) -> anyhow::Result<Self> {
        let mut settings = Settings { config: vec![0x80], outputs, ..Settings::default() };
        if let Some(case) = cases.first() {
            settings.config = case.config()?;
            settings.limits = case.limits()?;
        }
        if let Some(config) = config {
            settings.config = rmp_serde::to_vec_named(config)?;
        }
        let mut samples = Vec::new();
        for case in cases {
            samples.extend(Sample::of(case)?);
            for message in case.calls.iter().flat_map(|call| &call.messages) {
                let expected = message.expect.iter().flat_map(|it| &it.emissions);
                settings.outputs.extend(expected.map(|emitted| emitted.output.clone()));
                settings.add_rows(message.key.as_deref(), &message.row);
            }
        }
        Ok(Self { name: name.to_owned(), samples, settings })
    }
}

impl Settings {
    fn add_rows(&mut self, key: Option<&str>, rows: &Map<String, Value>) {
        let Some(key) = key else { return };
        for (table, row) in rows {
            let rows = self.rows.entry(table.clone()).or_default();
            rows.insert(key.to_owned(), row.clone());
        }
    }

    /// The config of a host whose files are in that folder.
    pub(super) fn config(
        &self,
        name: &str,
        folder: &Path,
        compiled: &Path,
    ) -> anyhow::Result<Config> {
        let (mut config, _) =
            config::parse(TOML, &folder.join("dev.toml")).map_err(|problems| {
                let errors = problems.iter().filter(|it| it.severity == Severity::Error);
                anyhow!("{}", errors.map(|it| it.message.clone()).collect::<Vec<_>>().join("; "))
            })?;
        config.service.state_dir = folder.join("state");
        config.service.archive_dir = folder.join("archive");
        config.service.cache_dir = Some(compiled.to_owned());
        for mut plugin in std::mem::take(&mut config.plugins).into_values() {
            name.clone_into(&mut plugin.name);
            plugin.config.clone_from(&self.config);
            plugin.limits.clone_from(&self.limits);
            config.plugins.insert(name.to_owned(), plugin);
        }
        for (table, rows) in &self.rows {
            let file = folder.join(format!("{table}.jsonl"));
            fs::write(&file, lines(rows)).with_context(|| format!("table '{table}'"))?;
            let (name, key) = (table.clone(), KEY.to_owned());
            config.tables.insert(table.clone(), Table { name, file, key });
        }
        for pipeline in &mut config.pipelines {
            name.clone_into(&mut pipeline.name);
            pipeline.key = Some(KeySource::Header(KEY.to_owned()));
            let tables = self.rows.keys().cloned().collect();
            pipeline.stages = vec![Stage { plugin: name.to_owned(), when: None, tables }];
            let output = Output {
                broker: pipeline.broker.clone(),
                exchange: OUTPUTS.to_owned(),
                routing_key: None,
                unroutable: Unroutable::Drop,
            };
            let outputs = self.outputs.iter().map(|name| (name.clone(), output.clone()));
            pipeline.outputs = outputs.collect();
        }
        Ok(config)
    }

    /// Adds an output that the plugin named; whether it is a new one.
    pub(super) fn add_output(&mut self, name: &str) -> bool {
        self.outputs.insert(name.to_owned())
    }
}

/// A table's rows as a file of them.
fn lines(rows: &BTreeMap<String, Value>) -> String {
    let line = |(key, row): (&String, &Value)| {
        let mut row = row.as_object().cloned().unwrap_or_default();
        row.insert(KEY.to_owned(), key.as_str().into());
        Value::Object(row).to_string() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests;
