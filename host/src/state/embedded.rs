//! The store of a host by itself: one folder, no server. The only file that knows the database, redb: a
//! tree of pages in one file that is always whole, with nothing to be replayed and no threads of its own.
//!
//! | table | key | value |
//! |---|---|---|
//! | `state` | place's number, key | `record` |
//! | `timers` | place's number, first timer, key | nothing |
//! | `settled` | pipeline's number, when, identity | id, partition, how it ended |
//! | `meta` | `p`, number · `u`, number | names of a place · what it keeps |
//!
//! Numbers are big-endian, so that the order of bytes is theirs. A database that failed once takes no more
//! writes; it is opened anew for the next one.

mod batch;
mod file;
mod folder;
mod layout;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use self::batch::{Batch, Names};
use super::record;
use super::store::{Commit, Durability, Kept, Place, Remembered, StateStore, StoreError, Usage};
use crate::limits::STATE_PAGE_CACHE_BYTES;

/// A table of bytes by bytes.
type Bytes = TableDefinition<'static, &'static [u8], &'static [u8]>;
const STATE: Bytes = TableDefinition::new("state");
const TIMERS: Bytes = TableDefinition::new("timers");
const SETTLED: Bytes = TableDefinition::new("settled");
const META: Bytes = TableDefinition::new("meta");

/// Keeps state in a folder.
pub struct EmbeddedStore {
    folder: PathBuf,
    durability: Durability,
    /// `None` after a failure, until it is opened anew.
    open: RwLock<Option<Open>>,
}

/// An open database.
struct Open {
    database: Database,
    names: RwLock<Names>,
    /// Held while something is written, so that readers needn't wait for the disk.
    writing: Mutex<()>,
    /// Nobody else has the folder.
    _lock: std::fs::File,
}

impl EmbeddedStore {
    /// Opens the store in that folder, which is made where it isn't there.
    ///
    /// # Errors
    /// It is damaged, of a later release, in use, or the disk says no.
    pub fn open(folder: &Path, durability: Durability) -> Result<Self, StoreError> {
        let opened = Open::at(folder, durability)?;
        Ok(Self { folder: folder.to_owned(), durability, open: RwLock::new(Some(opened)) })
    }

    /// Whether there is a store in that folder.
    #[must_use]
    pub fn is_there(folder: &Path) -> bool {
        folder::is_there(folder)
    }

