//! What follows the config: brokers and who watches over them, plugins, who looks after dead letters, who
//! is told. A reload makes new parts and keeps what stays of the old ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::governance::{self, Governed};
use super::supervisor::Connection;
use super::tables::Followed;
use crate::alert::Alerts;
use crate::broker::Broker;
use crate::config::Config;
use crate::pipeline::observe::Observers;
use crate::pipeline::slot::PluginSlot;
use crate::pipeline::{Commits, Readiness, Setup};
use crate::telemetry::Telemetry;
use crate::topology::{self, Plan};

/// All of it.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) config: Config,
    pub(super) connections: BTreeMap<String, Connection>,
    pub(super) plugins: BTreeMap<String, Arc<PluginSlot>>,
    pub(super) tables: Followed,
    /// Who looks on while plugins are called; the same for as long as the host runs.
    pub(super) observers: Observers,
    /// Where state is kept; the same likewise.
    pub(super) commits: Commits,
    pub(super) governance: Governance,
    /// Ends whoever tells people, where anybody does.
    pub(super) alerts: Option<CancellationToken>,
}

/// Who looks after dead letters.
#[derive(Clone)]
pub(super) struct Governance {
    pub(super) of: Governed,
    /// Ends it.
    pub(super) over: CancellationToken,
}

/// What pipelines are made of.
pub(super) struct Materials<'p> {
    parts: &'p Parts,
    brokers: BTreeMap<String, Arc<dyn Broker>>,
    readiness: BTreeMap<String, Readiness>,
    plans: BTreeMap<String, Plan>,
    telemetry: &'p Telemetry,
}

/// Tasks that end with the host, if not before.
pub(super) struct Tasks {
    pub(super) stopping: CancellationToken,
    pub(super) set: JoinSet<()>,
}

// === impl Parts ===

impl Parts {
    /// What pipelines of this config are made of.
    pub(super) fn materials<'p>(&'p self, telemetry: &'p Telemetry) -> Materials<'p> {
        let connections = || self.connections.iter();
        Materials {
            parts: self,
            brokers: connections()
                .map(|(name, it)| (name.clone(), Arc::clone(&it.broker)))
                .collect(),
            readiness: connections()
                .map(|(name, it)| (name.clone(), it.readiness.clone()))
                .collect(),
            plans: topology::plan(&self.config),
            telemetry,
        }
    }

    /// Brokers by name.
    pub(super) fn brokers(&self) -> BTreeMap<String, Arc<dyn Broker>> {
        self.connections.iter().map(|(name, it)| (name.clone(), Arc::clone(&it.broker))).collect()
    }
}

impl Materials<'_> {
    pub(super) fn setup(&self) -> Setup<'_> {
        Setup {
            config: &self.parts.config,
            brokers: &self.brokers,
            readiness: &self.readiness,
            plans: &self.plans,
            plugins: &self.parts.plugins,
            tables: &self.parts.tables.tables,
            observers: Arc::clone(&self.parts.observers),
            commits: &self.parts.commits,
            telemetry: self.telemetry,
        }
    }
}

// === impl Tasks ===

impl Tasks {
    /// Runs it until the host stops.
    pub(super) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_until(self.stopping.clone(), task);
    }

    fn spawn_until(
        &mut self,
        over: CancellationToken,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        self.set.spawn(async move {
            tokio::select! {
                () = task => {}
                () = over.cancelled() => {}
            }
        });
    }

    /// Looks after the dead letters of that config.
    pub(super) fn governance(
        &mut self,
        config: &Config,
        connections: &BTreeMap<String, Connection>,
        telemetry: &Telemetry,
    ) -> Governance {
        let over = self.stopping.child_token();
        let of = Governed::by(config);
        for task in governance::tasks(&of, connections, telemetry) {
            self.spawn_until(over.clone(), task);
        }
        Governance { of, over }
    }

    /// Tells people what that config wants them told.
    pub(super) fn alerts(
        &mut self,
        config: &Config,
        brokers: &BTreeMap<String, Arc<dyn Broker>>,
        telemetry: &Telemetry,
    ) -> Option<CancellationToken> {
        if config.notify.is_empty() {
            return None;
        }
        let over = self.stopping.child_token();
        let alerts = Alerts::new(&config.notify, brokers, telemetry);
        self.spawn_until(over.clone(), alerts.run());
        Some(over)
    }
}

/// A task ended; in a panic, it says so.
pub(super) fn note_end(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a task of the host panicked");
    }
}
