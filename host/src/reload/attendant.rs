//! Takes one plugin from version to version: file, compile, trial, swap, probation; every step that fails
//! leaves the version in service that is.

mod candidate;
mod steps;

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use self::candidate::{Candidate, Origin, read, run_alike};
use super::eyes::Eye;
use super::gate::Gate;
use super::outcome::{Line, Outcome, What};
use super::plugins::{Shared, Teller};
use super::watch::{Expected, Followed, Seen};
use super::whole;
use crate::config::{self, PluginSource};
use crate::notice::ConditionKind;
use crate::pipeline::slot::PluginSlot;

/// What an attendant is asked for.
pub(super) struct Ask {
    pub(super) wanted: Wanted,
    /// Hears each step.
    pub(super) tell: Option<Teller>,
    /// Hears the end.
    pub(super) answer: Option<oneshot::Sender<Outcome>>,
}

/// Which version is wanted.
pub(super) enum Wanted {
    /// What is in the file now.
    File,
    /// The same, where it is other than what was taken up last.
    Changed,
    /// A former one, of a digest that begins so, or the last that isn't this one.
    Former(Option<String>),
    /// The file under other settings, once the gate lets them.
    Settings(Box<config::Plugin>, Gate),
}

/// One plugin's attendant.
pub(super) struct Attendant {
    shared: Arc<Shared>,
    asks: mpsc::Receiver<Ask>,
    slot: Arc<PluginSlot>,
    settings: config::Plugin,
    eye: Arc<Eye>,
    followed: Option<Followed>,
    /// The digest of what was taken up of its file last: that is no news.
    judged: String,
}

/// Tells of one reload.
struct Telling {
    /// A config is behind it, which tells of what isn't applied by itself.
    of_config: bool,
    started: Instant,
    tell: Option<Teller>,
    shared: Arc<Shared>,
    plugin: String,
}

impl Attendant {
    pub(super) fn new(
        shared: Arc<Shared>,
        slot: Arc<PluginSlot>,
        settings: config::Plugin,
        asks: mpsc::Receiver<Ask>,
    ) -> Self {
        let eye = shared.eyes.on(slot.name());
        let judged = slot.current().digest().to_owned();
        let mut attendant = Self { shared, asks, slot, settings, eye, followed: None, judged };
        attendant.follow();
        attendant
    }

    /// Follows the plugin's file, where that is wanted.
    fn follow(&mut self) {
        let (Some(watch), PluginSource::File(path), true) =
            (&self.shared.watch, &self.settings.source, self.settings.reload.watch)
        else {
            self.followed = None;
            return;
        };
        self.followed =
            Some(watch.follow(path, Some(self.judged.clone()), expected(&self.settings)));
    }

    pub(super) async fn run(mut self) {
        self.note_start().await;
        loop {
            let ask = tokio::select! {
                ask = self.asks.recv() => match ask {
                    Some(ask) => ask,
                    None => return,
                },
                seen = changed(&mut self.followed) => {
                    self.saw(&seen).await;
                    continue;
                }
            };
            self.asked(ask).await;
        }
    }

    /// The version that serves from the start is the first of its history, or the next.
    async fn note_start(&self) {
        let plugin = self.slot.current();
        let before = self.shared.history.of(self.slot.name());
        if let Some(last) = before.first().filter(|last| last.digest != plugin.digest()) {
            tracing::warn!(
                plugin = self.slot.name(),
                digest = plugin.digest(),
                served_last = last.digest,
                "the config's file serves, which isn't what served last"
            );
        }
        if let Ok((wasm, digest)) = read(&self.shared, &self.settings).await
            && digest == plugin.digest()
        {
            self.keep(&plugin, wasm, "start").await;
        }
    }

    async fn saw(&mut self, seen: &Seen) {
        match seen {
            Seen::Content { digest, .. } if *digest == self.judged => {}
            Seen::Content { bytes, digest } => {
                let (wasm, digest) = (bytes.clone(), digest.clone());
                let settings = self.settings.clone();
                let mut telling = self.telling(None);
                let origin = Origin::File;
                let candidate = Candidate { wasm, digest, settings, origin, gate: None };
                let outcome = self.take_up(candidate, &mut telling).await;
                self.conclude(&outcome, telling);
            }
            Seen::Trouble(why) => {
                let outcome = Outcome::KeptOld { text: format!("its file: {why}") };
                let telling = self.telling(None);
                self.conclude(&outcome, telling);
            }
        }
    }

    async fn asked(&mut self, ask: Ask) {
        let mut telling = self.telling(ask.tell);
        telling.of_config = matches!(ask.wanted, Wanted::Settings(..));
        let outcome = match self.candidate(ask.wanted).await {
            Ok(Some(candidate)) => {
                let outcome = self.take_up(candidate, &mut telling).await;
                self.conclude(&outcome, telling);
                outcome
            }
            // Nobody is told again how it ended the last time.
            Ok(None) => Outcome::Unchanged,
            Err(text) => {
                let outcome = Outcome::KeptOld { text };
                self.conclude(&outcome, telling);
                outcome
            }
        };
        if let Some(answer) = ask.answer {
            // Whoever asked may have gone meanwhile.
            let _gone = answer.send(outcome);
        }
    }

