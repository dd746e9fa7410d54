//! How a lane ends, or gives its keys away, and what it leaves to those that have them next: when its pipeline is
//! altered, or uses more shards or fewer. State isn't part of it: that is in the store, under names that outlast it.

use std::mem;

use super::Lane;
use super::timing::Pending;
use crate::broker::Settlement;
use crate::config::IdWindow;
use crate::pipeline::identity::Window;
use crate::pipeline::shard::partition;
use crate::pipeline::spread::Spread;
use crate::telemetry::Outcome as Settled;

/// What a lane knows of its keys that the store doesn't.
#[derive(Debug)]
pub struct Legacy {
    /// The identities that it remembers.
    window: Window,
    /// When which timers are to run; none of a lane that ended, for they are read from the store.
    pending: Pending,
}

// === impl Legacy ===

impl Legacy {
    /// How many identities and timers that are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.window.size() + self.pending.size()
    }

    /// What all of these leave, for each shard what is its.
    #[must_use]
    pub fn deal(all: Vec<Self>, spread: Spread, limits: IdWindow) -> Vec<Self> {
        let mut pending: Vec<Pending> = Vec::new();
        pending.resize_with(spread.shards(), Pending::default);
        let mut windows = Vec::new();
        for legacy in all {
            windows.push(legacy.window);
            legacy.pending.deal(&mut pending, |key| spread.shard(partition(key)));
        }
        let of = |partition| spread.shard(partition);
        let windows = Window::deal(windows, limits, (spread.shards(), of));
        windows.into_iter().zip(pending).map(|(window, pending)| Self { window, pending }).collect()
    }
}

// === impl Lane ===

impl Lane {
    /// No more will come: releases all but what is being kept, whose outputs are safe.
    pub fn wind_up(&mut self) {
        self.lost(u64::MAX);
        for entry in self.publishing.take().into_iter().flat_map(|group| group.entries) {
            self.settle(entry.job, Settlement::Release, Settled::Released);
        }
    }

    /// Whether something is being kept.
    pub fn is_committing(&self) -> bool {
        self.confirmed.is_some() || self.committing.is_some()
    }

    /// The shard stops: what is still held here, if only for a consumer that is gone, is released.
    pub fn close(&mut self) {
        self.wind_up();
        let groups = [self.confirmed.take(), self.committing.take()];
        for entry in groups.into_iter().flatten().flat_map(|group| group.entries) {
            self.settle(entry.job, Settlement::Release, Settled::Released);
        }
    }

    /// The lane is over, and all that it published is kept.
    #[must_use]
    pub fn retire(mut self) -> Legacy {
        self.close();
        let window = mem::replace(&mut self.window, Window::new(self.shape.id_window));
        Legacy { window, pending: Pending::default() }
    }

    /// Goes on where another lane of this pipeline and shard ended.
    #[must_use]
    pub fn inherit(mut self, legacy: Legacy) -> Self {
        self.window = legacy.window.within(self.shape.id_window(self.place.1));
        self
    }

    /// Gives all of its keys away, to be dealt out by that spread from now on; nothing of them is under way. State
    /// is read anew by whoever has them, here too, for it may change elsewhere before they come back.
    #[must_use]
    pub fn share(&mut self, spread: Spread) -> Legacy {
        let pending = self.hand_over_timers();
        self.place.1 = spread;
        self.cache.clear();
        let window = Window::new(self.shape.id_window(spread));
        Legacy { window: mem::replace(&mut self.window, window), pending }
    }

    /// Takes over what other lanes knew of the keys that are its own now.
    pub fn take_over(&mut self, Legacy { window, pending }: Legacy) {
        self.window = window;
        self.take_over_timers(pending);
    }

    /// Whether the key's messages come here. What was sent before its keys were dealt out anew may be about one
    /// that is another's by now.
    pub(super) fn owns(&self, key: &str) -> bool {
        let (shard, spread) = self.place;
        spread.shard(partition(key)) == shard
    }
}

#[cfg(test)]
mod tests;
