//! A store that lasts as long as the process, or the test that crashes hosts over it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::store::{Commit, Kept, Place, Remembered, StateStore, StoreError, Usage};
use super::{Entry, first_due};

/// Keeps state in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    places: BTreeMap<Place, BTreeMap<Arc<str>, Kept>>,
    remembered: BTreeMap<Arc<str>, BTreeSet<Remembered>>,
    /// Why every write fails, where one does.
    refusal: Option<String>,
    /// Keys that can't be read until they are written anew.
    damaged: BTreeSet<Arc<str>>,
}

impl MemoryStore {
    /// An empty one.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Has it refuse every commit for that reason, or take them again.
    pub fn refuse(&self, why: Option<&str>) {
        self.lock().refusal = why.map(str::to_owned);
    }

    /// Has it find a key damaged, until that is written anew or removed.
    pub fn damage(&self, key: &str) {
        self.lock().damaged.insert(key.into());
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for MemoryStore {
    fn is_at_hand(&self) -> bool {
        true
    }

    fn load(&self, place: &Place, key: &str) -> Result<Option<Kept>, StoreError> {
        let inner = self.lock();
        if inner.damaged.contains(key) {
            let what = format!("{place}, key '{key}'");
            return Err(StoreError::Damaged { what, why: "as a test says".to_owned() });
        }
        Ok(inner.places.get(place).and_then(|keys| keys.get(key)).cloned())
    }

    fn commit(&self, commits: &[Commit]) -> Result<(), StoreError> {
        let mut inner = self.lock();
        inner.writable()?;
        for commit in commits {
            for change in &commit.entries {
                inner.damaged.remove(&change.key);
                let keys = inner.places.entry((*change.place).clone()).or_default();
                if change.entry.is_vacant() {
                    keys.remove(&change.key);
                } else {
                    let entry = Entry { generation: 0, ..change.entry.clone() };
                    let kept = Kept { entry, touched_s: commit.now_s };
                    keys.insert(Arc::clone(&change.key), kept);
                }
            }
            let remembered = inner.remembered.entry(Arc::clone(&commit.pipeline)).or_default();
            remembered.extend(&commit.settled);
            for gone in &commit.forgotten {
                remembered.remove(gone);
            }
        }
        inner.places.retain(|_, keys| !keys.is_empty());
        Ok(())
    }

    fn keys(
        &self,
        place: &Place,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Arc<str>, Kept)>, StoreError> {
        let inner = self.lock();
        let keys = inner.places.get(place).into_iter().flatten();
        let behind = keys.filter(|(key, _)| after.is_none_or(|after| ***key > *after));
        Ok(behind.take(limit).map(|(key, kept)| (Arc::clone(key), kept.clone())).collect())
    }

    fn walk(
        &self,
        of: &dyn Fn(&Place) -> bool,
        tell: &mut dyn FnMut(&Place, &str, Kept) -> bool,
    ) -> Result<(), StoreError> {
        let inner = self.lock();
        for (place, keys) in inner.places.iter().filter(|(place, _)| of(place)) {
            for (key, kept) in keys {
                if !tell(place, key, kept.clone()) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn due(
        &self,
        place: &Place,
        until_us: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Arc<str>)>, StoreError> {
        let inner = self.lock();
        let keys = inner.places.get(place).into_iter().flatten();
        let due = keys.filter_map(|(key, kept)| Some((first_due(&kept.entry)?, Arc::clone(key))));
        let mut due: Vec<_> = due.filter(|(due_us, _)| *due_us <= until_us).collect();
        due.sort_unstable();
        due.truncate(limit);
        Ok(due)
    }

    fn remembered(&self, pipeline: &str) -> Result<Vec<Remembered>, StoreError> {
        Ok(self.lock().remembered.get(pipeline).into_iter().flatten().copied().collect())
    }

    fn places(&self) -> Vec<(Place, Usage)> {
        let inner = self.lock();
        inner.places.iter().map(|(place, keys)| (place.clone(), usage(keys))).collect()
    }

    fn usage(&self, pipeline: &str) -> Usage {
        let inner = self.lock();
        let own = inner.places.iter().filter(|(place, _)| &*place.pipeline == pipeline);
        own.fold(Usage::default(), |all, (_, keys)| all.plus(usage(keys)))
    }

    fn check(&self) -> Result<(), StoreError> {
        self.lock().writable()
    }
}

impl Inner {
    fn writable(&self) -> Result<(), StoreError> {
        match &self.refusal {
            Some(why) => Err(StoreError::Failed { doing: "written", why: why.clone() }),
            None => Ok(()),
        }
    }
}

fn usage(keys: &BTreeMap<Arc<str>, Kept>) -> Usage {
    let bytes = keys.iter().map(|(key, kept)| (key.len() + kept.entry.size()) as u64).sum();
    Usage { keys: keys.len() as u64, bytes }
}
