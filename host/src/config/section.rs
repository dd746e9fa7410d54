//! A cursor over one table of a config: hands out typed values, notes what doesn't fit, and in the
//! end the keys that nobody asked for.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::notes::{Notes, child};
use super::{redact, scalar};

/// Characters of a wrong value that a message quotes.
const QUOTE_CHARS: usize = 60;

/// One table that is being read. A value that is wrong is noted and answered as `None`, as one that
/// isn't there is; the reader goes on with its default, so that everything wrong is found at once.
pub(super) struct Section<'t> {
    /// What has been found so far.
    pub(super) notes: &'t Notes,
    /// Its key path.
    pub(super) path: String,
    /// Its key path without positions and names, for the reference.
    pattern: String,
    table: &'t DeTable<'t>,
    asked: RefCell<Vec<&'static str>>,
}

/// A value and where it is.
#[derive(Clone)]
pub(super) struct Item<'t> {
    /// What has been found so far.
    pub(super) notes: &'t Notes,
    /// Its key path.
    pub(super) path: String,
    pattern: String,
    /// The value.
    pub(super) value: &'t DeValue<'t>,
}

// === impl Section ===

impl<'t> Section<'t> {
    /// The whole file.
    pub(super) fn root(notes: &'t Notes, table: &'t Spanned<DeTable<'t>>) -> Self {
        Self::new(notes, String::new(), String::new(), table.get_ref())
    }

    fn new(notes: &'t Notes, path: String, pattern: String, table: &'t DeTable<'t>) -> Self {
        Self { notes, path, pattern, table, asked: RefCell::default() }
    }

    /// The path of a key in this section.
    pub(super) fn at(&self, key: &str) -> String {
        child(&self.path, key)
    }

