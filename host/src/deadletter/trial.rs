//! Letters through their pipelines with a candidate plugin in place: nothing is published, nothing
//! settled. Each letter runs as its replay would, alone in time: there is no state here, so a plugin that
//! keeps some sees each key for the first time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use super::Trouble;
use super::replay::{Replay, Target};
use super::work::{Deal, End, Found};
use crate::broker::{Delivery, Outgoing, Publisher, Receipt, Settlement, Settler};
use crate::clock::Clock;
use crate::config::{self, Config, PluginSource};
use crate::limits::DLQ_TRIAL_BATCH;
use crate::message::Message;
use crate::pipeline::instances::{Instances, Which};
use crate::pipeline::job::Job;
use crate::pipeline::load_plugins;
use crate::pipeline::prepare::{Arrival, Reading};
use crate::pipeline::slot::PluginSlot;
use crate::pipeline::stages::{self, Outcome, Setting, Stage};
use crate::plugin::{Engine, EngineOptions, Plugin};
use crate::reference::Tables;
use crate::telemetry::{PipelineMetrics, Telemetry};

/// A plugin's name in the config and the file to try in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The name.
    pub plugin: String,
    /// The file.
    pub file: PathBuf,
}

/// Runs letters, and notes what would become of each.
pub struct Trial {
    labs: BTreeMap<String, Lab>,
    /// How the copy that a replay would send is made.
    replay: Replay,
    /// What would become of each: the first of them.
    pub rows: Vec<TrialRow>,
    /// How many rows are kept.
    pub rows_max: usize,
    /// How many of each old code came out how.
    pub changes: BTreeMap<(String, String), u64>,
    /// Plugins that keep state, which they don't find here.
    pub stateful: Vec<String>,
}

/// What would become of one letter.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct TrialRow {
    /// The failure's id, or the letter's digest.
    pub id: String,
    /// The message's.
    pub message_id: Option<String>,
    /// The code that it failed with.
    pub was: String,
    /// `done`, `dropped`, or the class of its failure.
    pub outcome: String,
    /// The code of its failure now, or the reason for which it is dropped.
    pub code: Option<String>,
    /// The text of its failure now.
    pub text: Option<String>,
    /// Where it would be published: the names of outputs, each as often as it is emitted to.
    pub outputs: Vec<String>,
}

/// A pipeline without its queue.
struct Lab {
    pipeline: String,
    reading: Reading,
    stages: Vec<Stage>,
    plugins: Vec<Arc<PluginSlot>>,
    instances: Instances,
    outputs: Vec<String>,
    metrics: PipelineMetrics,
}

/// Settles nothing: what runs here was copied.
struct Nowhere;

impl Settler for Nowhere {
    fn settle(&self, _: u64, _: Settlement) {}
    fn is_stale(&self) -> bool {
        false
    }
    fn dropped(&self, _: u64) {}
}

impl Trial {
    /// The pipelines of that broker that use the candidates, with these in place.
    ///
    /// # Errors
    /// A name that the config doesn't have, or a plugin that can't be loaded.
    pub fn new(
        config: &Config,
        broker: &str,
        candidates: &[Candidate],
        replay: Replay,
    ) -> Result<Self, Trouble> {
        let engine = Engine::new(EngineOptions { cache_dir: config.service.cache_dir.clone() })
            .map_err(|error| Trouble::Other(error.to_string()))?;
        let telemetry = Telemetry::new();
        let mut labs = BTreeMap::new();
        let mut stateful = Vec::new();
        for (index, pipeline) in config.pipelines.iter().enumerate() {
            let uses = |candidate: &Candidate| {
                pipeline.stages.iter().any(|stage| stage.plugin == candidate.plugin)
            };
            if pipeline.broker != broker || !candidates.iter().any(uses) {
                continue;
            }
            let index = u16::try_from(index).unwrap_or(u16::MAX);
            let metrics = telemetry.pipeline(&pipeline.name);
            let lab = Lab::new((config, &engine), (index, pipeline), candidates, metrics)?;
            let keeping = lab.plugins.iter().filter(|slot| slot.current().stateful());
            stateful.extend(keeping.map(|slot| slot.name().to_owned()));
            labs.insert(pipeline.queue.clone(), lab);
        }
        if labs.is_empty() {
            let names: Vec<&str> = candidates.iter().map(|c| c.plugin.as_str()).collect();
            return Err(Trouble::Other(format!(
                "no pipeline on broker '{broker}' uses plugin '{}'; write --plugin NAME=FILE with a \
                 plugin of the config",
                names.join("', '")
            )));
        }
        stateful.sort();
        stateful.dedup();
        let replay = Replay { target: Target::Origin, dry: true, ..replay };
        Ok(Self { labs, replay, rows: Vec::new(), rows_max: 0, changes: BTreeMap::new(), stateful })
    }

