//! Commits on their way into a transaction, and what is known of places meanwhile.

use std::collections::{BTreeMap, HashMap};

use redb::Table;

use super::{layout, pipeline_alone};
use crate::state::record;
use crate::state::store::{Commit, Place, Usage};

/// The numbers of places, and what each keeps.
#[derive(Clone, Default)]
pub(super) struct Names {
    pub(super) numbers: HashMap<Place, u32>,
    pub(super) usage: BTreeMap<u32, Usage>,
}

/// Commits on their way into one transaction.
pub(super) struct Batch<'t> {
    pub(super) state: Table<'t, &'static [u8], &'static [u8]>,
    pub(super) timers: Table<'t, &'static [u8], &'static [u8]>,
    pub(super) settled: Table<'t, &'static [u8], &'static [u8]>,
    pub(super) names: &'t mut Names,
}

/// How much a record takes, and when its first timer is due.
#[derive(Clone, Copy)]
struct Size {
    bytes: u64,
    first_due: Option<u64>,
}

impl Size {
    fn of(record: &[u8]) -> Self {
        Self { bytes: record.len() as u64, first_due: record::due_of(record) }
    }
}

impl Batch<'_> {
    /// Adds what a lane has to be kept.
    pub(super) fn add(&mut self, commit: &Commit) -> Result<(), redb::StorageError> {
        for change in &commit.entries {
            let number = self.names.number(&change.place);
            let key = layout::key(number, &change.key);
            let (old, new) = if change.entry.is_vacant() {
                (self.state.remove(&*key)?.map(|old| Size::of(old.value())), None)
            } else {
                let record = record::encode(&change.entry, commit.now_s);
                let old = self.state.insert(&*key, &*record)?.map(|old| Size::of(old.value()));
                (old, Some(Size::of(&record)))
            };
            let due = |size: Option<Size>| size.and_then(|size| size.first_due);
            if due(old) != due(new) {
                if let Some(due_us) = due(old) {
                    self.timers.remove(&*layout::timer(number, due_us, &change.key))?;
                }
                if let Some(due_us) = due(new) {
                    self.timers.insert(&*layout::timer(number, due_us, &change.key), NOTHING)?;
                }
            }
            let usage = self.names.usage.entry(number).or_default();
            let bytes = |size: Option<Size>| size.map_or(0, |s| s.bytes + change.key.len() as u64);
            usage.bytes = (usage.bytes + bytes(new)).saturating_sub(bytes(old));
            usage.keys =
                (usage.keys + u64::from(new.is_some())).saturating_sub(u64::from(old.is_some()));
        }
        if commit.settled.is_empty() && commit.forgotten.is_empty() {
            return Ok(());
        }
        let number = self.names.number(&pipeline_alone(&commit.pipeline));
        for one in &commit.settled {
            let (key, value) = layout::remembered(number, one);
            self.settled.insert(&*key, &*value)?;
        }
        for one in &commit.forgotten {
            let (key, _) = layout::remembered(number, one);
            self.settled.remove(&*key)?;
        }
        Ok(())
    }
}

/// The value of a key that says it all.
const NOTHING: &[u8] = &[];
impl Names {
    /// The number of a place, a new one where it has none.
    fn number(&mut self, place: &Place) -> u32 {
        if let Some(number) = self.numbers.get(place) {
            return *number;
        }
        let number = self.numbers.values().max().map_or(0, |last| last + 1);
        self.numbers.insert(place.clone(), number);
        number
    }
}
