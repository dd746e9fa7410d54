//! Plugins of a running host: each has an attendant, a task that takes one change after another through
//! all steps of a reload.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::{mpsc, oneshot};

use super::attendant::{Ask, Attendant, Wanted};
use super::eyes::Eyes;
use super::gate::Alteration;
use super::history::{History, Kept};
use super::outcome::{Line, Outcome};
use super::watch::Watch;
use crate::config;
use crate::limits::{PLUGIN_HISTORY_FOLDER, RELOAD_ASKS};
use crate::notice::ConditionKind;
use crate::pipeline::observe::Observer;
use crate::pipeline::slot::PluginSlot;
use crate::plugin::Engine;
use crate::plugin::capsule::OwnedBatch;
use crate::telemetry::Telemetry;

/// Takes the lines of a reload; it is dropped when there are no more.
pub type Teller = Box<dyn FnMut(&Line) + Send>;

/// Calls of a plugin that were recorded, by its name: for a trial where the queue is quiet.
pub type Recorded = Arc<dyn Fn(&str) -> Vec<RecordedCall> + Send + Sync>;

/// A recorded call.
#[derive(Clone, Debug)]
pub struct RecordedCall {
    /// Version of the schema of the states in it.
    pub schema: Option<u32>,
    /// What the plugin was handed.
    pub batch: OwnedBatch,
}

/// How a plugin stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The step that a reload is at.
    pub step: Option<String>,
    /// How the last one ended.
    pub last: Option<Outcome>,
    /// When, seconds since 1970.
    pub at: u64,
}

/// All plugins of a host that can be reloaded.
#[derive(Clone)]
pub struct Reloads {
    shared: Arc<Shared>,
    desks: Arc<RwLock<BTreeMap<String, mpsc::Sender<Ask>>>>,
}

/// What attendants have in common.
pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) telemetry: Telemetry,
    pub(super) watch: Option<Watch>,
    pub(super) eyes: Arc<Eyes>,
    pub(super) history: History,
    pub(super) recorded: Recorded,
    pub(super) standings: Mutex<BTreeMap<String, Standing>>,
}

// === impl Reloads ===

impl Reloads {
    /// For the plugins that will be attended.
    #[must_use]
    pub fn new(engine: Engine, telemetry: Telemetry, state_dir: &Path, recorded: Recorded) -> Self {
        let watch = Watch::start();
        let watch = watch
            .inspect_err(|error| tracing::error!(%error, "files that change aren't noticed"))
            .ok();
        let shared = Shared {
            engine,
            telemetry,
            watch,
            eyes: Arc::default(),
            history: History::new(state_dir.join(PLUGIN_HISTORY_FOLDER)),
            recorded,
            standings: Mutex::default(),
        };
        Self { shared: Arc::new(shared), desks: Arc::default() }
    }

    /// Looks on while plugins are called.
    #[must_use]
    pub fn observer(&self) -> Arc<dyn Observer> {
        Arc::clone(&self.shared.eyes) as Arc<dyn Observer>
    }

    /// What follows files; other rooms' files too. None where the system has no thread for it.
    #[must_use]
    pub fn watch(&self) -> Option<&Watch> {
        self.shared.watch.as_ref()
    }

    /// Attends to a plugin that serves with those settings from now on. The task ends when the plugin is
    /// [dismissed](Self::dismiss).
    pub fn attend(
        &self,
        slot: Arc<PluginSlot>,
        settings: config::Plugin,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (asks, inbox) = mpsc::channel(RELOAD_ASKS);
        let mut desks = self.desks.write().unwrap_or_else(PoisonError::into_inner);
        desks.insert(slot.name().to_owned(), asks);
        drop(desks);
        Attendant::new(Arc::clone(&self.shared), slot, settings, inbox).run()
    }

    /// A plugin left the config.
    pub fn dismiss(&self, plugin: &str) {
        self.desks.write().unwrap_or_else(PoisonError::into_inner).remove(plugin);
        self.shared.lock().remove(plugin);
        self.shared.eyes.forget(plugin);
        self.shared.telemetry.condition(ConditionKind::PluginHeldBack, plugin, None);
    }

    /// Loads a plugin's file anew.
    ///
    /// # Errors
    /// There is no such plugin, or its attendant has too much to do.
    pub fn reload(&self, plugin: &str, tell: Teller) -> Result<(), String> {
        self.ask(plugin, Ask { wanted: Wanted::File, tell: Some(tell), answer: None })
    }

    /// Puts a former version back: of that digest or what it begins with, else the one before this.
    ///
    /// # Errors
    /// As with [`Reloads::reload`].
    pub fn roll_back(
        &self,
        plugin: &str,
        digest: Option<String>,
        tell: Teller,
    ) -> Result<(), String> {
        self.ask(plugin, Ask { wanted: Wanted::Former(digest), tell: Some(tell), answer: None })
    }

    /// Gives a plugin other settings: its file with them goes through all steps, and waits before the swap
    /// until whoever asks says so.
    ///
    /// # Errors
    /// As with [`Reloads::reload`].
    pub fn alter(&self, settings: config::Plugin, tell: Teller) -> Result<Alteration, String> {
        let plugin = settings.name.clone();
        let (alteration, gate, end) = Alteration::of(plugin.clone());
        let wanted = Wanted::Settings(Box::new(settings), gate);
        self.ask(&plugin, Ask { wanted, tell: Some(tell), answer: Some(end) })?;
        Ok(alteration)
    }

    /// Loads a plugin's file anew where it isn't what was loaded of it last. What becomes of it; none where
    /// the host stops meanwhile.
    ///
    /// # Errors
    /// As with [`Reloads::reload`].
    pub fn refresh(
        &self,
        plugin: &str,
        tell: Teller,
    ) -> Result<impl Future<Output = Option<Outcome>> + Send + use<>, String> {
        let (answer, answered) = oneshot::channel();
        let ask = Ask { wanted: Wanted::Changed, tell: Some(tell), answer: Some(answer) };
        self.ask(plugin, ask)?;
        Ok(async move { answered.await.ok() })
    }

    /// The names of the plugins that are attended.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.desks.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// How a plugin stands.
    #[must_use]
    pub fn standing(&self, plugin: &str) -> Standing {
        self.shared.lock().get(plugin).cloned().unwrap_or_default()
    }

    /// The versions of a plugin that served, the latest first.
    #[must_use]
    pub fn history(&self, plugin: &str) -> Vec<Kept> {
        self.shared.history.of(plugin)
    }

    fn ask(&self, plugin: &str, ask: Ask) -> Result<(), String> {
        let desks = self.desks.read().unwrap_or_else(PoisonError::into_inner);
        let Some(desk) = desks.get(plugin) else {
            let names: Vec<&str> = desks.keys().map(String::as_str).collect();
            return Err(format!("there is no plugin '{plugin}'; there are: {}", names.join(", ")));
        };
        desk.try_send(ask).map_err(|_| format!("plugin '{plugin}' has reloads enough waiting"))
    }
}

// === impl Shared ===

impl Shared {
    pub(super) fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Standing>> {
        self.standings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
