//! A whole host in process, on a [`Treadmill`]: intake, shards, plugins, publishing, settling, and nothing
//! else.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use sluicegate::broker::Broker;
use sluicegate::service::Service;
use sluicegate::telemetry::Telemetry;
use sluicegate::{config, limits};
use tokio::runtime::Runtime;

use crate::dispatch::Logic;
use crate::guests;
use crate::method::{Contender, Done};
use crate::sample::{Wanted, samples};
use crate::treadmill::Treadmill;

/// Messages that are meant where a count of batches is asked for.
pub const BATCH: u64 = 256;
/// Messages that are prepared; each is handed out many times, under other ids and keys.
const PREPARED: usize = 1000;

/// A host to be started.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it is called.
    pub name: String,
    /// What its plugins compute.
    pub logic: Logic,
    /// Bytes of a body.
    pub bytes: usize,
    /// Threads that run plugins.
    pub shards: usize,
    /// Pipelines, each with a queue of its own.
    pub pipelines: usize,
    /// Stages of each.
    pub stages: usize,
    /// Keys.
    pub keys: u64,
    /// Fewest and most messages of a batch, within which a lane tunes itself; the host's own defaults where
    /// nothing is said.
    pub batch: Option<(usize, usize)>,
    /// Messages that are handed out in step; as many as it takes, where nothing is said.
    pub step: Option<u16>,
}

/// A running host.
pub struct Host {
    name: String,
    treadmill: Arc<Treadmill>,
    queues: Vec<String>,
    service: Option<Service>,
    runtime: Runtime,
    _folder: tempfile::TempDir,
}

/// A consumer that settles what it gets: what the treadmill costs itself.
pub struct Bare {
    treadmill: Arc<Treadmill>,
    _runtime: Runtime,
}

// === impl Plan ===

impl Plan {
    /// One pipeline of one stage on one shard.
    #[must_use]
    pub fn of(logic: Logic) -> Self {
        Self {
            name: logic.as_str().to_owned(),
            logic,
            bytes: 256,
            shards: 1,
            pipelines: 1,
            stages: 1,
            keys: 1000,
            batch: None,
            step: None,
        }
    }

    /// The same under another name.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    fn treadmill(&self) -> anyhow::Result<Arc<Treadmill>> {
        let encoding = self.logic.encoding();
        let wanted = Wanted { messages: PREPARED, keys: PREPARED, bytes: self.bytes, encoding };
        let samples = samples(wanted)?;
        Ok(match self.step {
            Some(step) => Treadmill::in_step(samples, self.keys, step),
            None => Treadmill::new(samples, self.keys),
        })
    }

    fn config(&self, folder: &Path) -> anyhow::Result<String> {
        let wasm = if self.logic == Logic::Anomaly { guests::ANOMALY } else { guests::PLAIN };
        std::fs::write(folder.join("plugin.wasm"), wasm)?;
        let mut text = format!(
            "broker.main.url = \"embedded:\"\n\
             service = {{ shards = {}, state_dir = \"state\", cache_dir = \"cache\", http = false }}\n\
             exchange = [{{ name = \"out\", kind = \"topic\" }}]\n\
             [[plugin]]\nname = \"plugin\"\nfile = \"plugin.wasm\"\nlimits.call = \"60s\"\nconfig.logic = \"{}\"\n",
            self.shards,
            self.logic.as_str()
        );
        let stages = vec!["\"plugin\""; self.stages].join(", ");
        let batch = self.batch.map_or(String::new(), |(least, most)| {
            format!("batch = {{ least = {least}, messages = {most} }}\n")
        });
        for n in 0..self.pipelines {
            write!(
                text,
                "[[queue]]\nname = \"q{n}\"\ndead_letter = \"discard\"\n\
                 [[pipeline]]\nname = \"p{n}\"\nqueue = \"q{n}\"\nkey.routing_key = 1\n\
                 stages = [{stages}]\noutputs.out.exchange = \"out\"\n{batch}"
            )?;
        }
        Ok(text)
    }
}

// === impl Host ===

impl Host {
    /// Starts one on the threads that the host itself has.
    ///
    /// # Errors
    /// It doesn't start.
    pub fn start(plan: &Plan) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let folder = tempfile::tempdir()?;
        // Plugins are compiled once for all hosts of a run.
        let text = plan.config(folder.path())?;
        let parsed = config::parse(&text, &folder.path().join("bench.toml"));
        let (mut config, _) = parsed.map_err(|problems| anyhow!("{problems:#?}"))?;
        config.service.cache_dir = Some(std::env::temp_dir().join("sluicegate-bench-cache"));
        let treadmill = plan.treadmill()?;
        let broker = Arc::clone(&treadmill) as Arc<dyn Broker>;
        let brokers = BTreeMap::from([("main".to_owned(), broker)]);
        let service = runtime.block_on(Service::start_on(config, Telemetry::new(), brokers))?;
        let queues = (0..plan.pipelines).map(|n| format!("q{n}")).collect();
        Ok(Self {
            name: plan.name.clone(),
            treadmill,
            queues,
            service: Some(service),
            runtime,
            _folder: folder,
        })
    }

    /// Messages that a batch takes at most, as the host found; 0 where it hasn't.
    #[must_use]
    pub fn batch_limit(&self) -> i64 {
        let pipelines = self.service.iter().flat_map(|service| service.status().pipelines);
        pipelines.map(|pipeline| pipeline.counters.batch_limit).next().unwrap_or(0)
    }

    /// Takes that many messages, spread over its pipelines.
    ///
    /// # Errors
    /// What came of them can't be right.
    pub fn run(&self, messages: u64) -> anyhow::Result<Done> {
        let each = messages.div_ceil(self.queues.len() as u64);
        self.treadmill.run(self.queues.iter().map(String::as_str), each)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(service) = self.service.take() {
            self.runtime.block_on(service.stop(Duration::from_secs(10)));
        }
    }
}

impl Contender for Host {
    fn name(&self) -> &str {
        &self.name
    }

    fn take(&mut self, batches: usize) -> anyhow::Result<Done> {
        self.run(batches as u64 * BATCH)
    }
}

// === impl Bare ===

impl Bare {
    /// On the same messages as that host.
    ///
    /// # Errors
    /// The messages can't be made.
    pub fn start(plan: &Plan) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let treadmill = plan.treadmill()?;
        let own = Arc::clone(&treadmill);
        runtime.spawn(async move { own.bare("q0", limits::BATCH_MESSAGES).await });
        Ok(Self { treadmill, _runtime: runtime })
    }
}

impl Contender for Bare {
    fn name(&self) -> &str {
        "the treadmill alone"
    }

    fn take(&mut self, batches: usize) -> anyhow::Result<Done> {
        self.treadmill.run(std::iter::once("q0"), batches as u64 * BATCH)
    }
}
