//! The steps between a file and a version that stays: compile, trial, probation; and keeping it.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use bytes::Bytes;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{Attendant, Candidate, Origin, Telling};
use crate::config;
use crate::digest;
use crate::limits::{PROBATION_LOOK, RELOAD_COMPILE, TRIAL_COPIES};
use crate::pipeline::{load_plugin_bytes, plugin_bytes};
use crate::plugin::{LoadError, Plugin};
use crate::reload::gate::Passed;
use crate::reload::history::Kept;
use crate::reload::probation::{self, Judged};
use crate::reload::trial::{Report, Trying};

impl Attendant {
    /// Compiles, checks, configures.
    pub(super) async fn load(
        &self,
        candidate: &Candidate,
        telling: &mut Telling,
    ) -> Result<Arc<Plugin>, String> {
        telling.at("compile");
        let (engine, settings) = (self.shared.engine.clone(), candidate.settings.clone());
        let (wasm, digest) = (candidate.wasm.clone(), candidate.digest.clone());
        let from_file = candidate.origin == Origin::File;
        let loading = tokio::task::spawn_blocking(move || {
            // By way of the file, for who may write it is looked at there.
            if from_file && digest::sha256(&plugin_bytes(&settings)?) != digest {
                let text = "its file changed again meanwhile".to_owned();
                return Err(LoadError { plugin: settings.name.clone(), text });
            }
            load_plugin_bytes(&engine, &settings, &wasm)
        });
        let loaded = timeout(RELOAD_COMPILE, loading).await;
        let late = |_| format!("it wasn't compiled and configured within {RELOAD_COMPILE:?}");
        let new = loaded
            .map_err(late)?
            .map_err(|error| format!("loading it ended early: {error}"))?
            .map_err(|error| error.text)?;
        let old = self.slot.current();
        if old.stateful() != new.stateful() {
            let (has, hasnt) = ("keeps state", "keeps none");
            let (is, was) = if new.stateful() { (has, hasnt) } else { (hasnt, has) };
            return Err(format!(
                "it {is} and the version that serves {was}; such a change takes a restart"
            ));
        }
        let description = new.description();
        let schema = description.state_version.map_or_else(String::new, |n| format!(", state {n}"));
        telling.step("compile", format!("version {}{schema}", description.version));
        Ok(new)
    }

    /// Tries it on live calls, or on recorded ones; what it was tested with.
    pub(super) async fn trial(
        &self,
        settings: &config::Plugin,
        old: &Arc<Plugin>,
        new: &Arc<Plugin>,
        telling: &mut Telling,
    ) -> Result<String, String> {
        let Some(trial) = settings.reload.trial.clone() else {
            return Ok("untested: reload.trial is off".to_owned());
        };
        telling.at("trial");
        let (sender, copies) = sync_channel(TRIAL_COPIES);
        self.eye.copy_to(Some(sender));
        let (shared, old, new) = (Arc::clone(&self.shared), Arc::clone(old), Arc::clone(new));
        let trying = tokio::task::spawn_blocking(move || {
            let report = Trying::new(&trial, &old, Arc::clone(&new)).run(&copies)?;
            if report.calls > 0 {
                return Ok((report, "live"));
            }
            let recorded = (shared.recorded)(old.name());
            let report = Trying::new(&trial, &old, new).run_recorded(&old, recorded)?;
            Ok::<(Report, &str), String>((report, "recorded"))
        });
        let tried = trying.await;
        self.eye.copy_to(None);
        let (report, kind) = tried.map_err(|error| format!("it ended early: {error}"))??;
        let text = if report.calls == 0 {
            "untested: nothing came, and nothing is recorded".to_owned()
        } else {
            let Report { calls, messages, differ, .. } = report;
            format!("{messages} {kind} messages in {calls} calls, {differ} decided otherwise")
        };
        telling.step("trial", text.clone());
        Ok(text)
    }

    /// Has it serve, and watches it; why the old version was put back. Who waits for it to serve hears of it
    /// when `serves` is dropped.
    pub(super) async fn serve(
        &self,
        settings: &config::Plugin,
        (old, new): (&Arc<Plugin>, &Arc<Plugin>),
        serves: Passed,
        telling: &mut Telling,
    ) -> Result<(), String> {
        let same = old.description().state_version == new.description().state_version;
        self.eye.begin(new);
        let shadow = if same || settings.reload.probation.is_none() {
            self.slot.swap(Arc::clone(new));
            None
        } else {
            Some(self.slot.swap_shadowed(Arc::clone(new)))
        };
        drop(serves);
        telling.step("swap", format!("version {} serves", new.description().version));
        if let Err(text) = self.probation(settings, old, new, telling).await {
            self.slot.swap(Arc::clone(old));
            self.eye.only(old);
            return Err(text);
        }
        if let Some(shadow) = shadow {
            shadow.end();
        }
        self.eye.only(new);
        Ok(())
    }

    /// Watches it serve for a while.
    async fn probation(
        &self,
        settings: &config::Plugin,
        old: &Arc<Plugin>,
        new: &Arc<Plugin>,
        telling: &mut Telling,
    ) -> Result<(), String> {
        let Some(probation) = &settings.reload.probation else { return Ok(()) };
        telling.at("probation");
        let begun = Instant::now();
        let before = self.eye.tally(old);
        let mut looks = interval(PROBATION_LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let now = self.eye.tally(new);
            match probation::judge(before, now, probation, begun.elapsed()) {
                Judged::Wait => {}
                Judged::PutBack(why) => return Err(why),
                Judged::Keep => {
                    let text = format!("{} of {} messages failed", now.failed, now.messages);
                    telling.step("probation", text);
                    return Ok(());
                }
            }
        }
    }

    /// Keeps a version that serves.
    pub(super) async fn keep(&self, plugin: &Plugin, wasm: Bytes, by: &'static str) {
        let kept = Kept {
            digest: plugin.digest().to_owned(),
            version: plugin.description().version.clone(),
            since: self.shared.telemetry.clock().now_s(),
            by: by.to_owned(),
        };
        let (shared, name) = (Arc::clone(&self.shared), self.slot.name().to_owned());
        let noting = tokio::task::spawn_blocking(move || shared.history.note(&name, &wasm, kept));
        if let Ok(Err(error)) = noting.await {
            let plugin = self.slot.name();
            tracing::warn!(plugin, %error, "the version can't be kept; it can't be put back later");
        }
    }
}
