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
mod supervisor;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::supervisor::Supervisor;
use crate::admin::{self, Command, Following, Watch};
use crate::alert::Alerts;
use crate::broker::{self, Broker};
use crate::config::Config;
use crate::limits::{LIVE_PING, LIVE_SILENCE, TAP_RATE_MAX};
pub use crate::pipeline::load_plugins;
use crate::pipeline::observe::Observer;
use crate::pipeline::slot::PluginSlot;
use crate::pipeline::{Committer, Pipelines, Readiness, Setup, State, Want, load_all_plugins};
use crate::plugin::{Engine, EngineOptions};
use crate::recorder::{Ear, Recorder, TapSettings};
use crate::reference::Tables;
use crate::telemetry::Telemetry;
use crate::topology;

/// A running host.
pub struct Service {
    inner: Arc<Inner>,
    tasks: Vec<JoinHandle<()>>,
    stopping: CancellationToken,
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
    config: Config,
    telemetry: Telemetry,
    brokers: BTreeMap<String, Arc<dyn Broker>>,
    supervised: BTreeMap<String, watch::Receiver<supervisor::State>>,
    plugins: BTreeMap<String, Arc<PluginSlot>>,
    /// Kept for those who follow their files.
    #[expect(dead_code, reason = "followers hold it weakly")]
    tables: Arc<Tables>,
    pipelines: Pipelines,
    recorder: Arc<Recorder>,
    started: Instant,
    /// Signs of life that all shards gave.
    pongs: AtomicU64,
    /// Milliseconds from the start to the last one.
    last_pong_ms: AtomicU64,
    drain: CancellationToken,
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
        // Before anything can happen that somebody is to be told of.
        let alerts =
            (!config.notify.is_empty()).then(|| Alerts::new(&config.notify, &brokers, &telemetry));
        let engine = Engine::new(EngineOptions { cache_dir: config.service.cache_dir.clone() })?;
        let plugins = load_all_plugins(engine, &config).await?;
        let plugins: BTreeMap<String, Arc<PluginSlot>> =
            plugins.into_iter().map(|(name, plugin)| (name, PluginSlot::new(plugin))).collect();
        let stateful = plugins.values().any(|slot| slot.current().stateful());
        let store = keeping::open(&config, folder.is_some(), stateful).await?;
        let committer = Committer::start(store, telemetry.state())?;
        let plans = topology::plan(&config);
        let stopping = CancellationToken::new();
        let tables = tables::open(&config, &stopping).await?;
        let mut tasks = Vec::new();
        let mut supervised = BTreeMap::new();
        let mut readiness: BTreeMap<String, Readiness> = BTreeMap::new();
        for (name, broker) in &brokers {
            let plan = plans.get(name).cloned().unwrap_or_default();
            let (supervisor, state, ready) =
                Supervisor::new(name, Arc::clone(broker), &config, plan, &telemetry);
            supervised.insert(name.clone(), state);
            readiness.insert(name.clone(), ready);
            tasks.push(until(stopping.clone(), supervisor.run()));
        }
        let recorder = Recorder::start(&config.service.state_dir, &config.pipelines, &telemetry)?;
        let pipelines = Pipelines::start(&Setup {
            config: &config,
            brokers: &brokers,
            readiness: &readiness,
            plans: &plans,
            plugins: &plugins,
            tables: &tables,
            observers: Arc::new([Arc::clone(&recorder) as Arc<dyn Observer>]),
            commits: committer.commits(),
            telemetry: &telemetry,
        })
        .await?;
        let governance = governance::tasks(&config, &brokers, &readiness, &telemetry);
        tasks.extend(governance.into_iter().map(|task| until(stopping.clone(), task)));
        let inner = Arc::new(Inner {
            config,
            telemetry,
            brokers,
            supervised,
            plugins,
            tables,
            pipelines,
            recorder,
            started: Instant::now(),
            pongs: AtomicU64::new(0),
            last_pong_ms: AtomicU64::new(0),
            drain: CancellationToken::new(),
        });
        tasks.push(tokio::spawn(listen_for_life(Arc::clone(&inner), stopping.clone())));
        tasks.push(tokio::spawn(conditions::watch(Arc::clone(&inner), stopping.clone())));
        if let Some(alerts) = alerts {
            tasks.push(until(stopping.clone(), alerts.run()));
        }
        Ok(Self { inner, tasks, stopping, committer, _folder: folder })
    }

    /// A broker, by its name in the config.
    #[must_use]
    pub fn broker(&self, name: &str) -> Option<Arc<dyn Broker>> {
        self.inner.brokers.get(name).cloned()
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
        let finished = self.inner.pipelines.drain(grace).await;
        self.committer.stop();
        self.stopping.cancel();
        for task in self.tasks {
            if let Err(error) = task.await
                && error.is_panic()
            {
                tracing::error!(%error, "a supervisor panicked");
            }
        }
        for broker in self.inner.brokers.values() {
            broker.close().await;
        }
        let recorder = Arc::clone(&self.inner.recorder);
        if let Err(error) = tokio::task::spawn_blocking(move || recorder.flush()).await {
            tracing::error!(%error, "the recorder couldn't finish");
        }
        Stopped { forced: !finished }
    }
}

/// Runs it until the host stops.
fn until(
    stopping: CancellationToken,
    task: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        tokio::select! {
            () = task => {}
            () = stopping.cancelled() => {}
        }
    })
}

/// Asks the shards for signs of life until the host stops.
async fn listen_for_life(inner: Arc<Inner>, stopping: CancellationToken) {
    let mut ticks = tokio::time::interval(LIVE_PING);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            _ = ticks.tick() => {}
        }
        tokio::select! {
            () = stopping.cancelled() => return,
            () = inner.pipelines.ping() => {}
        }
        inner.last_pong_ms.store(inner.elapsed_ms(), Ordering::Release);
        inner.pongs.fetch_add(1, Ordering::AcqRel);
    }
}

