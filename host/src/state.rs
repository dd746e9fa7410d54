//! Keyed state: what plugins remember of a key, held by the host.
//!
//! State belongs to (pipeline, stage, key). A shard owns the keys of its partitions, so nothing here
//! is locked. What a batch changed lies in a [`Changes`] above the committed [`Cache`] until everything
//! that the batch led to is safe; taking a key out of the changes undoes it.
//!
//! | file | what |
//! |---|---|
//! | [`store`] | the trait of what keeps state beyond the process, and its words |
//! | [`embedded`] | the one in a folder; only there is the database known |
//! | `record` | one key's entry as bytes |
//! | [`mod@look`], [`lines`] | what an operator sees of a store; a key as a line of an export |
//! | [`memory`], [`absent`] | one that doesn't outlast the process, for tests; one that can't be had |
//! | [`cache`] | what a lane knows of it |

pub mod absent;
pub mod cache;
pub mod embedded;
pub mod lines;
pub mod look;
pub mod memory;
mod record;
pub mod store;
mod timers;

pub use self::absent::AbsentStore;
pub use self::cache::{Cache, CacheFigures};
pub use self::embedded::EmbeddedStore;
pub use self::look::{Look, LookError, OneKey, look};
pub use self::memory::MemoryStore;
pub use self::store::{
    Change, Commit, Durability, Kept, Place, Remembered, StateStore, StoreError, Usage,
};

use std::sync::Arc;

use bytes::Bytes;

use crate::maps::HashMap;

/// All that one key has at one stage: what is committed, undone and kept together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The state; `None` where the key has none, or none any more.
    pub bytes: Option<Bytes>,
    /// Never the same for two different states that one plugin can be handed.
    pub generation: u64,
    /// Version of the state's schema that `bytes` is of; 0 where there is no state.
    pub schema: u32,
    /// What the version that may be put back made of the same messages.
    pub shadow: Option<Shadow>,
    /// What is to be called when its time comes.
    pub timers: Timers,
}

/// State as another version of the plugin keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shadow {
    /// Version of its schema.
    pub schema: u32,
    /// The state; `None` where the key has none.
    pub bytes: Option<Bytes>,
}

/// A key's timers at one stage, in order of their due times. Most keys have none.
pub type Timers = Option<Arc<[Timer]>>;

/// One timer; a name occurs once among a key's at a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    /// What the plugin calls it.
    pub name: Arc<str>,
    /// When it is due, microseconds since 1970-01-01 UTC.
    pub due_us: u64,
    /// How often it was tried, where it failed.
    pub attempt: u32,
}

/// Entries by stage and key.
#[derive(Debug, Default)]
pub struct Changes {
    stages: Vec<HashMap<Arc<str>, Entry>>,
}

/// Generations of a rewound key start this much higher, above all that its undone batches used.
const REWIND_STEP: u64 = 1 << 26;
/// And those of one that ran again within its batch, so much: all batches that are under way together
/// stay below a rewound key's.
const RERUN_STEP: u64 = 1 << 18;
/// Bits of a generation that count; those above tell pipelines and stages apart.
const COUNTER_BITS: u32 = 48;
/// Those bits.
const COUNTER: u64 = (1 << COUNTER_BITS) - 1;

/// The first generation of a state at that stage of that pipeline, so that one plugin in several
/// places is never handed the same generation for different states.
#[must_use]
pub fn first_generation(pipeline: u16, stage: usize) -> u64 {
    let place = (u64::from(pipeline) << 8) | (stage as u64 & 0xff);
    (place & 0xffff) << COUNTER_BITS
}

// === impl Changes ===

impl Changes {
    /// What these changes say of a key at a stage.
    #[must_use]
    pub fn get(&self, key: &str, stage: usize) -> Option<&Entry> {
        self.stages.get(stage)?.get(key)
    }

    /// Notes a new entry.
    pub fn set(&mut self, key: &Arc<str>, stage: usize, entry: Entry) {
        if self.stages.len() <= stage {
            self.stages.resize_with(stage + 1, HashMap::default);
        }
        self.stages[stage].insert(Arc::clone(key), entry);
    }

    /// Whether a stage before this one changed the key.
    #[must_use]
    pub fn touched_before(&self, key: &str, stage: usize) -> bool {
        self.stages.iter().take(stage).any(|keys| keys.contains_key(key))
    }

    /// Notes that batches which were built upon these were undone: the key's state stays, under
    /// generations that those didn't use.
    /// The highest of these.
    pub fn rewind(&mut self, key: &str) -> u64 {
        let mut highest = 0;
        for entry in self.stages.iter_mut().filter_map(|keys| keys.get_mut(key)) {
            entry.generation += REWIND_STEP;
            highest = highest.max(entry.generation & COUNTER);
        }
        highest
    }

    /// Undoes a key.
    pub fn forget(&mut self, key: &str) {
        self.stages.iter_mut().for_each(|keys| drop(keys.remove(key)));
    }

    /// Lays later changes over these.
    pub fn merge(&mut self, later: Self) {
        if self.stages.len() < later.stages.len() {
            self.stages.resize_with(later.stages.len(), HashMap::default);
        }
        for (keys, later) in self.stages.iter_mut().zip(later.stages) {
            if keys.is_empty() {
                *keys = later;
            } else {
                keys.extend(later);
            }
        }
    }

    /// All entries, with their keys and stages.
    pub fn entries(&self) -> impl Iterator<Item = (&Arc<str>, usize, &Entry)> {
        let stages = self.stages.iter().enumerate();
        stages.flat_map(|(stage, keys)| keys.iter().map(move |(key, entry)| (key, stage, entry)))
    }

    /// The same, taken.
    pub fn into_entries(self) -> impl Iterator<Item = (Arc<str>, usize, Entry)> {
        let stages = self.stages.into_iter().enumerate();
        stages
            .flat_map(|(stage, keys)| keys.into_iter().map(move |(key, entry)| (key, stage, entry)))
    }

    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stages.iter().all(HashMap::is_empty)
    }
}

// === impl Entry ===

impl Entry {
    /// The same state under a generation that earlier runs of its batch didn't use.
    #[must_use]
    pub fn rerun(mut self) -> Self {
        self.generation += RERUN_STEP;
        self
    }

    /// Whether there is nothing in it, so that nothing of it need be kept.
    #[must_use]
    pub fn is_vacant(&self) -> bool {
        let timers = self.timers.as_ref().is_none_or(|timers| timers.is_empty());
        self.bytes.is_none() && self.shadow.is_none() && timers
    }

    /// Bytes of all that it has.
    #[must_use]
    pub fn size(&self) -> usize {
        let shadow = self.shadow.as_ref().and_then(|shadow| shadow.bytes.as_ref());
        let timers = self.timers.iter().flat_map(|timers| timers.iter());
        let timers: usize = timers.map(|timer| timer.name.len() + size_of::<Timer>()).sum();
        self.len() + shadow.map_or(0, Bytes::len) + timers
    }

    fn len(&self) -> usize {
        self.bytes.as_ref().map_or(0, Bytes::len)
    }
}

/// When the first of a key's timers is due, microseconds since 1970.
fn first_due(entry: &Entry) -> Option<u64> {
    entry.timers.iter().flat_map(|timers| timers.iter()).map(|timer| timer.due_us).min()
}
