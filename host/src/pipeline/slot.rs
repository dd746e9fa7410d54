//! The place of a plugin on a running host: which version serves now.
//!
//! Stages refer to a slot, never to a version. A shard looks at the slot's generation between two
//! batches and makes a new instance where it moved, so that every message of a batch sees one version.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::plugin::Plugin;

/// Where a plugin of the config has its current version.
#[derive(Debug)]
pub struct PluginSlot {
    id: u64,
    name: String,
    generation: AtomicU64,
    current: RwLock<Arc<Plugin>>,
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
            current: RwLock::new(plugin),
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
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another version in; answers the one that served. Each shard follows before its next batch.
    pub fn swap(&self, plugin: Arc<Plugin>) -> Arc<Plugin> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *current, plugin);
        self.generation.fetch_add(1, Ordering::AcqRel);
        before
    }
}
