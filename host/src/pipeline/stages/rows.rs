//! The rows of reference data that a call is handed: each key's once.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::pipeline::job::Job;
use crate::reference::{Table, rows_of};

/// The rows of the keys that a call is about. Nothing, where the stage has no tables.
#[derive(Default)]
pub(super) struct Rows<'j> {
    packed: Vec<u8>,
    of: HashMap<&'j str, Range<usize>>,
}

impl<'j> Rows<'j> {
    /// Looks the keys of those jobs up.
    pub(super) fn of(tables: &[Arc<Table>], jobs: impl Iterator<Item = &'j Job>) -> Self {
        let mut rows = Self::default();
        if tables.is_empty() {
            return rows;
        }
        for key in jobs.filter_map(|job| job.key.as_deref()) {
            let packed = &mut rows.packed;
            rows.of.entry(key).or_insert_with(|| {
                let start = packed.len();
                rows_of(tables, key, packed);
                start..packed.len()
            });
        }
        rows
    }

    /// The rows of a key, a MessagePack map.
    pub(super) fn get(&self, key: Option<&str>) -> Option<&[u8]> {
        self.packed.get(self.of.get(key?)?.clone())
    }
}
