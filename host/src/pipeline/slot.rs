//! The place of a plugin on a running host: which version serves now.
//!
//! Stages refer to a slot, never to a version. A shard looks at the slot's generation between two
//! batches and makes a new instance where it moved, so that every message of a batch sees one version.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::guard::Guard;
use crate::plugin::Plugin;

/// Where a plugin of the config has its current version.
#[derive(Debug)]
pub struct PluginSlot {
    id: u64,
    name: String,
    generation: AtomicU64,
    serving: RwLock<Serving>,
    guard: Arc<Guard>,
}

/// What serves in a slot.
#[derive(Clone, Debug)]
pub struct Serving {
    /// The version that decides.
    pub plugin: Arc<Plugin>,
    /// The one that may be put back and keeps its own state up meanwhile, where its schema differs.
    pub shadow: Option<Arc<Shadowing>>,
}

/// A version that is run beside the one that serves, for its state alone.
#[derive(Debug)]
pub struct Shadowing {
    plugin: Arc<Plugin>,
    over: AtomicBool,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

impl PluginSlot {
    /// A slot in which that version serves.
    #[must_use]
    pub fn new(plugin: Arc<Plugin>) -> Arc<Self> {
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            name: plugin.name().to_owned(),
            generation: AtomicU64::new(0),
            serving: RwLock::new(Serving { plugin, shadow: None }),
            guard: Arc::default(),
        })
    }

    /// Tells it from every other slot of this process.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The plugin's name in the config.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Grows with each [`PluginSlot::swap`].
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The version that serves now.
    #[must_use]
    pub fn current(&self) -> Arc<Plugin> {
        self.serving().1.plugin
    }

    /// Its breaker.
    #[must_use]
    pub fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }

    /// What serves now, and since which generation.
    #[must_use]
    pub fn serving(&self) -> (u64, Serving) {
        let serving = self.serving.read().unwrap_or_else(PoisonError::into_inner);
        (self.generation(), serving.clone())
    }

    /// Puts another version in; answers the one that served. Each lane follows once nothing is under
    /// way in it that ran on the former one.
    pub fn swap(&self, plugin: Arc<Plugin>) -> Arc<Plugin> {
        self.put(plugin, None)
    }

    /// The same, and the former version goes on keeping its own state up until that is over.
    pub fn swap_shadowed(&self, plugin: Arc<Plugin>) -> Arc<Shadowing> {
        let over = AtomicBool::new(false);
        let shadow = Arc::new(Shadowing { plugin: self.current(), over });
        self.put(plugin, Some(Arc::clone(&shadow)));
        shadow
    }

    fn put(&self, plugin: Arc<Plugin>, shadow: Option<Arc<Shadowing>>) -> Arc<Plugin> {
        let mut serving = self.serving.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *serving, Serving { plugin, shadow });
        self.generation.fetch_add(1, Ordering::AcqRel);
        drop(serving);
        self.guard.replaced();
        before.plugin
    }
}

// === impl Shadowing ===

impl Shadowing {
    /// The version that is run beside; none once that is over.
    #[must_use]
    pub fn plugin(&self) -> Option<&Arc<Plugin>> {
        (!self.over.load(Ordering::Acquire)).then_some(&self.plugin)
    }

    /// It won't be put back any more.
    pub fn end(&self) {
        self.over.store(true, Ordering::Release);
    }
}