    /// All steps but the first.
    async fn take_up(&mut self, mut candidate: Candidate, telling: &mut Telling) -> Outcome {
        telling.step("file", format!("{} bytes", candidate.wasm.len()));
        let old = self.slot.current();
        if candidate.origin == Origin::File && candidate.gate.is_none() {
            self.judged.clone_from(&candidate.digest);
        }
        if old.digest() == candidate.digest && run_alike(&candidate.settings, &self.settings) {
            if candidate.gate.is_some() {
                let Some(_serves) = candidate.pass("it runs as before").await else {
                    return not_wanted();
                };
                self.adopt(&candidate);
            }
            return Outcome::Unchanged;
        }
        let new = match self.load(&candidate, telling).await {
            Ok(new) => new,
            Err(text) => return Outcome::KeptOld { text },
        };
        let tested = match self.trial(&candidate.settings, &old, &new, telling).await {
            Ok(tested) => tested,
            Err(text) => return Outcome::KeptOld { text: format!("trial: {text}") },
        };
        let Some(serves) = candidate.pass(&tested).await else { return not_wanted() };
        if let Err(text) = self.serve(&candidate.settings, (&old, &new), serves, telling).await {
            if candidate.origin == Origin::File && candidate.settings.source == self.settings.source
            {
                self.judged.clone_from(&candidate.digest);
            }
            return Outcome::RolledBack { text };
        }
        self.keep(&new, candidate.wasm.clone(), candidate.origin.as_str()).await;
        self.adopt(&candidate);
        Outcome::Reloaded {
            from: old.digest().to_owned(),
            to: new.digest().to_owned(),
            text: tested,
        }
    }

    /// These are the settings from now on.
    fn adopt(&mut self, candidate: &Candidate) {
        if candidate.origin == Origin::File {
            self.judged.clone_from(&candidate.digest);
        }
        let followed =
            |it: &config::Plugin| (it.source.clone(), it.reload.watch, expected(it).bytes_max);
        if followed(&candidate.settings) != followed(&self.settings) {
            self.followed = None;
        }
        self.settings = candidate.settings.clone();
    }

    fn telling(&self, tell: Option<Teller>) -> Telling {
        let (shared, plugin) = (Arc::clone(&self.shared), self.slot.name().to_owned());
        Telling { of_config: false, started: Instant::now(), tell, shared, plugin }
    }

    /// Says how it ended, wherever that is said.
    fn conclude(&mut self, outcome: &Outcome, mut telling: Telling) {
        if self.asks.is_closed() {
            // It left the config meanwhile.
            return;
        }
        let plugin = self.slot.name();
        let (word, why) = (outcome.as_str(), outcome.text());
        match outcome {
            Outcome::Reloaded { from, to, .. } => {
                tracing::info!(plugin, from, to, tested = why, "plugin reloaded");
            }
            Outcome::KeptOld { .. } => tracing::error!(plugin, why, "plugin not reloaded"),
            Outcome::RolledBack { .. } => tracing::error!(plugin, why, "plugin rolled back"),
            Outcome::Unchanged => tracing::info!(plugin, "plugin unchanged"),
        }
        self.shared.telemetry.plugin_reload(plugin, word);
        if outcome.is_good() || !telling.of_config {
            let held = (!outcome.is_good()).then(|| format!("{}: {why}", word.replace('_', " ")));
            self.shared.telemetry.condition(ConditionKind::PluginHeldBack, plugin, held.as_deref());
        }
        telling.line(What::Done(outcome.clone()));
        let mut standings = self.shared.lock();
        let standing = standings.entry(plugin.to_owned()).or_default();
        standing.step = None;
        standing.last = Some(outcome.clone());
        standing.at = self.shared.telemetry.clock().now_s();
        drop(standings);
        if self.followed.is_none() {
            self.follow();
        }
    }
}

fn not_wanted() -> Outcome {
    Outcome::KeptOld { text: "the config that it is of isn't applied".to_owned() }
}

fn expected(settings: &config::Plugin) -> Expected {
    Expected { bytes_max: settings.limits.file_bytes, whole }
}

/// The next change of a file that is followed; never one of none.
async fn changed(followed: &mut Option<Followed>) -> Arc<Seen> {
    if let Some(following) = followed
        && let Some(seen) = following.changed().await
    {
        return seen;
    }
    *followed = None;
    std::future::pending().await
}

// === impl Telling ===

impl Telling {
    /// That step begins.
    fn at(&mut self, step: &str) {
        self.shared.lock().entry(self.plugin.clone()).or_default().step = Some(step.to_owned());
    }

    /// That step is passed.
    fn step(&mut self, step: &str, text: String) {
        tracing::info!(plugin = self.plugin, step, text, "reload");
        self.line(What::Step { step: step.to_owned(), text });
    }

    fn line(&mut self, what: What) {
        let ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        if let Some(tell) = &mut self.tell {
            tell(&Line { plugin: self.plugin.clone(), what, ms });
        }
    }
}
