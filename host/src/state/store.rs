//! What keeps state beyond the process: a trait, so that a shared store can come beside the embedded one.
//!
//! A store is told what a lane's published messages did in one [`Commit`], which is there whole or not
//! at all. Nothing in it is known by a place in the config, which moves, but by names.

use std::sync::Arc;

use super::Entry;

/// A stage of a pipeline, by what stays the same when a config is edited.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The pipeline's name.
    pub pipeline: Arc<str>,
    /// The name of the stage's plugin in the config.
    pub plugin: Arc<str>,
    /// Which of the pipeline's stages with that plugin, from 0.
    pub nth: u8,
}

/// What a lane has to be kept, in one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// What keys have now; an entry without anything in it is removed.
    pub entries: Vec<Change>,
    /// Messages that are about to be settled.
    pub settled: Vec<Remembered>,
    /// Messages that needn't be known any more.
    pub forgotten: Vec<Remembered>,
    /// Whose messages those are.
    pub pipeline: Arc<str>,
    /// When, seconds since 1970.
    pub now_s: u64,
}

/// What one key has now at one stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The stage.
    pub place: Arc<Place>,
    /// The key.
    pub key: Arc<str>,
    /// All it has. Its generation isn't kept.
    pub entry: Entry,
}

/// A settled message's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Remembered {
    /// When it was settled, microseconds since 1970.
    pub at_us: u64,
    /// Digest of id, body and history.
    pub whole: [u8; 16],
    /// Digest of the id.
    pub id: u64,
    /// It was dead-lettered.
    pub dead: bool,
    /// The partition of its key, which says whose lane knows it.
    pub partition: u8,
}

/// A key's entry as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// All it has, under generation 0.
    pub entry: Entry,
    /// When that was last changed or used, seconds since 1970.
    pub touched_s: u64,
}

/// What a commit outlasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The death of the process, not that of the machine.
    Process,
    /// Power loss too: every group of commits is synced to the disk.
    Power,
}

/// How much is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Keys, each once per stage that it has something at.
    pub keys: u64,
    /// Bytes of keys and of all that they have.
    pub bytes: u64,
}

/// Why a store couldn't do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The disk or the database says no; it may say yes later.
    #[error("the state can't be {doing}: {why}")]
    Failed {
        /// `read` or `written`
        doing: &'static str,
        /// What it said.
        why: String,
    },
    /// A host runs on it.
    #[error("the state in {folder} is in use; a running host has it; stop that one first")]
    InUse {
        /// Its folder.
        folder: String,
    },
    /// What is there isn't what was written.
    #[error("the state of {what} is damaged: {why}; {}", REMEDY)]
    Damaged {
        /// Which.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// It was written by a release that came later.
    #[error(
        "the state folder has format {found}, and this release knows formats up to {known}; run the release that wrote it, or a later one"
    )]
    Newer {
        /// Its format.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
}

/// What helps against damage.
const REMEDY: &str = "restore the folder from a backup (docs/state.md), or move it away to begin \
                      without state";

/// Keeps state. Called by many threads; a commit is one transaction.
pub trait StateStore: Send + Sync {
    /// What a key has.
    ///
    /// # Errors
    /// It can't be read, or is damaged.
    fn load(&self, place: &Place, key: &str) -> Result<Option<Kept>, StoreError>;

    /// Keeps all of it, or nothing. The same again changes nothing more.
    ///
    /// # Errors
    /// Nothing was kept.
    fn commit(&self, commits: &[Commit]) -> Result<(), StoreError>;

    /// Up to `limit` keys of a place behind `after`, in the order of their bytes.
    ///
    /// # Errors
    /// They can't be read, or are damaged.
    fn keys(
        &self,
        place: &Place,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Arc<str>, Kept)>, StoreError>;

    /// Every key of those places, as all of them are at one moment, place by place and in the order of the
    /// keys' bytes, until `tell` has enough.
    ///
    /// # Errors
    /// They can't be read, or are damaged.
    fn walk(
        &self,
        of: &dyn Fn(&Place) -> bool,
        tell: &mut dyn FnMut(&Place, &str, Kept) -> bool,
    ) -> Result<(), StoreError>;

    /// Up to `limit` keys of a place whose first timer is due by then, the earliest first: when, and which.
    ///
    /// # Errors
    /// They can't be read.
    fn due(
        &self,
        place: &Place,
        until_us: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Arc<str>)>, StoreError>;

    /// The settled messages of a pipeline that are remembered, in the order of their settlement.
    ///
    /// # Errors
    /// They can't be read.
    fn remembered(&self, pipeline: &str) -> Result<Vec<Remembered>, StoreError>;

    /// Every place that has a key, and how much each keeps.
    fn places(&self) -> Vec<(Place, Usage)>;

    /// How much a pipeline keeps.
    fn usage(&self, pipeline: &str) -> Usage;

    /// Whether all of it is in memory, so that looking through it takes no thread of its own.
    fn is_at_hand(&self) -> bool {
        false
    }

    /// Whether it could be written to now.
    ///
    /// # Errors
    /// Why not.
    fn check(&self) -> Result<(), StoreError>;
}

// === impl Place ===

impl Place {
    /// The places of a pipeline whose stages have those plugins.
    #[must_use]
    pub fn of_stages<'n>(
        pipeline: &str,
        plugins: impl IntoIterator<Item = &'n str>,
    ) -> Vec<Arc<Self>> {
        let pipeline: Arc<str> = pipeline.into();
        let mut places: Vec<Arc<Self>> = Vec::new();
        for plugin in plugins {
            let nth = places.iter().filter(|place| &*place.plugin == plugin).count();
            places.push(Arc::new(Self {
                pipeline: Arc::clone(&pipeline),
                plugin: plugin.into(),
                nth: u8::try_from(nth).unwrap_or(u8::MAX),
            }));
        }
        places
    }

    /// The stage as people name it: `anomaly`, and `anomaly#2` where the plugin comes again.
    #[must_use]
    pub fn stage(&self) -> String {
        match self.nth {
            0 => self.plugin.to_string(),
            nth => format!("{}#{}", self.plugin, u32::from(nth) + 1),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "pipeline '{}', stage '{}'", self.pipeline, self.stage())
    }
}

// === impl Usage ===

impl Usage {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { keys: self.keys + other.keys, bytes: self.bytes + other.bytes }
    }
}

// === impl Commit ===

impl Commit {
    /// Nothing yet, of that pipeline.
    #[must_use]
    pub fn new(pipeline: Arc<str>, now_s: u64) -> Self {
        Self { pipeline, now_s, ..Self::default() }
    }

    /// Whether there is nothing to keep.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.settled.is_empty() && self.forgotten.is_empty()
    }
}
