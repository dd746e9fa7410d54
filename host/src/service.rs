//! The only place that wires the rooms together: a config becomes brokers, plugins and pipelines that
//! run until they are stopped.
//!
//! What is wrong with config or plugins stops the start. A broker that doesn't answer doesn't: each has
//! a supervisor (`service/supervisor`) that connects, declares what the config needs and does so again
//! when a pipeline doubts that it is still there; meanwhile the host says that it isn't ready.

mod conditions;
mod folder;
mod governance;
mod keeping;
mod parts;
mod plugins;
mod reload;
mod state;
mod status;
mod supervisor;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::parts::{Parts, Tasks};
pub use self::reload::{Cause, Reloading};
use self::supervisor::{Needs, Supervisor};
use crate::admin;
use crate::broker::{self, Broker};
use crate::config::Config;
use crate::limits::LIVE_PING;
pub use crate::pipeline::load_plugins;
use crate::pipeline::observe::Observers;
use crate::pipeline::purity::Sampler;
use crate::pipeline::slot::PluginSlot;
use crate::pipeline::{Committer, Pipelines, load_all_plugins};
use crate::plugin::{Engine, EngineOptions};
use crate::recorder::Recorder;
use crate::reload::Reloads;
use crate::telemetry::Telemetry;

/// A running host.
pub struct Service {
    inner: Arc<Inner>,
    committer: Committer,
    /// The state folder, locked.
    _folder: Option<std::fs::File>,
}

/// How a host ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Not everything in hand could be finished in time: the rest was released to its queues.
    pub forced: bool,
}

struct Inner {
    /// Itself, for what it has done apart from whoever asked for it.
    own: Weak<Self>,
    /// What follows the config.
    parts: RwLock<Arc<Parts>>,
    /// The file that the config came from, where it is to be followed.
    file: OnceLock<PathBuf>,
    /// One reload at a time; whoever stops the host waits for it.
    reloading: tokio::sync::Mutex<()>,
    telemetry: Telemetry,
    engine: Engine,
    reloads: Reloads,
    pipelines: Pipelines,
    recorder: Arc<Recorder>,
    purity: Arc<Sampler>,
    started: Instant,
    /// Signs of life that all shards gave.
    pongs: AtomicU64,
    /// Milliseconds from the start to the last one.
    last_pong_ms: AtomicU64,
    drain: CancellationToken,
    /// The host is about to stop: nothing is begun any more.
    closing: CancellationToken,
    /// Everything but pipelines is over.
    stopping: CancellationToken,
    tasks: Mutex<JoinSet<()>>,
    /// Where tasks run, whoever asks for them.
    runtime: Handle,
}

impl Service {
    /// Loads the plugins and starts everything. Brokers may still be away.
    ///
    /// # Errors
    /// Every plugin that can't be loaded; a broker's settings that can't be used.
    pub async fn start(config: Config, telemetry: Telemetry) -> anyhow::Result<Self> {
        let brokers: BTreeMap<String, Arc<dyn Broker>> = config
            .brokers
            .iter()
            .map(|(name, settings)| (name.clone(), broker::open(name, settings)))
            .collect();
        Self::start_on(config, telemetry, brokers).await
    }

    /// The same on brokers that are already there, by their names in the config.
    ///
    /// # Errors
    /// As [`Service::start`].
    pub async fn start_on(
        config: Config,
        telemetry: Telemetry,
        brokers: BTreeMap<String, Arc<dyn Broker>>,
    ) -> anyhow::Result<Self> {
        let folder = folder::take(&config.service.state_dir)?;
        let stopping = CancellationToken::new();
        let mut tasks = Tasks { stopping: stopping.clone(), set: JoinSet::new() };
        // Before anything can happen that somebody is to be told of.
        let alerts = tasks.alerts(&config, &brokers, &telemetry);
        let engine = Engine::new(EngineOptions { cache_dir: config.service.cache_dir.clone() })?;
        let plugins = load_all_plugins(engine.clone(), &config).await?;
        let plugins: BTreeMap<String, Arc<PluginSlot>> =
            plugins.into_iter().map(|(name, plugin)| (name, PluginSlot::new(plugin))).collect();
        let stateful = plugins.values().any(|slot| slot.current().stateful());
        let store = keeping::open(&config, folder.is_some(), stateful).await?;
        let committer = Committer::start(store, telemetry.state())?;
        let plans = crate::topology::plan(&config);
        let mut connections = BTreeMap::new();
        for (name, broker) in brokers {
            let needs = Needs::of(&name, &config, plans.get(&name).cloned().unwrap_or_default());
            let (supervisor, connection) = Supervisor::new(broker, needs, &telemetry);
            tasks.spawn(supervisor.run());
            connections.insert(name, connection);
        }
        let governance = tasks.governance(&config, &connections, &telemetry);
        let recorder = Recorder::start(&config.service.state_dir, &config.pipelines, &telemetry)?;
        let state_dir = &config.service.state_dir;
        let recorded = plugins::recorded(&recorder);
        let reloads = Reloads::new(engine.clone(), telemetry.clone(), state_dir, recorded);
        plugins::attend(&reloads, &config, &plugins, &mut tasks);
        let tables = tables::Followed::default().altered(&config.tables, reloads.watch()).await?;
        let purity = Sampler::start(&config, &telemetry)?;
        let observers = observers(&recorder, &reloads, &purity);
        let parts = Parts {
            commits: committer.commits().clone(),
            config,
            connections,
            plugins,
            tables,
            observers,
            governance,
            alerts,
        };
        let pipelines = Pipelines::start(&parts.materials(&telemetry).setup()).await?;
        let inner = Arc::new_cyclic(|own| Inner {
            own: own.clone(),
            parts: RwLock::new(Arc::new(parts)),
            file: OnceLock::new(),
            reloading: tokio::sync::Mutex::default(),
            telemetry,
            engine,
            reloads,
            pipelines,
            recorder,
            purity,
            started: Instant::now(),
            pongs: AtomicU64::new(0),
            last_pong_ms: AtomicU64::new(0),
            drain: CancellationToken::new(),
            closing: CancellationToken::new(),
            stopping: stopping.clone(),
            tasks: Mutex::default(),
            runtime: Handle::current(),
        });
        tasks.spawn(listen_for_life(Arc::clone(&inner)));
        tasks.spawn(conditions::watch(Arc::clone(&inner)));
        *inner.tasks() = tasks.set;
        Ok(Self { inner, committer, _folder: folder })
    }

