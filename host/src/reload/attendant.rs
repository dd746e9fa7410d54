//! Takes one plugin from version to version: file, compile, trial, swap, probation; every step that fails
//! leaves the version in service that is.

mod steps;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::eyes::Eye;
use super::outcome::{Line, Outcome, What};
use super::plugins::{Shared, Teller, unix_s};
use super::watch::{Expected, Followed, Seen};
use super::whole;
use crate::config::{self, PluginSource};
use crate::digest;
use crate::limits::RELOAD_FILE;
use crate::notice::ConditionKind;
use crate::pipeline::plugin_bytes;
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
    /// A former one, of a digest that begins so, or the last that isn't this one.
    Former(Option<String>),
    /// The file under other settings.
    Settings(Box<config::Plugin>),
}

/// A version that may come to serve.
struct Candidate {
    wasm: Bytes,
    digest: String,
    settings: config::Plugin,
    by: &'static str,
}

/// One plugin's attendant.
pub(super) struct Attendant {
    shared: Arc<Shared>,
    slot: Arc<PluginSlot>,
    settings: config::Plugin,
    eye: Arc<Eye>,
    followed: Option<Followed>,
    /// The digest of what was taken up last: its file is no news.
    judged: String,
}

/// Tells of one reload.
struct Telling {
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
    ) -> Self {
        let eye = shared.eyes.on(slot.name());
        let judged = slot.current().digest().to_owned();
        let mut attendant = Self { shared, slot, settings, eye, followed: None, judged };
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

    pub(super) async fn run(mut self, mut asks: mpsc::Receiver<Ask>) {
        self.note_start().await;
        loop {
            let ask = tokio::select! {
                ask = asks.recv() => match ask {
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
        if let Ok((wasm, digest)) = self.read().await
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
                telling.step("file", format!("{} bytes", wasm.len()));
                let candidate = Candidate { wasm, digest, settings, by: "reload" };
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
        let outcome = match self.candidate(ask.wanted).await {
            Ok(candidate) => {
                telling.step("file", format!("{} bytes", candidate.wasm.len()));
                self.take_up(candidate, &mut telling).await
            }
            Err(text) => Outcome::KeptOld { text },
        };
        self.conclude(&outcome, telling);
        if let Some(answer) = ask.answer {
            // Whoever asked may have gone meanwhile.
            let _gone = answer.send(outcome);
        }
    }

    async fn candidate(&self, wanted: Wanted) -> Result<Candidate, String> {
        let settings = self.settings.clone();
        match wanted {
            Wanted::File => {
                let (wasm, digest) = self.read().await?;
                Ok(Candidate { wasm, digest, settings, by: "reload" })
            }
            Wanted::Settings(settings) => {
                let (wasm, digest) = read(&self.shared, &settings).await?;
                Ok(Candidate { wasm, digest, settings: *settings, by: "reload" })
            }
            Wanted::Former(prefix) => {
                let serving = self.slot.current();
                let former = self.shared.history.of(self.slot.name());
                let found = former.into_iter().find(|kept| match &prefix {
                    Some(prefix) => kept.digest.starts_with(prefix.as_str()),
                    None => kept.digest != serving.digest(),
                });
                let digest = found.ok_or("no such version is kept; see `plugin history`")?.digest;
                let wasm = self.shared.history.read(&digest)?.into();
                Ok(Candidate { wasm, digest, settings, by: "rollback" })
            }
        }
    }

    async fn read(&self) -> Result<(Bytes, String), String> {
        read(&self.shared, &self.settings).await
    }

    /// All steps but the first.
    async fn take_up(&mut self, candidate: Candidate, telling: &mut Telling) -> Outcome {
        let old = self.slot.current();
        self.judged.clone_from(&candidate.digest);
        if old.digest() == candidate.digest && candidate.settings == self.settings {
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
        let same = old.description().state_version == new.description().state_version;
        self.eye.begin(new.digest());
        let shadow = if same || candidate.settings.reload.probation.is_none() {
            self.slot.swap(Arc::clone(&new));
            None
        } else {
            Some(self.slot.swap_shadowed(Arc::clone(&new)))
        };
        telling.step("swap", format!("version {} serves", new.description().version));
        let probation = self.probation(&candidate.settings, &old, &new, telling).await;
        if let Err(text) = probation {
            self.slot.swap(Arc::clone(&old));
            self.eye.only(old.digest());
            return Outcome::RolledBack { text };
        }
        if let Some(shadow) = shadow {
            shadow.end();
        }
        self.eye.only(new.digest());
        self.keep(&new, candidate.wasm, candidate.by).await;
        self.settings = candidate.settings;
        Outcome::Reloaded {
            from: old.digest().to_owned(),
            to: new.digest().to_owned(),
            text: tested,
        }
    }

    fn telling(&self, tell: Option<Teller>) -> Telling {
        let (shared, plugin) = (Arc::clone(&self.shared), self.slot.name().to_owned());
        Telling { started: Instant::now(), tell, shared, plugin }
    }

    /// Says how it ended, wherever that is said.
    fn conclude(&mut self, outcome: &Outcome, mut telling: Telling) {
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
        let held = (!outcome.is_good()).then(|| format!("{}: {why}", word.replace('_', " ")));
        self.shared.telemetry.condition(ConditionKind::PluginHeldBack, plugin, held.as_deref());
        telling.line(What::Done(outcome.clone()));
        let mut standings = self.shared.lock();
        let standing = standings.entry(plugin.to_owned()).or_default();
        standing.step = None;
        standing.last = Some(outcome.clone());
        standing.at = unix_s();
        drop(standings);
        if self.followed.is_none() {
            self.follow();
        }
    }
}

fn expected(settings: &config::Plugin) -> Expected {
    Expected { bytes_max: settings.limits.file_bytes, whole }
}

/// What a plugin's source holds now, and its digest.
async fn read(shared: &Shared, settings: &config::Plugin) -> Result<(Bytes, String), String> {
    let (PluginSource::File(path), Some(watch)) = (&settings.source, &shared.watch) else {
        let wasm = plugin_bytes(settings).map_err(|error| error.text)?;
        let digest = digest::sha256(&wasm);
        return Ok((wasm.into(), digest));
    };
    let mut followed = watch.follow(path, None, expected(settings));
    match timeout(RELOAD_FILE, followed.changed()).await {
        Ok(Some(seen)) => match &*seen {
            Seen::Content { bytes, digest } => Ok((bytes.clone(), digest.clone())),
            Seen::Trouble(why) => Err(format!("its file: {why}")),
        },
        Ok(None) => Err("nothing follows files any more".to_owned()),
        Err(_) => Err(format!("its file didn't come to rest within {RELOAD_FILE:?}")),
    }
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
