//! Places in a config file for what is found after reading it: a plugin that doesn't load, an object
//! that the broker refuses.

use std::path::Path;

use toml::de::DeTable;

use super::notes::Notes;
use super::problem::{Problem, Severity};

/// Finds the places of keys in a config's text.
pub struct Locator(Notes);

// === impl Locator ===

impl Locator {
    /// Of that text. What isn't TOML has fewer places.
    #[must_use]
    pub fn new(text: &str, origin: &Path) -> Self {
        let (root, _) = DeTable::parse_recoverable(text);
        Self(Notes::new(origin, text, root.get_ref(), true))
    }

    /// The key path of the section of that kind and name: `plugin[2]` for `("plugin", "route")`.
    /// Without one, the kind itself.
    #[must_use]
    pub fn section(&self, kind: &str, name: &str) -> String {
        (0..)
            .map(|index| format!("{kind}[{index}]"))
            .take_while(|path| self.0.has(path))
            .find(|path| self.0.text_at(&format!("{path}.name")) == Some(name))
            .unwrap_or_else(|| kind.to_owned())
    }

    /// The key path of what is called `queue 'readings'` or the like.
    #[must_use]
    pub fn place(&self, name: &str) -> String {
        match name.split_once(" '") {
            Some((kind, name)) => self.section(kind, name.trim_end_matches('\'')),
            None => String::new(),
        }
    }

    /// A problem with that key, or with what it is in.
    #[must_use]
    pub fn problem(
        &self,
        severity: Severity,
        key: &str,
        message: String,
        remedy: String,
    ) -> Problem {
        self.0.problem(severity, key, message, remedy)
    }
}
