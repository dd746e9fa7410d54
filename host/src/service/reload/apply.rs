//! From a checked config to what runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::task::JoinSet;

use super::{Refusal, Steps, plugins};
use crate::admin::{ReloadOutcome, Reloaded};
use crate::broker;
use crate::config::Config;
use crate::pipeline::slot::PluginSlot;
use crate::pipeline::{Left, Prepared};
use crate::reload::config::{Change, Plan};
use crate::reload::{Alteration, Serving};
use crate::service::Inner;
use crate::service::governance::Governed;
use crate::service::parts::{Parts, Tasks, note_end};
use crate::service::plugins::attend;
use crate::service::supervisor::{Connection, Needs, Supervisor};
use crate::topology;

/// A config of which nothing can fail any more.
pub(super) struct Ready {
    plan: Plan,
    parts: Parts,
    /// What is asked of brokers that stay.
    needs: Vec<(Connection, Arc<Needs>)>,
    /// Plugins that are new.
    plugins: BTreeMap<String, Arc<PluginSlot>>,
    /// Plugins under other settings, tried.
    alterations: Vec<Alteration>,
    /// Brokers that are left when all is done.
    gone: Vec<Connection>,
}

/// Everything that can fail; with the supervisors of brokers that are new, or reached in another way.
/// `None` where nothing differs.
pub(super) async fn prepare(
    inner: &Inner,
    mut config: Config,
    steps: &Steps,
) -> Result<Option<(Ready, Vec<Supervisor>)>, Refusal> {
    let now = inner.parts();
    let plan = Plan::between(&now.config, &config);
    if plan.is_empty() {
        return Ok(None);
    }
    plan.keep_what_stays(&now.config, &mut config);
    let plugins = plugins::load(inner, &plan, &config, steps).await?;
    let alterations = plugins::alter(inner, &plan, &config, steps).await?;
    let mut tables = now.tables.clone();
    if config.tables != now.config.tables {
        let altered = tables.altered(&config.tables, inner.reloads.watch()).await;
        tables = altered.map_err(|error| Refusal::now(&error))?;
    }
    let mut parts = Parts { config, tables, ..(*now).clone() };
    // Of one that is altered the slot stays; the version in it is swapped.
    parts.plugins.retain(|name, _| plan.plugins.get(name) != Some(&Change::Removed));
    parts.plugins.extend(plugins.clone());
    let mut ready =
        Ready { gone: Vec::new(), needs: Vec::new(), plan, parts, plugins, alterations };
    let mut supervisors = Vec::new();
    if let Err(refusal) = ready.connect(inner, &now, &mut supervisors, steps).await {
        ready.disconnect(&now).await;
        return Err(refusal);
    }
    if let Err(error) = ready.pipelines(inner) {
        ready.disconnect(&now).await;
        return Err(Refusal::Now(vec![error.to_string()]));
    }
    Ok(Some((ready, supervisors)))
}

// === impl Ready ===

impl Ready {
    /// Reaches brokers that are new or reached in another way, and has declared what is asked for
    /// besides; on brokers for which nothing changes, nothing is done.
    async fn connect(
        &mut self,
        inner: &Inner,
        now: &Parts,
        supervisors: &mut Vec<Supervisor>,
        steps: &Steps,
    ) -> Result<(), Refusal> {
        let plans = topology::plan(&self.parts.config);
        let config = &self.parts.config;
        self.parts.connections.retain(|name, _| config.brokers.contains_key(name));
        let mut problems = Vec::new();
        for (name, settings) in &config.brokers {
            let needs = Needs::of(name, config, plans.get(name).cloned().unwrap_or_default());
            let kept =
                if self.plan.brokers.contains_key(name) { None } else { now.connections.get(name) };
            let connection = match kept {
                Some(connection) => connection.clone(),
                None => {
                    let broker = broker::open(name, settings);
                    let (supervisor, connection) =
                        Supervisor::new(broker, Arc::clone(&needs), &inner.telemetry);
                    supervisors.push(supervisor);
                    self.parts.connections.insert(name.clone(), connection.clone());
                    connection
                }
            };
            if kept.is_none() || !needs.declares_as(&connection.needs()) {
                steps.say(format!("declaring on broker '{name}'"));
                if let Err(error) = needs.meet(&*connection.broker).await {
                    problems.push(format!("broker '{name}': {error}"));
                }
            }
            self.needs.push((connection, needs));
        }
        let left = |(name, _): &(&String, &Connection)| {
            matches!(self.plan.brokers.get(*name), Some(Change::Removed | Change::Altered(_)))
        };
        self.gone = now.connections.iter().filter(left).map(|(_, it)| it.clone()).collect();
        if problems.is_empty() { Ok(()) } else { Err(Refusal::Now(problems)) }
    }

    /// Nothing came of it.
    async fn disconnect(self, now: &Parts) {
        for (name, connection) in &self.parts.connections {
            let kept = !self.plan.brokers.contains_key(name) && now.connections.contains_key(name);
            if !kept {
                connection.broker.close().await;
            }
        }
    }

    fn pipelines(&self, inner: &Inner) -> Result<Vec<Prepared>, crate::pipeline::StartError> {
        let materials = self.parts.materials(&inner.telemetry);
        let begins = self.parts.config.pipelines.iter().filter(|it| self.plan.begins(&it.name));
        inner.pipelines.prepare(&materials.setup(), begins)
    }