    fn note(&mut self, found: &Found, tried: TrialRow) {
        let is = match &tried.code {
            Some(code) => format!("{}: {code}", tried.outcome),
            None if tried.outputs.is_empty() => tried.outcome.clone(),
            None => format!("{} → {}", tried.outcome, tried.outputs.join(", ")),
        };
        let was = format!("{}: {}", found.report.class, found.report.code);
        *self.changes.entry((was, is)).or_default() += 1;
        if self.rows.len() < self.rows_max {
            self.rows.push(tried);
        }
    }
}

#[async_trait]
impl Deal for Trial {
    fn what(&self) -> &'static str {
        "tried"
    }

    async fn deal(&mut self, group: &[Found], _: &mut dyn Publisher) -> Result<Vec<End>, Trouble> {
        let mut ends = vec![End::Kept; group.len()];
        let mut by_queue: BTreeMap<String, Vec<(usize, Outgoing)>> = BTreeMap::new();
        for (at, found) in group.iter().enumerate() {
            let copy = self.replay.message(found).and_then(|copy| {
                let known = self.labs.contains_key(&copy.routing_key);
                let unused = "its pipeline doesn't use that plugin".to_owned();
                if known { Ok(copy) } else { Err(unused) }
            });
            match copy {
                Ok(copy) => by_queue.entry(copy.routing_key.clone()).or_default().push((at, copy)),
                Err(why) => ends[at] = End::Left(why),
            }
        }
        for (queue, copies) in by_queue {
            for batch in copies.chunks(DLQ_TRIAL_BATCH) {
                let Some(lab) = self.labs.get_mut(&queue) else { continue };
                let outcomes = lab.run(batch.iter().map(|(_, copy)| copy));
                for ((at, _), outcome) in batch.iter().zip(outcomes) {
                    self.note(&group[*at], row(&group[*at], outcome));
                }
            }
        }
        Ok(ends)
    }
}

fn row(found: &Found, outcome: Outcome) -> TrialRow {
    let report = &found.report;
    let mut row = TrialRow {
        id: if report.id.is_empty() { found.letter.digest.clone() } else { report.id.clone() },
        message_id: report.message_id.clone(),
        was: report.code.clone(),
        outcome: "done".to_owned(),
        code: None,
        text: None,
        outputs: Vec::new(),
    };
    let names = |emitted: Vec<stages::Emitted>| {
        emitted.into_iter().map(|emitted| emitted.emission.output).collect()
    };
    match outcome {
        Outcome::Done(emitted) => row.outputs = names(emitted),
        Outcome::Dropped { reason, emitted } => {
            row.outcome = "dropped".to_owned();
            row.code = Some(reason);
            row.outputs = names(emitted);
        }
        Outcome::Failed(failure) => {
            row.outcome = failure.class.as_str().to_owned();
            row.code = Some(failure.code);
            row.text = Some(failure.text);
        }
    }
    row
}

// === impl Lab ===

