//! One broker's supervisor: sees to it that what the config needs is there, before anything is consumed
//! and again whenever that is in doubt.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::broker::{Broker, Publisher, Server, Uses, Version};
use crate::config::{self, Config};
use crate::limits::LINK_LOOK;
use crate::pipeline::{Backoff, Readiness};
use crate::telemetry::{BrokerMetrics, Telemetry};
use crate::topology::{self, Finding, Plan, Severity};

/// How a broker is doing.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// What answered there last.
    pub(super) server: Option<Server>,
    /// What is in the way; `None` where all is well.
    pub(super) trouble: Option<String>,
}

/// What a config asks of a broker.
#[derive(Debug)]
pub(super) struct Needs {
    name: String,
    settings: Option<config::Broker>,
    plan: Plan,
    /// The config as far as this broker goes.
    config: Config,
}

/// A broker with its supervisor, as the rest of the host knows them.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) states: watch::Receiver<State>,
    pub(super) readiness: Readiness,
    needs: Arc<watch::Sender<Arc<Needs>>>,
    /// Ends the supervisor.
    pub(super) over: CancellationToken,
}

/// One broker's supervisor.
pub(super) struct Supervisor {
    name: String,
    broker: Arc<dyn Broker>,
    needs: watch::Receiver<Arc<Needs>>,
    /// The version that was found to be able to do it all.
    suited: Option<Version>,
    metrics: BrokerMetrics,
    state: watch::Sender<State>,
    ready: watch::Sender<Result<(), String>>,
    doubts: mpsc::Receiver<()>,
    /// Held open where outputs go here, so that a broker that is lost is missed before anything is
    /// published.
    line: Option<Box<dyn Publisher>>,
    over: CancellationToken,
    /// Held, for nobody else may: a broker that only outputs go to has no pipeline that doubts.
    _doubt: mpsc::Sender<()>,
}

impl Needs {
    /// What that config asks of the broker of that name.
    pub(super) fn of(name: &str, config: &Config, plan: Plan) -> Arc<Self> {
        let mut own = config.clone();
        own.brokers.retain(|broker, _| broker == name);
        let settings = config.brokers.get(name).cloned();
        Arc::new(Self { name: name.to_owned(), settings, plan, config: own })
    }

    /// Has everything declared or compared before something relies on it: what lets messages in comes
    /// last, after all else is known to be as it is wanted.
    pub(super) async fn meet(&self, broker: &dyn Broker) -> Result<(), String> {
        let server = broker.server().await.map_err(|error| error.to_string())?;
        self.suits(server.version)?;
        self.declare(broker, &self.plan.objects()).await?;
        self.declare(broker, &self.plan).await
    }

    /// Whether nothing else is to be declared than for these.
    pub(super) fn declares_as(&self, other: &Self) -> bool {
        self.plan == other.plan && self.settings == other.settings
    }

    async fn declare(&self, broker: &dyn Broker, plan: &Plan) -> Result<(), String> {
        let Some(settings) = &self.settings else { return Ok(()) };
        let applied = topology::prepare(broker, settings, plan).await.map_err(|errors| {
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            texts.join("; ")
        })?;
        for unverified in applied.unverified {
            tracing::warn!(broker = self.name, unverified, "can't be compared");
        }
        Ok(())
    }

    /// Whether this version of the broker can do what the config asks of it, and what is merely unwise.
    fn suits(&self, version: Version) -> Result<Vec<Finding>, String> {
        let versions = BTreeMap::from([(self.name.clone(), Some(version))]);
        let (errors, rest): (Vec<Finding>, Vec<Finding>) =
            topology::findings(&self.config, &versions)
                .into_iter()
                .partition(|finding| finding.severity == Severity::Error);
        if errors.is_empty() {
            return Ok(rest);
        }
        let texts: Vec<String> =
            errors.iter().map(|error| format!("{}: {}", error.place, error.text)).collect();
        Err(texts.join("; "))
    }

    fn uses(&self) -> Uses {
        let pipelines = || self.config.pipelines.iter();
        let to_here = |output: &config::Output| output.broker == self.name;
        let queues = || self.config.queues.iter().filter(|queue| queue.broker == self.name);
        Uses {
            consumes: pipelines().any(|it| queues().any(|queue| queue.name == it.queue)),
            publishes: pipelines().any(|it| it.outputs.values().any(to_here)),
        }
    }
}

impl Connection {
    /// What is asked of the broker now.
    pub(super) fn needs(&self) -> Arc<Needs> {
        Arc::clone(&self.needs.borrow())
    }