    /// Whether the key is there, whatever its value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// The value of that key, of any type.
    pub(super) fn item(&self, key: &'static str) -> Option<Item<'t>> {
        let pattern = child(&self.pattern, key);
        self.asked.borrow_mut().push(key);
        self.notes.know(pattern.clone());
        let value = self.table.get(key)?.get_ref();
        Some(Item { notes: self.notes, path: self.at(key), pattern, value })
    }

    /// Text that must be there and not be empty.
    pub(super) fn required_text(&self, key: &'static str, remedy: &str) -> Option<String> {
        let Some(item) = self.item(key) else {
            self.notes.missing(&self.at(key), remedy);
            return None;
        };
        let text = item.text()?;
        if text.is_empty() {
            self.notes.error(&item.path, format!("`{key}` is empty"), remedy);
            return None;
        }
        Some(text)
    }

    /// Text.
    pub(super) fn text(&self, key: &'static str) -> Option<String> {
        self.item(key)?.text()
    }

    /// A list of texts; a single text is a list of one.
    pub(super) fn texts(&self, key: &'static str) -> Vec<(String, String)> {
        let Some(item) = self.item(key) else { return Vec::new() };
        match item.value {
            DeValue::String(_) => item.text().map(|text| (item.path, text)).into_iter().collect(),
            _ => item
                .list("a text or a list of texts")
                .into_iter()
                .filter_map(|each| Some((each.path.clone(), each.text()?)))
                .collect(),
        }
    }

    /// Yes or no.
    pub(super) fn flag(&self, key: &'static str, default: bool) -> bool {
        let Some(item) = self.item(key) else { return default };
        if let DeValue::Boolean(flag) = item.value {
            return *flag;
        }
        item.expected("true or false", &format!("write `{key} = true` or `{key} = false`"));
        default
    }

    /// A whole number within bounds.
    pub(super) fn number<T>(&self, key: &'static str, bounds: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i64> + PartialOrd + Display,
    {
        self.item(key)?.number(bounds)
    }

    /// A duration within bounds.
    pub(super) fn duration(
        &self,
        key: &'static str,
        bounds: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        self.item(key)?.duration(bounds)
    }

    /// A number of bytes within bounds.
    pub(super) fn size(&self, key: &'static str, bounds: RangeInclusive<u64>) -> Option<u64> {
        self.item(key)?.size(bounds)
    }

    /// One of several words.
    pub(super) fn choice<T: Copy>(&self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        self.item(key)?.choice(words)
    }

    /// A path, relative to the config file.
    pub(super) fn file(&self, key: &'static str) -> Option<PathBuf> {
        let text = self.required_if_there(key, "name a file, relative to this one")?;
        Some(relative(self.notes.origin(), &text))
    }

    /// Text that isn't empty, where the key is there.
    fn required_if_there(&self, key: &'static str, remedy: &str) -> Option<String> {
        if self.has(key) { self.required_text(key, remedy) } else { self.text(key) }
    }

    /// A table in this one.
    pub(super) fn section(&self, key: &'static str) -> Option<Self> {
        self.item(key)?.section()
    }

    /// A list of tables: `[[key]]`, or `key = [{ … }]`.
    pub(super) fn sections(&self, key: &'static str) -> Vec<Self> {
        let Some(item) = self.item(key) else { return Vec::new() };
        if matches!(item.value, DeValue::Table(_)) && self.path.is_empty() {
            let remedy = format!("write `[[{key}]]`, with two brackets: there can be several");
            item.expected("a list of tables", &remedy);
            return Vec::new();
        }
        item.list("a list of tables").into_iter().filter_map(|each| each.section()).collect()
    }

    /// A table of named tables: `[key.NAME]`.
    pub(super) fn named(&self, key: &'static str) -> Vec<(String, Item<'t>)> {
        let Some(item) = self.item(key) else { return Vec::new() };
        let DeValue::Table(table) = item.value else {
            item.expected("a table", &format!("write `[{key}.NAME]`"));
            return Vec::new();
        };
        let entries = table.iter().map(|(name, value)| {
            let path = child(&item.path, name.get_ref());
            let pattern = format!("{}.*", item.pattern);
            let value = value.get_ref();
            (name.get_ref().to_string(), Item { notes: self.notes, path, pattern, value })
        });
        entries.collect()
    }

    /// Notes that of these keys exactly one must be there.
    pub(super) fn exactly_one(&self, keys: &[&str], remedy: &str) {
        let there: Vec<&str> = keys.iter().copied().filter(|key| self.has(key)).collect();
        match there.as_slice() {
            [_] => {}
            [] => {
                if let Some(first) = keys.first() {
                    self.notes.missing(&self.at(first), remedy);
                }
            }
            [first, second, ..] => {
                let message = format!("`{first}` and `{second}` exclude each other");
                self.notes.wrong_key(&self.at(second), message, remedy);
            }
        }
    }

    /// Ends the reading: notes every key that nobody asked for.
    pub(super) fn finish(self) {
        self.note_unknown();
    }

    fn note_unknown(&self) {
        let asked = self.asked.borrow();
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if asked.contains(&name) {
                continue;
            }
            let remedy = match closest(name, asked.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    let mut names: Vec<&str> = asked.clone();
                    names.sort_unstable();
                    names.dedup();
                    format!("known here: {}", names.join(", "))
                }
            };
            let message = format!("unknown key `{}`", quote(name));
            self.notes.wrong_key(&self.at(name), message, remedy);
        }
    }
}

// === impl Item ===

impl<'t> Item<'t> {
    /// Text.
    pub(super) fn text(&self) -> Option<String> {
        if let DeValue::String(text) = self.value {
            return Some(text.to_string());
        }
        self.expected("a text", "put it in quotes");
        None
    }