// === impl Inner ===

impl Inner {
    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn broker_status(&self, name: &str) -> admin::BrokerStatus {
        let kind = match self.config.brokers.get(name).map(|broker| &broker.kind) {
            Some(crate::config::BrokerKind::Amqp(_)) => "amqp",
            Some(crate::config::BrokerKind::Embedded) | None => "embedded",
        };
        let state = self.supervised.get(name).map(|state| state.borrow().clone());
        let state = state.unwrap_or_default();
        admin::BrokerStatus {
            name: name.to_owned(),
            kind: kind.to_owned(),
            connected: state.trouble.is_none(),
            server: state.server.map(|server| format!("{} {}", server.product, server.version)),
            error: state.trouble,
        }
    }

    fn pipeline_status(&self) -> Vec<admin::PipelineStatus> {
        let mut counters: BTreeMap<String, _> = self
            .telemetry
            .snapshot()
            .into_iter()
            .map(|snapshot| (snapshot.name.clone(), snapshot))
            .collect();
        let status = |pipeline: crate::pipeline::PipelineStatus| admin::PipelineStatus {
            counters: counters.remove(&pipeline.name).unwrap_or_default(),
            state: match pipeline.state {
                State::Running => admin::PipelineState::Running,
                State::Waiting(_) => admin::PipelineState::Connecting,
                State::Paused => admin::PipelineState::Paused,
                State::Draining => admin::PipelineState::Draining,
                State::Stopped => admin::PipelineState::Stopped,
            },
            name: pipeline.name,
            queue: pipeline.queue,
        };
        self.pipelines.status().into_iter().map(status).collect()
    }
}

impl admin::Host for Inner {
    fn live(&self) -> bool {
        let silence = self.elapsed_ms().saturating_sub(self.last_pong_ms.load(Ordering::Acquire));
        u128::from(silence) < LIVE_SILENCE.as_millis()
    }

    fn ready(&self) -> admin::Readiness {
        let mut reasons = Vec::new();
        if self.drain.is_cancelled() {
            reasons.push("draining".to_owned());
        }
        for (name, state) in &self.supervised {
            if let Some(trouble) = &state.borrow().trouble {
                reasons.push(format!("broker '{name}': {trouble}"));
            }
        }
        for (name, broker) in &self.brokers {
            if let Some(why) = broker.link().blocked {
                reasons.push(format!("broker '{name}' takes no publishes: {why}"));
            }
        }
        let mut paused: BTreeMap<String, Option<String>> = self
            .telemetry
            .snapshot()
            .into_iter()
            .map(|snapshot| (snapshot.name, snapshot.paused))
            .collect();
        for pipeline in self.pipelines.status() {
            let name = &pipeline.name;
            match pipeline.state {
                State::Running => {}
                State::Waiting(why) => {
                    reasons.push(format!("pipeline '{name}': {why}"));
                    continue;
                }
                State::Paused => reasons.push(format!("pipeline '{name}' is paused")),
                State::Draining => reasons.push(format!("pipeline '{name}' is draining")),
                State::Stopped => reasons.push(format!("pipeline '{name}' has stopped")),
            }
            if let Some(why) = paused.remove(name).flatten() {
                reasons.push(format!("pipeline '{name}' can't publish: {why}"));
            }
        }
        admin::Readiness::unless(reasons)
    }

    fn status(&self) -> admin::Status {
        let plugin = |slot: &Arc<PluginSlot>| {
            let plugin = slot.current();
            admin::PluginStatus {
                name: plugin.name().to_owned(),
                version: plugin.description().version.clone(),
                digest: plugin.digest().to_owned(),
                sdk: plugin.description().sdk.clone(),
                memory_bytes: 0,
            }
        };
        admin::Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_s: self.started.elapsed().as_secs(),
            readiness: admin::Host::ready(self),
            brokers: self.brokers.keys().map(|name| self.broker_status(name)).collect(),
            pipelines: self.pipeline_status(),
            plugins: self.plugins.values().map(plugin).collect(),
        }
    }

    fn control(&self, command: Command) -> Result<String, String> {
        let known = |name: &str, want, done: &str| {
            if self.pipelines.want(name, want) {
                return Ok(format!("pipeline '{name}' {done}"));
            }
            let names: Vec<&str> =
                self.config.pipelines.iter().map(|pipeline| pipeline.name.as_str()).collect();
            Err(format!("there is no pipeline '{name}'; there are: {}", names.join(", ")))
        };
        match command {
            Command::Drain => {
                if self.drain.is_cancelled() {
                    return Err("already draining".to_owned());
                }
                self.drain.cancel();
                Ok(format!(
                    "draining: at most {} s for what is in hand",
                    self.config.service.drain.as_secs()
                ))
            }
            Command::Pause(name) => known(&name, Want::Pause, "takes no more deliveries"),
            Command::Resume(name) => known(&name, Want::Run, "takes deliveries again"),
        }
    }

    fn follow(&self, watch: Watch) -> Result<Following, String> {
        let Watch::Tap(tap) = watch;
        let (lines, following) = Following::new(format!("pipeline '{}'", tap.pipeline));
        let settings = TapSettings {
            bodies: tap.bodies,
            sample: f64::from(tap.sample_ppm) / 1e6,
            rate: tap.rate.min(TAP_RATE_MAX),
            record: tap.record,
        };
        let ear = Ear { lines: lines.sender, lost: lines.lost };
        self.recorder.tap(&tap.pipeline, settings, ear)?;
        Ok(following)
    }
}