    /// A broker, by its name in the config.
    #[must_use]
    pub fn broker(&self, name: &str) -> Option<Arc<dyn Broker>> {
        self.inner.parts().connections.get(name).map(|it| Arc::clone(&it.broker))
    }

    /// The host's metrics.
    #[must_use]
    pub fn telemetry(&self) -> &Telemetry {
        &self.inner.telemetry
    }

    /// How everything is doing.
    #[must_use]
    pub fn status(&self) -> admin::Status {
        admin::Host::status(&*self.inner)
    }

    /// The host as the admin room sees it.
    #[must_use]
    pub fn host(&self) -> Arc<dyn admin::Host> {
        Arc::clone(&self.inner) as Arc<dyn admin::Host>
    }

    /// Resolves when an operator asks for a drain over the control socket.
    pub async fn drain_requested(&self) {
        self.inner.drain.cancelled().await;
    }

    /// How long what is in hand may take at a stop, as the config has it now.
    #[must_use]
    pub fn grace(&self) -> Duration {
        self.inner.parts().config.service.drain
    }

    /// A count that grows as long as every shard answers.
    pub fn progress(&self) -> impl Fn() -> bool + Send + 'static {
        let inner = Arc::clone(&self.inner);
        let seen = AtomicU64::new(0);
        move || {
            let now = inner.pongs.load(Ordering::Acquire);
            seen.swap(now, Ordering::AcqRel) != now
        }
    }

    /// Gives up on a drain that is under way.
    pub fn abandon(&self) -> impl FnOnce() + Send + 'static {
        let inner = Arc::clone(&self.inner);
        move || inner.pipelines.abandon()
    }

    /// Stops consuming, finishes what is in hand within `grace`, releases the rest, closes.
    pub async fn stop(self, grace: Duration) -> Stopped {
        let inner = &self.inner;
        inner.closing.cancel();
        let begun = Instant::now();
        // A reload that is under way ends pipelines itself, and must not begin any behind our back.
        let turn = match tokio::time::timeout(grace, inner.reloading.lock()).await {
            Ok(turn) => turn,
            Err(_) => {
                inner.pipelines.abandon();
                inner.reloading.lock().await
            }
        };
        let finished = inner.pipelines.drain(grace.saturating_sub(begun.elapsed())).await;
        drop(turn);
        self.committer.stop();
        inner.stopping.cancel();
        let mut tasks = std::mem::take(&mut *inner.tasks());
        while let Some(ended) = tasks.join_next().await {
            parts::note_end(ended);
        }
        for connection in inner.parts().connections.values() {
            connection.broker.close().await;
        }
        let recorder = Arc::clone(&self.inner.recorder);
        if let Err(error) = tokio::task::spawn_blocking(move || recorder.flush()).await {
            tracing::error!(%error, "the recorder couldn't finish");
        }
        Stopped { forced: !finished }
    }
}

/// Who looks on while plugins are called.
fn observers(recorder: &Arc<Recorder>, reloads: &Reloads, purity: &Arc<Sampler>) -> Observers {
    Arc::new([Arc::clone(recorder) as _, reloads.observer(), Arc::clone(purity) as _])
}

/// Asks the shards for signs of life until the host stops.
async fn listen_for_life(inner: Arc<Inner>) {
    let mut ticks = tokio::time::interval(LIVE_PING);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        inner.pipelines.ping().await;
        inner.last_pong_ms.store(inner.elapsed_ms(), Ordering::Release);
        inner.pongs.fetch_add(1, Ordering::AcqRel);
    }
}

// === impl Inner ===

impl Inner {
    /// What follows the config, as it is now.
    fn parts(&self) -> Arc<Parts> {
        Arc::clone(&self.parts.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
