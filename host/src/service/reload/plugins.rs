//! Plugins in a reload of the config: those that are new are loaded, those that are altered tried before
//! anything is touched and watched afterwards, and the files of all others looked at.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use futures_util::future::join_all;

use super::{Refusal, Steps};
use crate::admin::{ReloadOutcome, Reloaded};
use crate::config::{Config, Plugin, PluginSource};
use crate::notice::ConditionKind;
use crate::pipeline::load_some_plugins;
use crate::pipeline::slot::PluginSlot;
use crate::reload::config::{Change, Plan};
use crate::reload::{Alteration, Line, Outcome, Serving, Teller, What};
use crate::service::Inner;

/// Loads those that are new.
pub(super) async fn load(
    inner: &Inner,
    plan: &Plan,
    config: &Config,
    steps: &Steps,
) -> Result<BTreeMap<String, Arc<PluginSlot>>, Refusal> {
    let settings = wanted(plan, config, |change| *change == Change::Added);
    if settings.is_empty() {
        return Ok(BTreeMap::new());
    }
    let names: Vec<&str> = settings.iter().map(|it| it.name.as_str()).collect();
    steps.say(format!("loading {}", names.join(", ")));
    let loaded = load_some_plugins(inner.engine.clone(), settings).await;
    let loaded = loaded.map_err(|error| Refusal::now(&error))?;
    Ok(loaded.into_iter().map(|(name, plugin)| (name, PluginSlot::new(plugin))).collect())
}

/// Has those that are altered tried, all at once.
pub(super) async fn alter(
    inner: &Inner,
    plan: &Plan,
    config: &Config,
    steps: &Steps,
) -> Result<Vec<Alteration>, Refusal> {
    let settings = wanted(plan, config, |change| matches!(change, Change::Altered(_)));
    let mut alterations = Vec::new();
    for settings in settings {
        let altered = inner.reloads.alter(settings, steps.teller());
        alterations.push(altered.map_err(|text| Refusal::Now(vec![text]))?);
    }
    let tried = join_all(alterations.iter_mut().map(Alteration::tried)).await;
    let problem = |(alteration, tried): (&Alteration, Result<String, String>)| {
        tried.err().map(|why| format!("plugin '{}': {why}", alteration.plugin()))
    };
    let problems: Vec<String> = alterations.iter().zip(tried).filter_map(problem).collect();
    if problems.is_empty() { Ok(alterations) } else { Err(Refusal::Now(problems)) }
}

fn wanted(plan: &Plan, config: &Config, is: impl Fn(&Change) -> bool) -> Vec<Plugin> {
    let wanted = |it: &&Plugin| plan.plugins.get(&it.name).is_some_and(&is);
    config.plugins.values().filter(wanted).cloned().collect()
}

impl Inner {
    /// Waits for the end of probations. A plugin that was put back has its former settings again: the
    /// config in force isn't what the file says.
    pub(super) async fn probation(
        &self,
        serving: Vec<Serving>,
        before: &Config,
        reloaded: &mut Reloaded,
    ) {
        let watching = join_all(serving.into_iter().map(|serving| async {
            let plugin = serving.plugin().to_owned();
            (plugin, serving.ended().await)
        }));
        let ended = tokio::select! {
            ended = watching => ended,
            // The host doesn't wait for it.
            () = self.closing.cancelled() => return,
        };
        for (plugin, outcome) in ended {
            let Some(Outcome::RolledBack { text }) = outcome else { continue };
            reloaded.outcome = ReloadOutcome::RolledBack;
            reloaded.problems.push(format!(
                "plugin '{plugin}' serves under its former settings again; all else is applied: {text}"
            ));
            if let Some(former) = before.plugins.get(&plugin) {
                self.settle_for(former);
            }
        }
    }

    /// These settings of a plugin are in force after all.
    fn settle_for(&self, former: &Plugin) {
        let mut parts = self.parts.write().unwrap_or_else(PoisonError::into_inner);
        let mut new = (**parts).clone();
        new.config.plugins.insert(former.name.clone(), former.clone());
        if let Some(slot) = new.plugins.get(&former.name) {
            slot.guard().configure(&former.name, former.breaker.clone());
        }
        self.purity.configure(&new.config);
        *parts = Arc::new(new);
    }

    /// Has every plugin's file looked at, and taken up where it changed.
    pub(super) async fn refresh_plugins(&self, reloaded: &mut Reloaded, steps: &Steps) {
        let parts = self.parts();
        let files = parts.config.plugins.values();
        let files = files.filter(|it| matches!(it.source, PluginSource::File(_)));
        let mut refreshing = Vec::new();
        for name in files.map(|it| it.name.clone()) {
            match self.reloads.refresh(&name, steps.teller()) {
                Ok(ended) => refreshing.push(async { (name, ended.await) }),
                Err(why) => reloaded.warnings.push(why),
            }
        }
        let ended = tokio::select! {
            ended = join_all(refreshing) => ended,
            () = self.closing.cancelled() => return,
        };
        for (name, outcome) in ended {
            match outcome {
                Some(Outcome::Reloaded { text, .. }) => {
                    reloaded.done.push(format!("plugin '{name}' reloaded: {text}"));
                    reloaded.worse(ReloadOutcome::Applied);
                }
                Some(Outcome::KeptOld { text }) => {
                    reloaded.problems.push(format!("plugin '{name}' not reloaded: {text}"));
                    reloaded.worse(ReloadOutcome::KeptOld);
                }
                Some(Outcome::RolledBack { text }) => {
                    reloaded.problems.push(format!("plugin '{name}' rolled back: {text}"));
                    reloaded.worse(ReloadOutcome::RolledBack);
                }
                Some(Outcome::Unchanged) | None => {}
            }
        }
        for condition in self.telemetry.conditions() {
            let told = reloaded.problems.iter().any(|it| it.contains(&condition.subject));
            if condition.kind == ConditionKind::PluginHeldBack && !told {
                reloaded.warnings.push(condition.text);
            }
        }
    }
}

impl Steps {
    /// Tells what a plugin's attendant tells, as a step of this reload.
    fn teller(&self) -> Teller {
        let steps = self.clone();
        Box::new(move |line: &Line| match &line.what {
            What::Step { step, text } => {
                steps.say(format!("plugin '{}': {step}: {text}", line.plugin));
            }
            What::Done(_) => {}
        })
    }
}