    /// Does it.
    pub(super) async fn apply(
        mut self,
        supervisors: Vec<Supervisor>,
        inner: &Arc<Inner>,
        steps: &Steps,
    ) -> (Reloaded, Vec<Serving>) {
        let now = inner.parts();
        for (connection, needs) in self.needs.drain(..) {
            connection.ask(needs);
        }
        let mut tasks = Tasks { stopping: inner.stopping.clone(), set: JoinSet::new() };
        for supervisor in supervisors {
            tasks.spawn(supervisor.run());
        }
        let mut warnings = self.plan.warnings();
        let mut left = self.end(inner, steps, &mut warnings).await;
        let serving = self.plugins(inner, &mut tasks).await;
        match self.pipelines(inner) {
            Ok(prepared) => {
                for prepared in prepared {
                    let left = left.remove(prepared.name());
                    steps.say(format!("pipeline '{}' begins", prepared.name()));
                    inner.pipelines.add(prepared, left).await;
                }
            }
            // It was tried before: all that a pipeline names is in the config.
            Err(error) => warnings.push(format!("pipelines don't run: {error}")),
        }
        let names: Vec<&str> =
            self.parts.config.pipelines.iter().map(|it| it.name.as_str()).collect();
        inner.pipelines.list(&names);
        inner.recorder.follow(&self.parts.config.pipelines);
        inner.purity.configure(&self.parts.config);
        for (name, settings) in &self.parts.config.plugins {
            if let Some(slot) = self.parts.plugins.get(name) {
                slot.guard().configure(name, settings.breaker.clone());
            }
        }
        for (name, _) in self.plan.pipelines.iter().filter(|(_, it)| **it == Change::Removed) {
            inner.telemetry.pipeline(name).paused(None);
        }
        self.follow(&now, &mut tasks, inner);
        let done = self.plan.told();
        let gone = std::mem::take(&mut self.gone);
        *inner.parts.write().unwrap_or_else(std::sync::PoisonError::into_inner) =
            Arc::new(self.parts);
        inner.adopt(tasks);
        for connection in gone {
            connection.over.cancel();
            connection.broker.close().await;
        }
        let outcome = ReloadOutcome::Applied;
        (Reloaded { outcome, done, warnings, ..Reloaded::default() }, serving)
    }

    /// Plugins that are new are attended, those that are gone no more; those that are altered serve, in
    /// probation.
    async fn plugins(&mut self, inner: &Inner, tasks: &mut Tasks) -> Vec<Serving> {
        for (name, _) in self.plan.plugins.iter().filter(|(_, it)| **it == Change::Removed) {
            inner.reloads.dismiss(name);
        }
        attend(&inner.reloads, &self.parts.config, &self.plugins, tasks);
        join_all(self.alterations.drain(..).map(Alteration::swap)).await
    }

    /// Ends what goes or is altered, all at once.
    async fn end(
        &self,
        inner: &Inner,
        steps: &Steps,
        warnings: &mut Vec<String>,
    ) -> BTreeMap<String, Left> {
        let grace = inner.grace();
        let ends = self.plan.ending().map(|name| async move {
            steps.say(format!("pipeline '{name}' finishes what it has in hand"));
            (name.to_owned(), inner.pipelines.end(name, grace).await)
        });
        let mut all = BTreeMap::new();
        for (name, left) in join_all(ends).await {
            let Some(left) = left else { continue };
            if !left.finished {
                warnings.push(format!(
                    "pipeline '{name}' didn't finish within {grace:?}; what it had in hand is back in its queue"
                ));
            }
            all.insert(name, left);
        }
        all
    }

    /// Dead letters and those who are told follow too, where anything is new to them.
    fn follow(&mut self, now: &Parts, tasks: &mut Tasks, inner: &Inner) {
        let moved: BTreeSet<&String> = self.plan.brokers.keys().collect();
        let governed = Governed::by(&self.parts.config);
        if governed != now.governance.of || moved.iter().any(|broker| governed.is_on(broker)) {
            now.governance.over.cancel();
            let connections = &self.parts.connections;
            self.parts.governance =
                tasks.governance(&self.parts.config, connections, &inner.telemetry);
        }
        let told_by = |it: &crate::config::Notify| it.exchange.as_ref().map(|it| it.broker.clone());
        let rules = &self.parts.config.notify;
        let tellers_moved = rules.iter().filter_map(told_by).any(|broker| moved.contains(&broker));
        if *rules != now.config.notify || tellers_moved {
            if let Some(over) = &now.alerts {
                over.cancel();
            }
            let brokers = self.parts.brokers();
            self.parts.alerts = tasks.alerts(&self.parts.config, &brokers, &inner.telemetry);
        }
    }
}

impl Inner {
    /// Tasks that a reload began are the host's; those that have ended are let go.
    fn adopt(&self, mut tasks: Tasks) {
        let mut all = self.tasks();
        while let Some(ended) = all.try_join_next() {
            note_end(ended);
        }
        let new = std::mem::take(&mut tasks.set);
        all.spawn_on(
            async move {
                let mut new = new;
                while let Some(ended) = new.join_next().await {
                    note_end(ended);
                }
            },
            &self.runtime,
        );
    }
}