    /// Something else is asked of it from now on, and there already.
    pub(super) fn ask(&self, needs: Arc<Needs>) {
        self.needs.send_replace(needs);
    }
}

impl Supervisor {
    /// A supervisor that does nothing yet, and what others know of it.
    pub(super) fn new(
        broker: Arc<dyn Broker>,
        needs: Arc<Needs>,
        telemetry: &Telemetry,
    ) -> (Self, Connection) {
        let connecting = "not connected yet".to_owned();
        let (state, states) =
            watch::channel(State { server: None, trouble: Some(connecting.clone()) });
        let (ready, readiness) = watch::channel(Err(connecting));
        let (doubt, doubts) = mpsc::channel(1);
        let (asks, asked) = watch::channel(Arc::clone(&needs));
        let over = CancellationToken::new();
        let connection = Connection {
            broker: Arc::clone(&broker),
            states,
            readiness: Readiness { ready: readiness, doubt: doubt.clone() },
            needs: Arc::new(asks),
            over: over.clone(),
        };
        let supervisor = Self {
            metrics: telemetry.broker(&needs.name),
            name: needs.name.clone(),
            broker,
            needs: asked,
            suited: None,
            state,
            ready,
            doubts,
            line: None,
            over,
            _doubt: doubt,
        };
        (supervisor, connection)
    }

    /// Prepares the broker, and again after each doubt, until its connection is over.
    pub(super) async fn run(self) {
        let over = self.over.clone();
        tokio::select! {
            () = over.cancelled() => {}
            () = self.watch_over() => {}
        }
    }

    async fn watch_over(mut self) {
        let mut backoff = Backoff::default();
        let mut prepared_before = false;
        loop {
            match self.prepare().await {
                Ok(server) => {
                    backoff.reset();
                    self.metrics.connected(true);
                    if prepared_before {
                        self.metrics.reconnected();
                    }
                    prepared_before = true;
                    tracing::info!(
                        broker = self.name,
                        server = %format_args!("{} {}", server.product, server.version),
                        objects = self.needs.borrow().plan.shared.len(),
                        "broker ready"
                    );
                    self.state.send_replace(State { server: Some(server), trouble: None });
                    drop(self.ready.send_replace(Ok(())));
                    self.doubted().await;
                    self.tell("looking whether everything is still there".to_owned());
                }
                Err(trouble) => {
                    tracing::error!(broker = self.name, %trouble, "broker not ready; trying again");
                    self.metrics.connected(false);
                    self.tell(trouble);
                    backoff.wait().await;
                    while self.doubts.try_recv().is_ok() {}
                }
            }
        }
    }

    /// Waits until a pipeline doubts, or a connection is lost that pipelines may not be using now.
    async fn doubted(&mut self) {
        let mut broken = self.broker.link().broken;
        let mut ticks = tokio::time::interval(LINK_LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let doubt = tokio::select! {
                biased;
                _ = self.doubts.recv() => true,
                // Whoever asks for something else has declared it; only the line may be missing.
                Ok(()) = self.needs.changed() => {
                    self.suited = None;
                    self.hold_line().await.is_err()
                }
                _ = ticks.tick() => false,
            };
            let now = self.broker.link();
            self.metrics.blocked(now.blocked.is_some());
            self.metrics.receipts_dropped(now.receipts_dropped);
            if doubt || now.broken && !broken {
                return;
            }
            broken = now.broken;
        }
    }

    fn tell(&self, trouble: String) {
        drop(self.ready.send_replace(Err(trouble.clone())));
        self.state.send_modify(|state| state.trouble = Some(trouble));
    }

    async fn prepare(&mut self) -> Result<Server, String> {
        let needs = Arc::clone(&self.needs.borrow_and_update());
        // One handshake beside the other, not one after the other.
        let (server, ()) = tokio::join!(self.broker.server(), self.broker.connect(needs.uses()));
        let server = server.map_err(|error| error.to_string())?;
        if self.suited != Some(server.version) {
            for Finding { severity, place, text } in needs.suits(server.version)? {
                match severity {
                    Severity::Note => tracing::info!(broker = self.name, place, "{text}"),
                    _ => tracing::warn!(broker = self.name, place, "{text}"),
                }
            }
            self.suited = Some(server.version);
        }
        self.hold_line().await?;
        needs.declare(&*self.broker, &needs.plan).await?;
        Ok(server)
    }

    async fn hold_line(&mut self) -> Result<(), String> {
        if self.needs.borrow().uses().publishes {
            let line = self.broker.publisher().await.map_err(|error| error.to_string())?;
            self.line = Some(line);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
