//! Results, as a table for people and as JSON for programs.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use crate::method::Row;

/// Prints the contenders of one comparison.
pub fn print(rows: &[Row]) {
    for row in rows {
        let (low, high) = row.spread;
        println!("  {:24} {:10.1} ns  {:6.2} ({low:.2} to {high:.2})", row.name, row.ns, row.ratio);
    }
}

/// Writes results as JSON, if anywhere.
///
/// # Errors
/// The file can't be written.
pub fn write(to: Option<&Path>, results: &impl Serialize) -> anyhow::Result<()> {
    let Some(to) = to else { return Ok(()) };
    fs::write(to, serde_json::to_vec_pretty(results)?)
        .with_context(|| format!("write {}", to.display()))
}
