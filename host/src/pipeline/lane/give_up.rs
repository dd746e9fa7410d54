//! A group that can't be published for now, given up: its messages go back to their queue, and with
//! them all that ran on top of what they did.

use std::collections::HashSet;
use std::sync::Arc;

use super::group::{End, Entry, Group};
use super::{Lane, Settled};
use crate::broker::Settlement;
use crate::pipeline::address::Planned;
use crate::pipeline::job::Job;
use crate::pipeline::publishing::{Done, Fate};

impl Lane {
    /// Gives up what isn't safe of a group. Where the consumer is still there (`hold`) what is given up
    /// is released with the rest, once it is gone: it would come back at once.
    pub(super) fn give_up(&mut self, group: Group, done: Done, hold: bool) {
        let mut changes = group.changes;
        let (mut safe, mut undone) = (Vec::new(), Vec::new());
        let mut results = done.items.into_iter().zip(done.fates);
        for entry in group.entries {
            let own: Vec<(Planned, Fate)> = results.by_ref().take(entry.items).collect();
            let is_safe = own.iter().all(|(_, fate)| matches!(fate, Fate::Safe | Fate::Untold));
            if is_safe { safe.push(entry) } else { undone.push(entry) }
        }
        if self.stateful {
            // State is of all of a key's messages together: none of them counts without the others.
            let keys: HashSet<Arc<str>> =
                undone.iter().filter_map(|entry: &Entry| entry.job.key.clone()).collect();
            // A failure left no trace in state, and is told: it stays what it is.
            let of_key = |entry: &mut Entry| {
                let key = entry.job.key.as_ref();
                !matches!(entry.end, End::Failed(..)) && key.is_some_and(|key| keys.contains(key))
            };
            undone.extend(safe.extract_if(.., of_key));
            keys.iter().for_each(|key| changes.forget(key));
        }
        undone.extend(self.ready.drain(..).flat_map(|group| group.entries));
        for entry in &undone {
            if let Some(key) = &entry.job.key {
                self.rewind(&Arc::clone(key));
            }
        }
        self.commit(safe, changes);
        let undone: Vec<Job> = undone.into_iter().map(|entry| entry.job).collect();
        if hold {
            self.stranded.extend(undone);
        } else {
            self.release(undone);
            // What waits behind them of their keys must not overtake them.
            self.lost(u64::MAX);
        }
    }

    /// Gives messages back that were taken from the backlog.
    pub(super) fn release(&mut self, jobs: Vec<Job>) {
        for job in jobs {
            self.settle(job, Settlement::Release, Settled::Released);
        }
    }

    /// Keeps the failure reports that no broker took. Whether there was room for all: the messages of
    /// others are given up, and the pipeline waits for room.
    pub(super) fn keep_untold(&self, done: &mut Done) -> bool {
        let mut room = true;
        for (item, fate) in done.items.iter().zip(&mut done.fates) {
            if *fate != Fate::Untold {
                continue;
            }
            self.shape.metrics.report_unsent();
            if let Err(error) = self.shape.journal.write(&item.message.body) {
                self.shape.breaker.trip(&format!("untold failures can't be kept: {error}"));
                *fate = Fate::Abandoned;
                room = false;
            }
        }
        room
    }
}
