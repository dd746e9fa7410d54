//! Tables of reference data: what plugins are told of a key beside its messages, such as a meter's rated
//! power. A stage names its tables; the host looks the key up and hands the rows over.
//!
//! A file is read as a whole and each row turned into MessagePack once. It replaces the one before in one
//! step, so that no call sees parts of both; a file that can't be used leaves the one before in place.

mod csv;
mod jsonl;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use crate::config;
use crate::digest;
use crate::limits::{TABLE_FILE_BYTES, TABLE_ROWS};

/// All tables of a config.
#[derive(Debug, Default)]
pub struct Tables {
    slots: BTreeMap<String, Arc<TableSlot>>,
}

/// The place of a table on a running host: what it says now.
#[derive(Debug)]
pub struct TableSlot {
    settings: config::Table,
    current: RwLock<Arc<Table>>,
}

/// What a table's file said when it was read.
#[derive(Debug, Default)]
pub struct Table {
    name: String,
    digest: String,
    /// Where each key's row is in `packed`.
    rows: HashMap<Box<str>, (usize, usize)>,
    /// Rows as MessagePack maps.
    packed: Vec<u8>,
}

/// Why a table can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("table '{table}': {text}")]
pub struct TableError {
    /// Its name in the config.
    pub table: String,
    /// What is wrong and what to do about it.
    pub text: String,
}

/// What became of a table whose file was read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// It says the same.
    Same,
    /// It was replaced by one with so many rows.
    Replaced(usize),
}

// === impl Tables ===

impl Tables {
    /// Reads all of them.
    ///
    /// # Errors
    /// Those that can't be used, not the first alone.
    pub fn load(settings: &BTreeMap<String, config::Table>) -> Result<Self, Vec<TableError>> {
        let (mut slots, mut errors) = (BTreeMap::new(), Vec::new());
        for settings in settings.values() {
            match Table::read(settings) {
                Ok(table) => {
                    let current = RwLock::new(Arc::new(table));
                    let slot = Arc::new(TableSlot { settings: settings.clone(), current });
                    slots.insert(settings.name.clone(), slot);
                }
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(Self { slots }) } else { Err(errors) }
    }

    /// The tables of another config: those whose settings are the same go on as they are.
    ///
    /// # Errors
    /// Those that can't be used.
    pub fn altered(
        &self,
        settings: &BTreeMap<String, config::Table>,
    ) -> Result<Self, Vec<TableError>> {
        let kept = |name: &String, settings: &config::Table| {
            self.slots.get(name).filter(|slot| slot.settings == *settings).cloned()
        };
        let others = settings.iter().filter(|(name, settings)| kept(name, settings).is_none());
        let mut tables = Self::load(&others.map(|(n, s)| (n.clone(), s.clone())).collect())?;
        let same = settings.iter().filter_map(|(n, s)| Some((n.clone(), kept(n, s)?)));
        tables.slots.extend(same);
        Ok(tables)
    }

    /// The table of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<TableSlot>> {
        self.slots.get(name)
    }

    /// All of them, by name.
    #[must_use]
    pub fn slots(&self) -> &BTreeMap<String, Arc<TableSlot>> {
        &self.slots
    }
}

// === impl TableSlot ===

impl TableSlot {
    /// What it says now.
    #[must_use]
    pub fn current(&self) -> Arc<Table> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where it is read from.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.settings.file
    }

    /// Reads its file again, and tells the log what became of it.
    pub fn refresh(&self) {
        let table = &self.settings.name;
        match self.reload() {
            Ok(Reloaded::Same) => {}
            Ok(Reloaded::Replaced(rows)) => {
                tracing::info!(table, rows, digest = self.current().digest, "table reloaded");
            }
            Err(error) => tracing::error!(table, %error, "table kept as it was"),
        }
    }

    /// Reads its file again.
    ///
    /// # Errors
    /// Why the file can't be used; the table is what it was.
    pub fn reload(&self) -> Result<Reloaded, TableError> {
        let table = Table::read(&self.settings)?;
        if table.digest == self.current().digest {
            return Ok(Reloaded::Same);
        }
        let rows = table.len();
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
        Ok(Reloaded::Replaced(rows))
    }
}

// === impl Table ===

impl Table {
    /// Reads a table from its file.
    ///
    /// # Errors
    /// Why it can't be used, with the line and what to do.
    pub fn read(settings: &config::Table) -> Result<Self, TableError> {
        let failed = |text| TableError { table: settings.name.clone(), text };
        let bytes = bytes_of(&settings.file).map_err(failed)?;
        let digest = digest::sha256(&bytes);
        let mut table = Self { name: settings.name.clone(), digest, ..Self::default() };
        let lines = settings.file.extension().is_some_and(|ending| ending == "jsonl");
        let read = if lines { jsonl::read } else { csv::read };
        read(&bytes, &settings.key, &mut table)
            .map_err(|text| failed(format!("{}: {text}", settings.file.display())))?;
        table.packed.shrink_to_fit();
        Ok(table)
    }

    /// Its name in the config.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of its file, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// A key's row, a MessagePack map.
    #[must_use]
    pub fn row(&self, key: &str) -> Option<&[u8]> {
        let (start, end) = *self.rows.get(key)?;
        self.packed.get(start..end)
    }

    /// How many rows it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a row, which `pack` writes.
    fn add(
        &mut self,
        line: u64,
        key: &str,
        pack: impl FnOnce(&mut Vec<u8>) -> Result<(), String>,
    ) -> Result<(), String> {
        if key.is_empty() {
            return Err(format!("line {line}: the row has no key; give each row one"));
        }
        if self.rows.len() >= TABLE_ROWS {
            return Err(format!("line {line}: a table has at most {TABLE_ROWS} rows"));
        }
        let start = self.packed.len();
        pack(&mut self.packed).map_err(|text| format!("line {line}: {text}"))?;
        if self.rows.insert(key.into(), (start, self.packed.len())).is_some() {
            return Err(format!(
                "line {line}: there is a row of key '{key}' already; keep one of them"
            ));
        }
        Ok(())
    }
}

/// MessagePack's mark of a map whose length follows in 16 bits.
const MAP_16: u8 = 0xde;

/// The rows of a key in those tables: a MessagePack map from table to row, without those that have none.
pub fn rows_of(tables: &[Arc<Table>], key: &str, to: &mut Vec<u8>) {
    let found = || tables.iter().filter_map(|table| Some((table, table.row(key)?)));
    to.push(MAP_16);
    to.extend(u16::try_from(found().count()).unwrap_or(0).to_be_bytes());
    for (table, row) in found() {
        // Text has a form in MessagePack, and memory takes it.
        let _ = rmp_serde::encode::write(to, &table.name);
        to.extend_from_slice(row);
    }
}

/// What those tables are, by name: SHA-256 of the file that each was read from.
#[must_use]
pub fn digests(tables: &[Arc<Table>]) -> BTreeMap<String, String> {
    tables.iter().map(|table| (table.name.clone(), table.digest.clone())).collect()
}

fn bytes_of(file: &Path) -> Result<Vec<u8>, String> {
    let shown = file.display();
    let unreadable = |error: std::io::Error| format!("can't read {shown}: {error}");
    let mut bytes = Vec::new();
    let file = File::open(file).map_err(unreadable)?;
    file.take(TABLE_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > TABLE_FILE_BYTES {
        return Err(format!("{shown} is larger than {TABLE_FILE_BYTES} bytes; split the table"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
