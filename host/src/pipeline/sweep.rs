//! Finds keys that weren't used for a pipeline's `state_ttl` and tells their lanes, which forget them
//! between two batches, if they still aren't.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::keeping::with_store;
use super::shape::Shape;
use super::shard::{Event, partition};
use super::spread::CurrentSpread;
use crate::clock::Clock;
use crate::limits::{STATE_SWEEP_KEYS, STATE_SWEEP_MAX, STATE_SWEEP_MIN, STATE_SWEEP_SHARE};
use crate::state::{Place, StateStore, StoreError};

/// Looks for the idle keys of one pipeline.
pub(super) struct Sweep {
    clock: Clock,
    store: Arc<dyn StateStore>,
    places: Vec<Arc<Place>>,
    ttl: Duration,
    shards: Vec<mpsc::Sender<Event>>,
    spread: Arc<CurrentSpread>,
    lane: usize,
}

impl Sweep {
    /// For a pipeline that forgets idle keys.
    pub(super) fn of(
        shape: &Shape,
        store: &Arc<dyn StateStore>,
        shards: &[mpsc::Sender<Event>],
        lane: usize,
    ) -> Option<Self> {
        let ttl = shape.state_ttl?;
        let (clock, store) = (shape.clock.clone(), Arc::clone(store));
        let places = shape.places.clone();
        let (shards, spread) = (shards.to_vec(), Arc::clone(&shape.spread));
        Some(Self { clock, store, places, ttl, shards, spread, lane })
    }

    /// Looks, and looks again, until it is dropped.
    pub(super) async fn run(self) {
        let period = (self.ttl / STATE_SWEEP_SHARE).clamp(STATE_SWEEP_MIN, STATE_SWEEP_MAX);
        loop {
            let since_s = self.clock.now_s().saturating_sub(self.ttl.as_secs());
            for stage in 0..self.places.len() {
                if let Err(error) = self.look(stage, since_s).await {
                    tracing::warn!(place = %self.places[stage], %error, "idle keys stay for now");
                }
            }
            self.clock.passed(period).await;
        }
    }

    async fn look(&self, stage: usize, since_s: u64) -> Result<(), StoreError> {
        let mut after: Option<Arc<str>> = None;
        loop {
            let (place, from) = (Arc::clone(&self.places[stage]), after.take());
            let read =
                move |store: &dyn StateStore| store.keys(&place, from.as_deref(), STATE_SWEEP_KEYS);
            let Some(keys) = with_store(&self.store, read).await else { return Ok(()) };
            let keys = keys?;
            after = keys.last().map(|(key, _)| Arc::clone(key));
            let mut idle: Vec<Vec<Arc<str>>> = vec![Vec::new(); self.shards.len()];
            let spread = self.spread.now();
            for (key, kept) in keys {
                if kept.touched_s <= since_s && kept.entry.timers.is_none() {
                    idle[spread.shard(partition(&key))].push(key);
                }
            }
            for (shard, keys) in self.shards.iter().zip(idle) {
                if !keys.is_empty() {
                    // A shard that is gone is on a host that is stopping.
                    let _ = shard.send(Event::Idle(self.lane, stage, keys, since_s)).await;
                }
            }
            if after.is_none() {
                return Ok(());
            }
        }
    }
}
