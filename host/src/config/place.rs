//! Where a secret is: `{ file = "…" }` or `{ env = "NAME" }`, and never in the config itself.

use std::path::PathBuf;

use toml::de::DeValue;

use super::section::Item;

/// Reads such a table; `file` and `env` make of it what its key means.
pub(super) fn read<T>(
    item: &Item<'_>,
    remedy: &str,
    file: impl FnOnce(PathBuf) -> T,
    env: impl FnOnce(String) -> T,
) -> Option<T> {
    if !matches!(item.value, DeValue::Table(_)) {
        item.expected("a table", remedy);
        return None;
    }
    let section = item.section()?;
    let path = section.file("file");
    let variable = section.text("env");
    section.exactly_one(&["file", "env"], remedy);
    let variable = variable.and_then(|name| {
        if name.is_empty() || name.contains(['=', '\0']) {
            let message = "this is no name of an environment variable";
            section.notes.error(&section.at("env"), message, remedy);
            return None;
        }
        Some(name)
    });
    section.finish();
    path.map(file).or_else(|| variable.map(env))
}