    /// Does something with the database; opens it anew where it had failed.
    fn with<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Open) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        if open.is_none() {
            drop(open);
            open = self.reopened()?;
        }
        let Some(open) = &*open else { return Err(failed(doing, "it was closed meanwhile")) };
        unpanicked(doing, || work(open))
    }

    fn reopened(&self) -> Result<RwLockReadGuard<'_, Option<Open>>, StoreError> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if open.is_none() {
            *open = Some(Open::at(&self.folder, self.durability)?);
            tracing::info!(folder = %self.folder.display(), "the state is open again");
        }
        drop(open);
        Ok(self.open.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl StateStore for EmbeddedStore {
    fn load(&self, place: &Place, key: &str) -> Result<Option<Kept>, StoreError> {
        self.with("read", |open| {
            let Some(number) = open.number(place) else { return Ok(None) };
            let found = open.read(STATE)?.get(&*layout::key(number, key)).map_err(unread)?;
            found.map(|bytes| decode(place, key, bytes.value())).transpose()
        })
    }

    fn commit(&self, commits: &[Commit]) -> Result<(), StoreError> {
        let done = self.with("written", |open| open.commit(commits));
        if done.is_err() {
            // It takes no more writes, and what it holds in memory may not be on the disk.
            *self.open.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
        done
    }

    fn keys(
        &self,
        place: &Place,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Arc<str>, Kept)>, StoreError> {
        self.with("read", |open| {
            let Some(number) = open.number(place) else { return Ok(Vec::new()) };
            let from = layout::key(number, after.unwrap_or_default());
            let until = layout::after(number);
            let mut keys = Vec::new();
            let table = open.read(STATE)?;
            for item in table.range::<&[u8]>(&*from..&*until).map_err(unread)? {
                let (bytes, value) = item.map_err(unread)?;
                let key = layout::key_of(bytes.value()).ok_or_else(|| damaged(place, "a key"))?;
                if after == Some(key) {
                    continue;
                }
                if keys.len() == limit {
                    break;
                }
                keys.push((key.into(), decode(place, key, value.value())?));
            }
            Ok(keys)
        })
    }

    fn walk(
        &self,
        of: &dyn Fn(&Place) -> bool,
        tell: &mut dyn FnMut(&Place, &str, Kept) -> bool,
    ) -> Result<(), StoreError> {
        let places = self.places();
        // The table is as it was when this began; others go on meanwhile.
        let (numbers, table) = self.with("read", |open| {
            let number = |(place, _)| open.number(&place).map(|number| (place, number));
            let numbers: Vec<_> = places.into_iter().filter_map(number).collect();
            Ok((numbers, open.read(STATE)?))
        })?;
        unpanicked("read", || {
            for (place, number) in numbers.iter().filter(|(place, _)| of(place)) {
                let (from, until) = (layout::key(*number, ""), layout::after(*number));
                for item in table.range::<&[u8]>(&*from..&*until).map_err(unread)? {
                    let (bytes, value) = item.map_err(unread)?;
                    let key = layout::key_of(bytes.value());
                    let key = key.ok_or_else(|| damaged(place, "a key"))?;
                    if !tell(place, key, decode(place, key, value.value())?) {
                        return Ok(());
                    }
                }
            }
            Ok(())
        })
    }

    fn due(
        &self,
        place: &Place,
        until_us: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Arc<str>)>, StoreError> {
        self.with("read", |open| {
            let Some(number) = open.number(place) else { return Ok(Vec::new()) };
            let (from, until) =
                (layout::timer(number, 0, ""), layout::timers_after(number, until_us));
            let mut due = Vec::new();
            let table = open.read(TIMERS)?;
            for item in table.range::<&[u8]>(&*from..&*until).map_err(unread)?.take(limit) {
                let (bytes, _) = item.map_err(unread)?;
                let (due_us, key) =
                    layout::timer_of(bytes.value()).ok_or_else(|| damaged(place, "a timer"))?;
                due.push((due_us, key.into()));
            }
            Ok(due)
        })
    }

    fn remembered(&self, pipeline: &str) -> Result<Vec<Remembered>, StoreError> {
        self.with("read", |open| {
            let place = pipeline_alone(pipeline);
            let Some(number) = open.number(&place) else { return Ok(Vec::new()) };
            let mut all = Vec::new();
            let (from, until) = (layout::key(number, ""), layout::after(number));
            let table = open.read(SETTLED)?;
            for item in table.range::<&[u8]>(&*from..&*until).map_err(unread)? {
                let (key, value) = item.map_err(unread)?;
                let one = layout::remembered_of(key.value(), value.value());
                all.push(one.ok_or_else(|| damaged(&place, "an identity"))?);
            }
            Ok(all)
        })
    }

    fn places(&self) -> Vec<(Place, Usage)> {
        let places = self.with("read", |open| {
            let names = open.names();
            let usage = |number| names.usage.get(number).copied().unwrap_or_default();
            let all = names.numbers.iter().map(|(place, number)| (place.clone(), usage(number)));
            Ok(all.filter(|(_, usage)| usage.keys > 0).collect::<Vec<_>>())
        });
        let mut places = places.unwrap_or_default();
        places.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        places
    }

    fn usage(&self, pipeline: &str) -> Usage {
        let usage = self.with("read", |open| {
            let names = open.names.read().unwrap_or_else(PoisonError::into_inner);
            let own = names.numbers.iter().filter(|(place, _)| &*place.pipeline == pipeline);
            let usage = own.filter_map(|(_, number)| names.usage.get(number).copied());
            Ok(usage.fold(Usage::default(), Usage::plus))
        });
        usage.unwrap_or_default()
    }

    fn check(&self) -> Result<(), StoreError> {
        folder::has_room(&self.folder).map_err(|error| failed("written", error))?;
        self.with("written", |_| Ok(()))
    }
}

impl Open {
    fn at(folder: &Path, durability: Durability) -> Result<Self, StoreError> {
        folder::prepare(folder)?;
        let lock = folder::lock(folder)?;
        let backend = file::StateFile::open(&folder.join(folder::DATABASE), durability)
            .map_err(|error| failed("read", format!("{}: {error}", folder.display())))?;
        let explain = |error: redb::Error| folder::explain(folder, &error);
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let database = Database::builder()
                .set_cache_size(STATE_PAGE_CACHE_BYTES)
                .set_check_integrity_on_open(true)
                .create_with_backend(backend)?;
            let names = names(&database)?;
            Ok((database, names))
        }));
        let opened = opened.unwrap_or_else(|_| Err(redb::Error::Corrupted(GAVE_UP.to_owned())));
        let (database, names) = opened.map_err(explain)?;
        Ok(Self { database, names: RwLock::new(names), writing: Mutex::new(()), _lock: lock })
    }

    fn read(
        &self,
        table: Bytes,
    ) -> Result<redb::ReadOnlyTable<&'static [u8], &'static [u8]>, StoreError> {
        self.database.begin_read().map_err(unread)?.open_table(table).map_err(unread)
    }

    fn names(&self) -> Names {
        self.names.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn number(&self, place: &Place) -> Option<u32> {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        names.numbers.get(place).copied()
    }

    fn commit(&self, commits: &[Commit]) -> Result<(), StoreError> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.names();
        let mut names = before.clone();
        let transaction = self.database.begin_write().map_err(unwritten)?;
        {
            let mut batch = Batch {
                state: transaction.open_table(STATE).map_err(unwritten)?,
                timers: transaction.open_table(TIMERS).map_err(unwritten)?,
                settled: transaction.open_table(SETTLED).map_err(unwritten)?,
                names: &mut names,
            };
            for commit in commits {
                batch.add(commit).map_err(unwritten)?;
            }
            drop(batch);
            let mut meta = transaction.open_table(META).map_err(unwritten)?;
            for (number, usage) in &names.usage {
                if before.usage.get(number) != Some(usage) {
                    let (key, value) = layout::usage(*number, *usage);
                    meta.insert(&*key, &*value).map_err(unwritten)?;
                }
            }
            for (place, number) in &names.numbers {
                if !before.numbers.contains_key(place) {
                    let (key, value) = layout::place(*number, place);
                    meta.insert(&*key, &*value).map_err(unwritten)?;
                }
            }
        }
        transaction.commit().map_err(unwritten)?;
        *self.names.write().unwrap_or_else(PoisonError::into_inner) = names;
        Ok(())
    }
}

