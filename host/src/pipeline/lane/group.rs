//! A batch that ran, from its run to its settlement: each message with what is to be published for it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::forgetting::Forgotten;
use crate::pipeline::address::{Planned, Role};
use crate::pipeline::job::Job;
use crate::pipeline::publishing::Fate;
use crate::state::Changes;
use crate::telemetry::Outcome as Settled;
use crate::verdict::Failure;

/// A batch that ran.
pub(super) struct Group {
    /// Its messages, in order.
    pub(super) entries: Vec<Entry>,
    /// What is to be published for them, in the same order.
    pub(super) items: Vec<Planned>,
    /// What they did to their keys' state.
    pub(super) changes: Changes,
    /// The oldest versions that any of them has run on, as the lane counts them.
    pub(super) oldest: u64,
    /// When its commit was made, microseconds since 1970.
    pub(super) at_us: u64,
    /// Who waits to hear that keys are forgotten.
    pub(super) forgotten: Vec<Forgotten>,
}

/// A message that ran.
pub(super) struct Entry {
    /// The message.
    pub(super) job: Job,
    /// How it ends.
    pub(super) end: End,
    /// How many of the group's items are this entry's.
    pub(super) items: usize,
}

/// How a message is to be settled once its items are safe.
pub(super) enum End {
    /// With an ack.
    Done,
    /// With an ack, for this reason.
    Dropped(String),
    /// As a failure, settled so.
    Failed(Failure, Settled),
    /// With an ack, without having run: its copy waits on the broker behind what its key waits for.
    Diverted,
}

// === impl Group ===

impl Default for Group {
    /// Empty: nothing ran.
    fn default() -> Self {
        let (entries, items, forgotten) = (Vec::new(), Vec::new(), Vec::new());
        Self { entries, items, changes: Changes::default(), oldest: u64::MAX, at_us: 0, forgotten }
    }
}

impl Group {
    /// Adds a message with what is to be published for it.
    pub(super) fn add(&mut self, job: Job, end: End, items: Vec<Planned>) {
        self.oldest = self.oldest.min(job.versions);
        self.entries.push(Entry { job, end, items: items.len() });
        self.items.extend(items);
    }

    /// Adds a later group.
    pub(super) fn merge(&mut self, later: Self) {
        self.entries.extend(later.entries);
        self.items.extend(later.items);
        self.changes.merge(later.changes);
        self.forgotten.extend(later.forgotten);
        self.oldest = self.oldest.min(later.oldest);
    }

    /// Takes out entries with their items.
    pub(super) fn extract(&mut self, mut leaves: impl FnMut(&mut Entry) -> bool) -> Vec<Entry> {
        let mut gone = Vec::new();
        let mut items = std::mem::take(&mut self.items).into_iter();
        for mut entry in std::mem::take(&mut self.entries) {
            let own: Vec<Planned> = items.by_ref().take(entry.items).collect();
            if leaves(&mut entry) {
                gone.push(entry);
            } else {
                self.items.extend(own);
                self.entries.push(entry);
            }
        }
        gone
    }

    /// Leaves out outputs that were confirmed, to the byte, in a run that was undone.
    pub(super) fn skip_confirmed(&mut self, items: &mut Vec<Planned>) {
        if self.entries.iter().all(|entry| entry.job.confirmed.is_empty()) {
            return;
        }
        let mut all = std::mem::take(items).into_iter();
        for entry in &mut self.entries {
            let own = all.by_ref().take(entry.items).filter(|item| {
                item.role == Role::Report || !entry.job.confirmed.contains(&digest(item))
            });
            let before = items.len();
            items.extend(own);
            entry.items = items.len() - before;
        }
    }
}

// === impl Job ===

impl Job {
    /// Remembers which outputs are out, should this run be undone.
    pub(in crate::pipeline) fn note_confirmed(&mut self, items: &[(Planned, Fate)]) {
        let safe = items.iter().filter(|(_, fate)| *fate == Fate::Safe);
        self.confirmed.extend(safe.map(|(item, _)| digest(item)));
    }
}

/// Tells one planned message from another, for as long as this process lives.
fn digest(item: &Planned) -> u64 {
    let mut hasher = DefaultHasher::new();
    let message = &item.message;
    (item.broker, &message.exchange, &message.routing_key, &message.body).hash(&mut hasher);
    (&message.properties.message_id, format!("{:?}", message.properties.headers)).hash(&mut hasher);
    hasher.finish()
}
