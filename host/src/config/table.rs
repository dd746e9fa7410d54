//! `[table.NAME]`: reference data that plugins are handed by key.

use std::collections::{BTreeMap, BTreeSet};

use super::section::{Item, Section, quote, relative};
use super::{Stage, Table};
use crate::limits;

/// Reads all tables; `names` gets those that can't be read too.
pub(super) fn read_all(
    root: &Section<'_>,
    names: &mut BTreeSet<String>,
) -> BTreeMap<String, Table> {
    let mut tables = BTreeMap::new();
    for (name, item) in root.named("table") {
        tables.extend(read(&name, &item).map(|table| (name.clone(), table)));
        names.insert(name);
    }
    if names.len() > limits::TABLES_MAX {
        let message = format!("{} tables are too many", names.len());
        let remedy = format!("use at most {}: one table may have many columns", limits::TABLES_MAX);
        root.notes.error("table", message, remedy);
    }
    tables
}

fn read(name: &str, item: &Item<'_>) -> Option<Table> {
    let section = item.section()?;
    let file = section.required_text("file", "name its file: `file = \"meters.csv\"`, or a .jsonl");
    let key = section.required_text("key", "name the column that holds the messages' key");
    if let Some(file) = &file
        && !file.ends_with(".csv")
        && !file.ends_with(".jsonl")
    {
        let message = format!("'{}' doesn't say what it is", quote(file));
        let remedy =
            "name a file that ends in .csv (a line of names first) or .jsonl (an object a line)";
        section.notes.error(&section.at("file"), message, remedy);
    }
    section.finish();
    let file = relative(item.notes.origin(), &file?);
    Some(Table { name: name.to_owned(), file, key: key? })
}

/// The tables that a stage is handed.
pub(super) fn of_stage(section: &Section<'_>, stage: &mut Stage) {
    stage.tables = section.texts("tables").into_iter().map(|(_, name)| name).collect();
}