impl Lab {
    fn new(
        (config, engine): (&Config, &Engine),
        (index, pipeline): (u16, &config::Pipeline),
        candidates: &[Candidate],
        metrics: PipelineMetrics,
    ) -> Result<Self, Trouble> {
        let mut plugins: Vec<Arc<PluginSlot>> = Vec::new();
        let mut stages = Vec::new();
        let mut tables = Tables::default();
        if pipeline.stages.iter().any(|stage| !stage.tables.is_empty()) {
            tables = Tables::load(&config.tables).map_err(|errors| {
                Trouble::Other(errors.first().map(ToString::to_string).unwrap_or_default())
            })?;
        }
        for (at, stage) in pipeline.stages.iter().enumerate() {
            let known = plugins.iter().find(|slot| slot.name() == stage.plugin).cloned();
            let slot = match known {
                Some(slot) => slot,
                None => PluginSlot::new(load(config, engine, &stage.plugin, candidates)?),
            };
            let tables = stage.tables.iter().filter_map(|name| tables.get(name).cloned()).collect();
            stages.push(Stage::new(stage, (index, at), tables));
            plugins.push(slot);
        }
        let reading = Reading {
            salt: Reading::salt(&pipeline.name),
            key: pipeline.key.clone(),
            key_required: pipeline.key_required,
            content_type: pipeline.content_type.clone(),
            kind: pipeline.kind.clone(),
            separator: config.separator_of(&pipeline.broker),
            id: pipeline.id.clone(),
            nonce: [0; 16],
        };
        let outputs = pipeline.outputs.keys().cloned().collect();
        let pipeline = pipeline.name.clone();
        Ok(Self {
            pipeline,
            reading,
            stages,
            plugins,
            instances: Instances::default(),
            outputs,
            metrics,
        })
    }

    fn run<'c>(&mut self, copies: impl Iterator<Item = &'c Outgoing>) -> Vec<Outcome> {
        let jobs: Vec<Job> = (0..).zip(copies).map(|(at, copy)| self.job(at, copy)).collect();
        let outputs = &self.outputs;
        let resolve = |name: &str| {
            outputs.iter().position(|output| output == name).ok_or_else(|| {
                format!("the plugin emitted to output '{name}', which the pipeline doesn't have")
            })
        };
        let setting = Setting {
            stages: &self.stages,
            view: &|_, _| None,
            resolve: &resolve,
            now_us: Clock::system().now_us(),
            timers_full: false,
        };
        let pipeline = &self.pipeline;
        self.instances.follow(0, &self.plugins);
        let mut call =
            self.instances.stages((0, Which::Serving), pipeline, (&[], &[]), &self.metrics);
        let run = stages::run(&setting, &mut call, &jobs);
        for job in jobs {
            job.settle(Settlement::Release);
        }
        run.outcomes
    }

    /// The job that the pipeline would make of the replayed message.
    fn job(&self, sequence: u64, copy: &Outgoing) -> Job {
        let message = Message {
            exchange: copy.exchange.clone(),
            routing_key: copy.routing_key.clone(),
            properties: copy.properties.clone(),
            body: copy.body.clone(),
        };
        let receipt = Receipt::new(Arc::new(Nowhere), sequence);
        let delivery =
            Delivery { message, redelivered: false, delivery_count: None, unfit: None, receipt };
        let received = tokio::time::Instant::now();
        self.reading.prepare(Arrival { delivery, received, consumer: 0, sequence })
    }
}

/// A plugin of the config, or the candidate for its place.
fn load(
    config: &Config,
    engine: &Engine,
    name: &str,
    candidates: &[Candidate],
) -> Result<Arc<Plugin>, Trouble> {
    let Some(settings) = config.plugins.get(name) else {
        return Err(Trouble::Other(format!("the config has no plugin '{name}'")));
    };
    let mut settings = settings.clone();
    if let Some(candidate) = candidates.iter().find(|candidate| candidate.plugin == name) {
        settings.source = PluginSource::File(candidate.file.clone());
        settings.sha256 = None;
    }
    load_plugins(engine, &settings).map_err(|error| Trouble::Other(error.to_string()))
}
