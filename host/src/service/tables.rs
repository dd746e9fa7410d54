//! Tables of reference data: read at the start, and again whenever their files change.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::{CancellationToken, DropGuard};

use crate::config;
use crate::limits::TABLE_FILE_BYTES;
use crate::reference::{TableError, TableSlot, Tables};
use crate::reload::watch::{Expected, Watch};

/// The tables of a config, whose files are followed for as long as this is kept.
#[derive(Clone, Default)]
pub(super) struct Followed {
    pub(super) tables: Arc<Tables>,
    guards: BTreeMap<String, Arc<DropGuard>>,
}

impl Followed {
    /// The tables of another config. Those whose settings are the same go on as they are; all others are
    /// read, and their files followed, where the system has a thread for it.
    ///
    /// # Errors
    /// All that can't be used, not the first alone.
    pub(super) async fn altered(
        &self,
        settings: &BTreeMap<String, config::Table>,
        watch: Option<&Watch>,
    ) -> anyhow::Result<Self> {
        let (before, settings) = (Arc::clone(&self.tables), settings.clone());
        let altered = tokio::task::spawn_blocking(move || before.altered(&settings)).await?;
        let tables = altered.map_err(told)?;
        let guard = |(name, slot): (&String, &Arc<TableSlot>)| {
            let same = self.tables.get(name).is_some_and(|before| Arc::ptr_eq(before, slot));
            let guard = match self.guards.get(name).filter(|_| same) {
                Some(guard) => Arc::clone(guard),
                None => Arc::new(follow(slot, watch?)),
            };
            Some((name.clone(), guard))
        };
        let guards = tables.slots().iter().filter_map(guard).collect();
        Ok(Self { tables: Arc::new(tables), guards })
    }
}

fn told(errors: Vec<TableError>) -> anyhow::Error {
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    anyhow::anyhow!("{}", errors.join("\n"))
}

/// Follows a table's file until the guard is dropped.
fn follow(slot: &Arc<TableSlot>, watch: &Watch) -> DropGuard {
    // What a table's file holds is checked by reading it as a table.
    let expected = Expected { bytes_max: TABLE_FILE_BYTES, whole: |_| Ok(()) };
    let mut followed =
        watch.follow(slot.file(), Some(slot.current().digest().to_owned()), expected);
    let (slot, over) = (Arc::clone(slot), CancellationToken::new());
    let guard = over.clone().drop_guard();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = over.cancelled() => return,
                seen = followed.changed() => if seen.is_none() { return },
            }
            let slot = Arc::clone(&slot);
            // A panic in there is told by the runtime; the table is what it was.
            let _ = tokio::task::spawn_blocking(move || slot.refresh()).await;
        }
    });
    guard
}
