//! Timers that are there before a lane runs, or that go to another lane of their pipeline with their keys.

use std::sync::Arc;

use super::{Again, Spot, Timing};
use crate::maps::{HashMap, HashSet};
use crate::pipeline::lane::Lane;

/// When which timers are to run.
#[derive(Debug, Default)]
pub(in crate::pipeline::lane) struct Pending {
    due: Vec<(u64, Spot)>,
    /// Those that failed and wait to be tried again.
    again: HashMap<Spot, Again>,
    /// Keys whose entries couldn't be read, and are to be looked at.
    doubtful: HashSet<Arc<str>>,
}

// === impl Pending ===

impl Pending {
    pub(in crate::pipeline::lane) fn size(&self) -> usize {
        self.due.len()
    }

    /// Deals it out, to each place what `of` gives for its key.
    pub(in crate::pipeline::lane) fn deal(self, to: &mut [Self], of: impl Fn(&str) -> usize) {
        for (due_us, spot) in self.due {
            if let Some(to) = to.get_mut(of(&spot.0)) {
                to.due.push((due_us, spot));
            }
        }
        for (spot, again) in self.again {
            if let Some(to) = to.get_mut(of(&spot.0)) {
                to.again.insert(spot, again);
            }
        }
        for key in self.doubtful {
            if let Some(to) = to.get_mut(of(&key)) {
                to.doubtful.insert(key);
            }
        }
    }
}

// === impl Timing ===

impl Timing {
    /// Gives away all but what is on its way.
    fn take(&mut self) -> Pending {
        self.of.clear();
        Pending {
            due: std::mem::take(&mut self.due).into_iter().collect(),
            again: std::mem::take(&mut self.again),
            doubtful: std::mem::take(&mut self.doubtful),
        }
    }
}

// === impl Lane ===

impl Lane {
    /// Takes up timers that are there before it runs: of a host before this one, or a lane.
    pub fn index(&mut self, due: impl IntoIterator<Item = (u64, Arc<str>, usize)>) {
        let before = self.timing.of.len();
        for (due_us, key, stage) in due {
            self.timing.in_use = true;
            self.timing.set((key, stage), Some(due_us));
        }
        self.count_waiting(before);
    }

    /// Gives away all that is known of timers.
    pub(in crate::pipeline::lane) fn hand_over_timers(&mut self) -> Pending {
        self.follow_timers();
        let before = self.timing.of.len();
        let pending = self.timing.take();
        self.count_waiting(before);
        self.set_alarm();
        pending
    }

    /// Takes over what is known of the timers of keys that come here from now on.
    pub(in crate::pipeline::lane) fn take_over_timers(
        &mut self,
        Pending { due, again, doubtful }: Pending,
    ) {
        self.index(due.into_iter().map(|(due_us, (key, stage))| (due_us, key, stage)));
        self.timing.in_use |= !doubtful.is_empty();
        self.timing.again.extend(again);
        self.timing.doubtful.extend(doubtful);
        self.follow_timers();
    }
}