/// What is noted of places; makes the tables where they aren't there.
fn names(database: &Database) -> Result<Names, redb::Error> {
    let transaction = database.begin_write()?;
    let mut names = Names::default();
    for table in [STATE, TIMERS, SETTLED] {
        drop(transaction.open_table(table)?);
    }
    {
        let meta = transaction.open_table(META)?;
        for item in meta.iter()? {
            let (key, value) = item?;
            layout::read_meta(key.value(), value.value(), &mut names.numbers, &mut names.usage);
        }
    }
    transaction.commit()?;
    Ok(names)
}

/// Where the database panicked.
const GAVE_UP: &str = "the database gave up; the log has its last words";

/// What stands for a pipeline as a whole.
fn pipeline_alone(pipeline: &str) -> Place {
    Place { pipeline: pipeline.into(), plugin: "".into(), nth: 0 }
}

fn decode(place: &Place, key: &str, bytes: &[u8]) -> Result<Kept, StoreError> {
    record::decode(bytes)
        .map_err(|why| StoreError::Damaged { what: format!("{place}, key '{key}'"), why })
}

fn damaged(place: &Place, what: &str) -> StoreError {
    StoreError::Damaged { what: place.to_string(), why: format!("{what} can't be read") }
}

fn unread(why: impl std::fmt::Display) -> StoreError {
    failed("read", why)
}

fn unwritten(why: impl std::fmt::Display) -> StoreError {
    failed("written", why)
}

fn failed(doing: &'static str, why: impl std::fmt::Display) -> StoreError {
    StoreError::Failed { doing, why: why.to_string() }
}

/// A damaged file can have the database panic, which is nobody's end.
fn unpanicked<T>(
    doing: &'static str,
    work: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(failed(doing, GAVE_UP)))
}

#[cfg(test)]
mod tests;
