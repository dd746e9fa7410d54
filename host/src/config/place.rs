//! Where a secret is: `{ file = "…" }` or `{ env = "NAME" }`, and never in the config itself.

use toml::de::DeValue;

use super::secret::Secret;
use super::section::Item;

/// Reads such a table.
pub(super) fn read(item: &Item<'_>, remedy: &str) -> Option<Secret> {
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
    path.map(Secret::File).or_else(|| variable.map(Secret::Env))
}
