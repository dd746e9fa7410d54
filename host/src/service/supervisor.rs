//! One broker's supervisor: sees to it that what the config needs is there, before anything is consumed
//! and again whenever that is in doubt.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use crate::broker::{Broker, Publisher, Server, Version};
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

/// One broker's supervisor.
pub(super) struct Supervisor {
    name: String,
    broker: Arc<dyn Broker>,
    settings: Option<config::Broker>,
    plan: Plan,
    /// The config as far as this broker goes.
    config: Config,
    /// The version that was found to be able to do it all.
    suited: Option<Version>,
    metrics: BrokerMetrics,
    state: watch::Sender<State>,
    ready: watch::Sender<Result<(), String>>,
    doubts: mpsc::Receiver<()>,
    /// Held open where outputs go here, so that a broker that is lost is missed before anything is
    /// published.
    line: Option<Box<dyn Publisher>>,
    /// Held, for nobody else may: a broker that only outputs go to has no pipeline that doubts.
    _doubt: mpsc::Sender<()>,
}

impl Supervisor {
    /// A supervisor, the state it keeps, and what pipelines need of it.
    pub(super) fn new(
        name: &str,
        broker: Arc<dyn Broker>,
        config: &Config,
        plan: Plan,
        telemetry: &Telemetry,
    ) -> (Self, watch::Receiver<State>, Readiness) {
        let connecting = "not connected yet".to_owned();
        let (state, states) =
            watch::channel(State { server: None, trouble: Some(connecting.clone()) });
        let (ready, readiness) = watch::channel(Err(connecting));
        let (doubt, doubts) = mpsc::channel(1);
        let supervisor = Self {
            name: name.to_owned(),
            broker,
            settings: config.brokers.get(name).cloned(),
            plan,
            config: {
                let mut own = config.clone();
                own.brokers.retain(|broker, _| broker == name);
                own
            },
            suited: None,
            metrics: telemetry.broker(name),
            state,
            ready,
            doubts,
            line: None,
            _doubt: doubt.clone(),
        };
        (supervisor, states, Readiness { ready: readiness, doubt })
    }

    /// Prepares the broker, and again after each doubt, for as long as it is polled.
    pub(super) async fn run(mut self) {
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
                        objects = self.plan.shared.len(),
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

    /// Whether this version of the broker can do what the config asks of it; what is merely unwise is
    /// logged when the version is first seen.
    fn suits(&mut self, version: Version) -> Result<(), String> {
        if self.suited == Some(version) {
            return Ok(());
        }
        let versions = BTreeMap::from([(self.name.clone(), Some(version))]);
        let (errors, rest): (Vec<Finding>, Vec<Finding>) =
            topology::findings(&self.config, &versions)
                .into_iter()
                .partition(|finding| finding.severity == Severity::Error);
        if !errors.is_empty() {
            let texts: Vec<String> =
                errors.iter().map(|error| format!("{}: {}", error.place, error.text)).collect();
            return Err(texts.join("; "));
        }
        for Finding { severity, place, text } in rest {
            match severity {
                Severity::Note => tracing::info!(broker = self.name, place, "{text}"),
                _ => tracing::warn!(broker = self.name, place, "{text}"),
            }
        }
        self.suited = Some(version);
        Ok(())
    }

    fn tell(&self, trouble: String) {
        drop(self.ready.send_replace(Err(trouble.clone())));
        self.state.send_modify(|state| state.trouble = Some(trouble));
    }

    async fn prepare(&mut self) -> Result<Server, String> {
        let server = self.broker.server().await.map_err(|error| error.to_string())?;
        self.suits(server.version)?;
        let to_here = |output: &config::Output| output.broker == self.name;
        let pipelines = &self.config.pipelines;
        if pipelines.iter().any(|pipeline| pipeline.outputs.values().any(to_here)) {
            let line = self.broker.publisher().await.map_err(|error| error.to_string())?;
            self.line = Some(line);
        }
        let Some(settings) = &self.settings else { return Ok(server) };
        let applied =
            topology::prepare(&*self.broker, settings, &self.plan).await.map_err(|errors| {
                let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
                texts.join("; ")
            })?;
        for unverified in applied.unverified {
            tracing::warn!(broker = self.name, unverified, "can't be compared");
        }
        Ok(server)
    }
}

#[cfg(test)]
mod tests;
