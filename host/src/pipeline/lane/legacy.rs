//! How a lane ends, and what it leaves to the one that takes its place when its pipeline is altered. Its state
//! isn't part of it: that is in the store, under names that outlast it.

use super::Lane;
use crate::broker::Settlement;
use crate::pipeline::identity::Window;
use crate::telemetry::Outcome as Settled;

/// The identities that a lane remembers.
#[derive(Debug)]
pub struct Legacy {
    window: Window,
}

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
        let window = std::mem::replace(&mut self.window, Window::new(self.shape.id_window));
        Legacy { window }
    }

    /// Goes on where another lane of this pipeline and shard ended.
    #[must_use]
    pub fn inherit(mut self, legacy: Legacy) -> Self {
        self.window = legacy.window.within(self.shape.id_window);
        self
    }
}
