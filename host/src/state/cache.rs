//! What a lane knows of its keys' committed state: as much of the store as it uses, up to a bound.
//!
//! An entry is read from the store when its key is first needed, and let go when others need the room.
//! Whatever is read gets a generation above all that plugins were handed before, so that what they keep
//! of a key under a generation stays true.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{COUNTER, Changes, Entry, Kept};
use crate::maps::HashMap;

/// Bytes that an entry takes beside its own.
const OVERHEAD: usize = 160;

/// The committed entries that a lane holds.
#[derive(Debug)]
pub struct Cache {
    keys: HashMap<Arc<str>, Held>,
    /// All keys, the next candidate to be let go first.
    hand: VecDeque<Arc<str>>,
    bytes: usize,
    limit: usize,
    /// The first generation at each stage.
    first: Vec<u64>,
    /// The highest count of any generation that was handed out.
    ceiling: u64,
    figures: CacheFigures,
}

/// What became of what was needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheFigures {
    /// Found here.
    pub hits: u64,
    /// Read from the store.
    pub misses: u64,
}

#[derive(Debug, Default)]
struct Held {
    stages: Vec<Option<Known>>,
    bytes: usize,
    used: bool,
}

#[derive(Debug)]
struct Known {
    entry: Entry,
    touched_s: u64,
}

impl Cache {
    /// An empty one, of so many bytes, for stages with those first generations.
    #[must_use]
    pub fn new(limit: usize, first: Vec<u64>) -> Self {
        Self {
            keys: HashMap::default(),
            hand: VecDeque::new(),
            bytes: 0,
            limit,
            first,
            ceiling: 0,
            figures: CacheFigures::default(),
        }
    }

    /// The committed entry of a key at a stage, where it is known.
    #[must_use]
    pub fn get(&self, key: &str, stage: usize) -> Option<&Entry> {
        self.known(key, stage).map(|known| &known.entry)
    }

    /// When the key's entry was last changed or used, as far as the store knows; seconds since 1970.
    #[must_use]
    pub fn touched_s(&self, key: &str, stage: usize) -> Option<u64> {
        self.known(key, stage).map(|known| known.touched_s)
    }

    /// Whether the key has something at any stage.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        let stages = self.keys.get(key).into_iter().flat_map(|held| held.stages.iter().flatten());
        stages.into_iter().any(|known| !known.entry.is_vacant())
    }

    /// Whether the entry must be read before it is used. Counts as a use.
    pub fn lacks(&mut self, key: &str, stage: usize) -> bool {
        let held = self.keys.get_mut(key);
        let found = held.is_some_and(|held| {
            held.used = true;
            held.stages.get(stage).is_some_and(Option::is_some)
        });
        if found {
            self.figures.hits += 1;
        } else {
            self.figures.misses += 1;
        }
        !found
    }

    /// Notes what the store has of a key.
    pub fn learn(&mut self, key: &Arc<str>, stage: usize, kept: Option<Kept>) {
        let Kept { entry, touched_s } =
            kept.unwrap_or(Kept { entry: Entry::default(), touched_s: 0 });
        let first = self.first.get(stage).copied().unwrap_or(0);
        let generation = first + self.ceiling + 1;
        self.set(key, stage, Entry { generation, ..entry }, touched_s);
    }

    /// Notes what was committed.
    pub fn commit(&mut self, changes: Changes, now_s: u64) {
        self.handed(&changes);
        for (key, stage, entry) in changes.into_entries() {
            self.set(&key, stage, entry, now_s);
        }
    }

    /// Notes the generations of what a batch made, that may yet be undone.
    pub fn handed(&mut self, changes: &Changes) {
        for (_, _, entry) in changes.entries() {
            self.ceiling = self.ceiling.max(entry.generation & COUNTER);
        }
    }

    /// Notes that a generation up to this count was handed out.
    pub fn reached(&mut self, count: u64) {
        self.ceiling = self.ceiling.max(count);
    }

    /// Notes that batches of this key were undone: its state stays, under generations that those
    /// batches didn't use.
    pub fn rewind(&mut self, key: &str) {
        let known = self.keys.get_mut(key).into_iter().flat_map(|held| &mut held.stages).flatten();
        for known in known {
            known.entry.generation += super::REWIND_STEP;
            self.ceiling = self.ceiling.max(known.entry.generation & COUNTER);
        }
    }

    /// Lets a key go: it is read again when it is needed.
    pub fn forget(&mut self, key: &str) {
        if let Some(held) = self.keys.remove(key) {
            self.bytes -= held.bytes;
        }
    }

    /// Lets all keys go.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.hand.clear();
        self.bytes = 0;
    }

    /// Lets go of keys that weren't used lately, down to the bound. Not while a batch needs them.
    pub fn trim(&mut self) {
        while self.bytes > self.limit {
            let Some(key) = self.hand.pop_front() else { return };
            match self.keys.get_mut(&key) {
                Some(held) if held.used => {
                    held.used = false;
                    self.hand.push_back(key);
                }
                Some(_) => self.forget(&key),
                None => {}
            }
        }
    }

    /// Hits and misses since they were last taken.
    pub fn take_figures(&mut self) -> CacheFigures {
        std::mem::take(&mut self.figures)
    }

    fn known(&self, key: &str, stage: usize) -> Option<&Known> {
        self.keys.get(key)?.stages.get(stage)?.as_ref()
    }

    fn set(&mut self, key: &Arc<str>, stage: usize, entry: Entry, touched_s: u64) {
        let held = match self.keys.get_mut(key) {
            Some(held) => held,
            None => {
                self.hand.push_back(Arc::clone(key));
                self.keys.entry(Arc::clone(key)).or_default()
            }
        };
        if held.stages.len() <= stage {
            held.stages.resize_with(stage + 1, || None);
        }
        let bytes = key.len() + entry.size() + OVERHEAD;
        let before = held.stages[stage].as_ref();
        let before = before.map_or(0, |known| key.len() + known.entry.size() + OVERHEAD);
        held.bytes = held.bytes + bytes - before;
        self.bytes = self.bytes + bytes - before;
        held.stages[stage] = Some(Known { entry, touched_s });
    }
}

#[cfg(test)]
mod tests;
