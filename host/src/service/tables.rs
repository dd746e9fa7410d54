//! Tables of reference data: read at the start, and again whenever their files change.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::limits::TABLE_FILE_BYTES;
use crate::reference::{TableError, Tables};
use crate::reload::watch::{Expected, Watch};

/// Reads the tables of a config, and follows their files.
///
/// # Errors
/// All that can't be used; or the system has no thread to follow them on.
pub(super) async fn open(
    config: &Config,
    stopping: &CancellationToken,
) -> anyhow::Result<Arc<Tables>> {
    let tables = load(config).await?;
    if !config.tables.is_empty() {
        follow(&tables, &Watch::start()?, stopping);
    }
    Ok(tables)
}

/// The tables of another config; those whose settings are the same go on as they are.
///
/// # Errors
/// As with [`open`].
pub(super) async fn altered(
    now: &Arc<Tables>,
    config: &Config,
    stopping: &CancellationToken,
) -> anyhow::Result<Arc<Tables>> {
    let (before, settings) = (Arc::clone(now), config.tables.clone());
    let altered = tokio::task::spawn_blocking(move || before.altered(&settings)).await?;
    let tables = altered.map(Arc::new).map_err(told)?;
    if !config.tables.is_empty() {
        follow(&tables, &Watch::start()?, stopping);
    }
    Ok(tables)
}

fn told(errors: Vec<TableError>) -> anyhow::Error {
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    anyhow::anyhow!("{}", errors.join("\n"))
}

/// Reads the tables of a config.
///
/// # Errors
/// All that can't be used, not the first alone.
pub(super) async fn load(config: &Config) -> anyhow::Result<Arc<Tables>> {
    let settings = config.tables.clone();
    let loaded = tokio::task::spawn_blocking(move || Tables::load(&settings)).await?;
    loaded.map(Arc::new).map_err(told)
}

/// Follows their files until the host stops, or these tables are no longer those of its config.
pub(super) fn follow(tables: &Arc<Tables>, watch: &Watch, stopping: &CancellationToken) {
    // What a table's file holds is checked by reading it as a table.
    let expected = Expected { bytes_max: TABLE_FILE_BYTES, whole: |_| Ok(()) };
    for (name, file) in tables.files() {
        let known = tables.get(name).map(|slot| slot.current().digest().to_owned());
        let mut followed = watch.follow(file, known, expected);
        let (tables, name) = (Arc::downgrade(tables), name.to_owned());
        let stopping = stopping.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = stopping.cancelled() => return,
                    seen = followed.changed() => if seen.is_none() { return },
                }
                let Some(tables) = tables.upgrade() else { return };
                let name = name.clone();
                // A panic in there is told by the runtime; the table is what it was.
                let _ = tokio::task::spawn_blocking(move || tables.reload(&name)).await;
            }
        });
    }
}
