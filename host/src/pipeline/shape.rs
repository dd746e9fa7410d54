//! What a pipeline's lanes have in common: its stages, its policy, its addresses, its bounds.

use std::sync::Arc;
use std::time::Duration;

use super::address::Addresses;
use super::breaker::Breaker;
use super::crash::CrashJournal;
use super::flight::InFlight;
use super::journal::Journal;
use super::judge::Policy;
use super::observe::Observers;
use super::slot::PluginSlot;
use super::spread::{CurrentSpread, Spread};
use super::stages::Stage;
use crate::clock::Clock;
use crate::config::{BatchLimits, IdWindow};
use crate::state::Place;
use crate::telemetry::PipelineMetrics;

/// What is the same for a pipeline on every shard.
pub struct Shape {
    /// What it goes by.
    pub clock: Clock,
    /// Its place in the host's list.
    pub index: u16,
    /// The shards that it uses.
    pub spread: Arc<CurrentSpread>,
    /// And at most.
    pub widest: usize,
    /// Its name.
    pub name: String,
    /// Its stages.
    pub stages: Vec<Stage>,
    /// Each stage's plugin.
    pub plugins: Vec<Arc<PluginSlot>>,
    /// Who looks on.
    pub observers: Observers,
    /// What becomes of failures.
    pub policy: Policy,
    /// Where everything goes.
    pub addresses: Addresses,
    /// Bounds of a batch.
    pub batch: BatchLimits,
    /// Where each stage's state is kept.
    pub places: Vec<Arc<Place>>,
    /// Keys that it may have, each counted once per stage.
    pub state_keys: u64,
    /// Keys that may have a timer on a lane, each counted once per stage.
    pub timer_keys: usize,
    /// Bytes of state that a lane holds above the store.
    pub state_cache: usize,
    /// When keys that aren't used are forgotten.
    pub state_ttl: Option<Duration>,
    /// Bounds of the identities remembered, on each of as many shards as it uses at most.
    pub id_window: IdWindow,
    /// What it holds of its prefetch.
    pub in_flight: Arc<InFlight>,
    /// What it tells.
    pub metrics: PipelineMetrics,
    /// Whether anything is consumed.
    pub breaker: Arc<Breaker>,
    /// What ran when a host died.
    pub crashes: Arc<CrashJournal>,
    /// Where untold failures are kept.
    pub journal: Arc<Journal>,
}

impl Shape {
    /// Bounds of the identities that a lane remembers where there are so many: all together remember as many
    /// whatever the width.
    pub(super) fn id_window(&self, spread: Spread) -> IdWindow {
        let entries = self.id_window.entries.saturating_mul(self.widest) / spread.width();
        IdWindow { entries, ..self.id_window }
    }
}