    /// A whole number within bounds.
    pub(super) fn number<T>(&self, bounds: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i64> + PartialOrd + Display,
    {
        let DeValue::Integer(number) = self.value else {
            self.expected("a whole number", "write digits alone, without quotes or unit");
            return None;
        };
        let meant = i64::from_str_radix(number.as_str(), number.radix()).ok();
        let fits = meant.and_then(|n| T::try_from(n).ok()).filter(|n| bounds.contains(n));
        if fits.is_none() {
            let remedy = format!("write a number from {} to {}", bounds.start(), bounds.end());
            self.notes.error(&self.path, format!("{number} is out of range"), remedy);
        }
        fits
    }

    /// A duration within bounds.
    pub(super) fn duration(&self, bounds: RangeInclusive<Duration>) -> Option<Duration> {
        let remedy = "write a number with its unit: \"50ms\", \"30s\", \"10m\", \"1h\", \"7d\"";
        let DeValue::String(text) = self.value else {
            self.expected("a duration", remedy);
            return None;
        };
        let Some(meant) = scalar::duration(text) else {
            self.notes.error(&self.path, format!("'{}' is no duration", quote(text)), remedy);
            return None;
        };
        if !bounds.contains(&meant) {
            let [from, to] = [bounds.start(), bounds.end()].map(|d| scalar::show_duration(*d));
            let message = format!("{} is out of range", quote(text));
            self.notes.error(&self.path, message, format!("write a duration from {from} to {to}"));
            return None;
        }
        Some(meant)
    }

    /// A number of bytes within bounds.
    pub(super) fn size(&self, bounds: RangeInclusive<u64>) -> Option<u64> {
        let remedy = "write bytes, or a number with its unit: 65536, \"64KiB\", \"16MiB\", \"1GB\"";
        let (shown, meant) = match self.value {
            DeValue::String(text) => (quote(text), scalar::size(text)),
            DeValue::Integer(number) => {
                let meant = u64::from_str_radix(number.as_str(), number.radix()).ok();
                (number.to_string(), meant)
            }
            _ => {
                self.expected("a size", remedy);
                return None;
            }
        };
        let Some(meant) = meant else {
            self.notes.error(&self.path, format!("'{shown}' is no size"), remedy);
            return None;
        };
        if !bounds.contains(&meant) {
            let [from, to] = [bounds.start(), bounds.end()].map(|n| scalar::show_size(*n));
            let message = format!("{shown} is out of range");
            self.notes.error(&self.path, message, format!("write a size from {from} to {to}"));
            return None;
        }
        Some(meant)
    }

    /// One of several words.
    pub(super) fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let all: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let all = all.join(", ");
        let DeValue::String(text) = self.value else {
            self.expected("a text", &format!("write one of {all}"));
            return None;
        };
        let found = words.iter().find(|(word, _)| word == text).map(|(_, meant)| *meant);
        if found.is_none() {
            let remedy = match closest(text, words.iter().map(|(word, _)| *word)) {
                Some(near) => format!("did you mean \"{near}\"? Possible: {all}"),
                None => format!("write one of {all}"),
            };
            self.notes.error(&self.path, format!("'{}' is not possible here", quote(text)), remedy);
        }
        found
    }

    /// A table.
    pub(super) fn section(&self) -> Option<Section<'t>> {
        if let DeValue::Table(table) = self.value {
            let pattern = self.pattern.clone();
            return Some(Section::new(self.notes, self.path.clone(), pattern, table));
        }
        self.expected("a table", "write `{ key = value, … }`");
        None
    }

    /// The items of a list.
    pub(super) fn list(&self, what: &str) -> Vec<Self> {
        let DeValue::Array(items) = self.value else {
            self.expected(what, "put it in brackets: `[ … ]`");
            return Vec::new();
        };
        let (notes, pattern) = (self.notes, format!("{}[]", self.pattern));
        let items = items.iter().enumerate().map(|(index, item)| Self {
            notes,
            path: format!("{}[{index}]", self.path),
            pattern: pattern.clone(),
            value: item.get_ref(),
        });
        items.collect()
    }

    /// Notes that the value is of the wrong type.
    pub(super) fn expected(&self, what: &str, remedy: &str) {
        let found = type_name(self.value);
        self.notes.error(&self.path, format!("expected {what}, found {found}"), remedy);
    }
}

/// A path as the config file means it.
pub(super) fn relative(origin: &Path, path: &str) -> PathBuf {
    origin.parent().map_or_else(|| PathBuf::from(path), |folder| folder.join(path))
}

/// A value in a message: short, on one line, without secrets.
pub(super) fn quote(text: &str) -> String {
    let text = redact::line(&text.replace(['\n', '\r', '\t'], " "));
    if text.chars().count() <= QUOTE_CHARS {
        return text;
    }
    text.chars().take(QUOTE_CHARS).chain(['…']).collect()
}

/// The name that is nearest to a mistyped one, if one is near.
pub(super) fn closest<'n>(
    typed: &str,
    names: impl IntoIterator<Item = &'n str>,
) -> Option<&'n str> {
    let typed = typed.chars().take(QUOTE_CHARS).collect::<String>().to_lowercase();
    let far = (typed.chars().count() / 3).max(1);
    let near = names.into_iter().map(|name| {
        let close = strsim::damerau_levenshtein(&typed, &name.to_lowercase());
        (if close <= far { close } else { usize::MAX }, name)
    });
    near.min().filter(|(distance, _)| *distance < usize::MAX).map(|(_, name)| name)
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
