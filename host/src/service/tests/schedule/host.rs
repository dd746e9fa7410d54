//! A host as the service wires it together, on shards that are tasks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use tokio::task::{AbortHandle, JoinHandle};

use super::book::Book;
use super::guest::Guest;
use super::plan::{Letters, Settings};
use crate::broker::Broker;
use crate::config::{self, Config};
use crate::pipeline::shard::Shard;
use crate::pipeline::slot::PluginSlot;
use crate::pipeline::{Committer, Pipelines, Readiness, Setup, Want};
use crate::plugin::{Engine, EngineOptions, Plugin};
use crate::reference::Tables;
use crate::service::supervisor::{Needs, Supervisor};
use crate::state::{MemoryStore, StateStore};
use crate::telemetry::Telemetry;
use crate::topology;

/// A running host.
pub(super) struct Host {
    pipelines: Pipelines,
    supervisor: JoinHandle<()>,
    shards: Vec<AbortHandle>,
    parts: Parts,
}

static NO_TABLES: LazyLock<Tables> = LazyLock::new(Tables::default);

/// What pipelines are made of.
struct Parts {
    config: Config,
    brokers: BTreeMap<String, Arc<dyn Broker>>,
    readiness: BTreeMap<String, Readiness>,
    plans: BTreeMap<String, topology::Plan>,
    plugins: BTreeMap<String, Arc<PluginSlot>>,
    committer: Committer,
    telemetry: Telemetry,
}

impl Parts {
    fn setup(&self) -> Setup<'_> {
        Setup {
            config: &self.config,
            brokers: &self.brokers,
            readiness: &self.readiness,
            plans: &self.plans,
            plugins: &self.plugins,
            tables: &NO_TABLES,
            observers: Arc::new([]),
            commits: self.committer.commits(),
            telemetry: &self.telemetry,
        }
    }
}

/// The one real plugin there is: stages need one that keeps state, and the double never calls it.
fn plugin() -> Arc<Plugin> {
    static PLUGIN: OnceLock<Arc<Plugin>> = OnceLock::new();
    let load = || {
        let engine = Engine::new(EngineOptions { cache_dir: None }).unwrap();
        let text = "broker.main.url = \"embedded:\"\n[[plugin]]\nname = \"first\"\nfile = \"builtin:meter-anomaly\"\n";
        let (config, _) = config::parse(text, Path::new("plugin.toml")).unwrap();
        let settings = config.plugins.values().next().unwrap();
        crate::service::load_plugins(&engine, settings).unwrap()
    };
    Arc::clone(PLUGIN.get_or_init(load))
}

impl Host {
    /// Wires a host together as [`crate::service::Service`] does.
    pub(super) async fn start(
        config: Config,
        wire: Arc<dyn Broker>,
        store: Arc<MemoryStore>,
        (book, life): (&Arc<Book>, usize),
        telemetry: Telemetry,
    ) -> Self {
        let plans = topology::plan(&config);
        let plan = plans["main"].clone();
        let needs = Needs::of("main", &config, plan);
        let (supervisor, connection) = Supervisor::new(Arc::clone(&wire), needs, &telemetry);
        let ready = connection.readiness;
        let readiness: BTreeMap<String, Readiness> = BTreeMap::from([("main".to_owned(), ready)]);
        let brokers = BTreeMap::from([("main".to_owned(), wire)]);
        let plugins = BTreeMap::from([("first".to_owned(), PluginSlot::new(plugin()))]);
        let store = store as Arc<dyn StateStore>;
        let (committer, keeping) = Committer::on_runtime(store, telemetry.state());
        let parts = Parts { config, brokers, readiness, plans, plugins, committer, telemetry };
        let mut shards = vec![keeping];
        let setup = parts.setup();
        let pipelines = Pipelines::start_on(&setup, |_, channel| {
            let guest = Guest::new(Arc::clone(book), life);
            let (shard, abort) = Shard::on_runtime(guest, channel);
            shards.push(abort);
            Ok(shard)
        });
        let pipelines = pipelines.await.unwrap();
        let supervisor = tokio::spawn(supervisor.run());
        Self { pipelines, supervisor, shards, parts }
    }

    /// Whether all was finished within that time.
    pub(super) async fn drain(self, grace: Duration) -> bool {
        let finished = self.pipelines.drain(grace).await;
        self.supervisor.abort();
        finished
    }

    pub(super) fn kill(self) {
        self.pipelines.kill();
        self.shards.iter().for_each(AbortHandle::abort);
        self.supervisor.abort();
    }

    /// Alters the pipeline as a config does that is read again.
    pub(super) async fn alter(&mut self, config: Config, grace: Duration) {
        self.parts.config = config;
        let setup = self.parts.setup();
        let prepared = self.pipelines.prepare(&setup, &setup.config.pipelines).unwrap();
        for prepared in prepared {
            let left = self.pipelines.end("main", grace).await;
            assert!(left.is_some(), "it runs");
            self.pipelines.add(prepared, left).await;
        }
    }

    pub(super) fn want(&self, want: Want) {
        assert!(self.pipelines.want("main", want));
    }

    pub(super) fn scale(&self, shards: usize) {
        assert!(self.pipelines.scale("main", shards).is_some());
    }

    /// Messages that it holds.
    pub(super) fn held(&self) -> i64 {
        self.parts.telemetry.snapshot()[0].in_flight
    }
}

/// The config of a schedule's host, whose state is in that folder.
pub(super) fn config(settings: &Settings, folder: &Path) -> Config {
    let parsed = config::parse(&text(settings), &folder.join("test.toml"));
    let (mut config, _) = parsed.unwrap_or_else(|problems| panic!("{problems:#?}"));
    config.service.state_dir = folder.to_owned();
    config.service.shards = settings.shards;
    config
}

fn text(settings: &Settings) -> String {
    let Settings { prefetch, batch, attempts, .. } = settings;
    let kind = if settings.quorum { "kind = \"quorum\"" } else { "max_priority = 9" };
    let to = |mode| format!(r#"{{ exchange = "dead", queue = "dead", mode = "{mode}" }}"#);
    let letters = match settings.letters {
        Letters::Nack => to("nack"),
        Letters::Annotate => to("annotate"),
        Letters::Discard => "\"discard\"".to_owned(),
    };
    format!(
        r##"
broker.main.url = "embedded:"
exchange = [
  {{ name = "in", kind = "topic" }},
  {{ name = "out", kind = "topic" }},
  {{ name = "aside", kind = "topic" }},
  {{ name = "void", kind = "fanout" }},
]

[[queue]]
name = "work"
{kind}
bind = [{{ exchange = "in", key = "#" }}]
dead_letter = {letters}

[[queue]]
name = "sink"
bind = [{{ exchange = "out", key = "#" }}]

[[queue]]
name = "mirror"
bind = [{{ exchange = "out", key = "order.*" }}]

[[queue]]
name = "aside"
bind = [{{ exchange = "aside", key = "#" }}]

[[plugin]]
name = "first"
file = "builtin:meter-anomaly"

[[pipeline]]
name = "main"
queue = "work"
key = {{ header = "key" }}
stages = ["first", "first"]
prefetch = {prefetch}
batch = {{ messages = {batch} }}
retry = {{ rungs = ["20ms", "40ms"], attempts = {{ retry = {}, trap = {}, deadline = {} }} }}
outputs.out = {{ exchange = "out" }}
outputs.aside = {{ exchange = "aside" }}
outputs.void = {{ exchange = "void" }}
"##,
        attempts.retry, attempts.trap, attempts.deadline
    )
}
