//! What reading a file has found so far: problems, each key's place in the text, and which keys were
//! asked for.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, Severity};

/// Problems that are collected; a file with more is no config.
const PROBLEMS_MAX: usize = 1000;

/// What reading a file has found so far. Shared by every section that is being read.
pub(super) struct Notes {
    origin: PathBuf,
    /// Byte offsets at which lines start.
    lines: Vec<usize>,
    source: String,
    /// Where keys and values are, by key path.
    places: BTreeMap<String, Place>,
    problems: RefCell<Vec<Problem>>,
    /// Every key that a reader knows, without positions and names: `queue[].bind[].exchange`.
    known: RefCell<BTreeSet<String>>,
    /// The text has syntax errors: what is missing may have been lost with them.
    partial: bool,
}

/// Where a key and its value are, in bytes of the source.
struct Place {
    key: Range<usize>,
    value: Range<usize>,
    /// The value, where it is text.
    text: Option<String>,
}

// === impl Notes ===

impl Notes {
    /// Notes on that text. `root` is what was parsed from it.
    pub(super) fn new(origin: &Path, source: &str, root: &DeTable<'_>, partial: bool) -> Self {
        let mut lines = vec![0];
        lines.extend(source.match_indices('\n').map(|(at, _)| at + 1));
        let mut places = BTreeMap::new();
        place_table(&mut places, "", root);
        Self {
            origin: origin.to_owned(),
            lines,
            source: source.to_owned(),
            places,
            problems: RefCell::default(),
            known: RefCell::default(),
            partial,
        }
    }

    /// The file that is read.
    pub(super) fn origin(&self) -> &Path {
        &self.origin
    }

    /// Notes that the value of that key is wrong.
    pub(super) fn error(&self, key: &str, message: impl Into<String>, remedy: impl Into<String>) {
        let span = self.nearest(key).map(|place| place.value.clone());
        self.note(Severity::Error, span, key, message.into(), remedy.into());
    }

    /// Notes something that the operator should know about that key.
    pub(super) fn warn(&self, key: &str, message: impl Into<String>, remedy: impl Into<String>) {
        let span = self.nearest(key).map(|place| place.value.clone());
        self.note(Severity::Warning, span, key, message.into(), remedy.into());
    }

    /// Notes that the key itself is wrong.
    pub(super) fn wrong_key(
        &self,
        key: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let span = self.nearest(key).map(|place| place.key.clone());
        self.note(Severity::Error, span, key, message.into(), remedy.into());
    }

    /// Notes that a key isn't there; its section is shown. Silent where syntax errors may have
    /// swallowed it.
    pub(super) fn missing(&self, key: &str, remedy: impl Into<String>) {
        if !self.partial {
            let name = key.rsplit('.').next().unwrap_or(key);
            self.error(key, format!("`{name}` is missing"), remedy);
        }
    }

    /// Notes a syntax error.
    pub(super) fn syntax(&self, span: Option<Range<usize>>, message: String, remedy: &str) {
        self.note(Severity::Error, span.or(Some(0..0)), "", message, remedy.to_owned());
    }

    /// Whether an error was found at or below that key, so that what was read of it can't be judged.
    pub(super) fn is_broken(&self, key: &str) -> bool {
        self.problems.borrow().iter().any(|problem| {
            problem.severity == Severity::Error
                && problem
                    .key
                    .strip_prefix(key)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    /// Whether that key is in the file.
    pub(super) fn has(&self, key: &str) -> bool {
        self.places.contains_key(key)
    }

    /// The text that the file has there.
    pub(super) fn text_at(&self, key: &str) -> Option<&str> {
        self.places.get(key)?.text.as_deref()
    }

    /// The line that the key, or what it is in, is on.
    pub(super) fn line(&self, key: &str) -> usize {
        self.nearest(key).map_or(0, |place| self.locate(&place.key).0)
    }

    /// Remembers that readers know that key.
    pub(super) fn know(&self, key: String) {
        self.known.borrow_mut().insert(key);
    }

    /// A problem with the value of that key.
    pub(super) fn problem(
        &self,
        severity: Severity,
        key: &str,
        message: String,
        remedy: String,
    ) -> Problem {
        let place = self.nearest(key).map(|place| self.locate(&place.value));
        let (line, column, width) = place.unwrap_or((0, 0, 1));
        let (file, key) = (self.origin.clone(), key.to_owned());
        Problem { severity, file, line, column, width, key, message, remedy }
    }

    /// What was found, in the order of the file, and the keys that readers know.
    pub(super) fn finish(self) -> (Vec<Problem>, BTreeSet<String>) {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| (problem.line, problem.column, problem.severity));
        problems.dedup();
        (problems, self.known.into_inner())
    }

    fn note(
        &self,
        severity: Severity,
        span: Option<Range<usize>>,
        key: &str,
        message: String,
        remedy: String,
    ) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() < PROBLEMS_MAX {
            let (line, column, width) = span.map_or((0, 0, 1), |span| self.locate(&span));
            let (file, key) = (self.origin.clone(), key.to_owned());
            problems.push(Problem { severity, file, line, column, width, key, message, remedy });
        }
    }

    /// The place of that key, or of what it is in.
    fn nearest(&self, key: &str) -> Option<&Place> {
        let mut key = key;
        loop {
            if let Some(place) = self.places.get(key) {
                return Some(place);
            }
            key = &key[..key.rfind(['.', '['])?];
        }
    }

    /// Line, column and width in characters, all from 1.
    fn locate(&self, span: &Range<usize>) -> (usize, usize, usize) {
        let start = self.floor(span.start);
        let line = self.lines.partition_point(|at| *at <= start).max(1);
        let line_start = self.lines.get(line - 1).copied().unwrap_or(0);
        let line_end = self.lines.get(line).copied().unwrap_or(self.source.len());
        let end = self.floor(span.end.clamp(start, line_end));
        let text = self.source.get(start..end).unwrap_or_default().trim_end_matches(['\r', '\n']);
        let before = self.source.get(line_start..start).unwrap_or_default();
        (line, before.chars().count() + 1, text.chars().count().max(1))
    }

    /// The nearest offset at or before that one which is between two characters.
    fn floor(&self, offset: usize) -> usize {
        let offset = offset.min(self.source.len());
        (0..=offset).rev().find(|at| self.source.is_char_boundary(*at)).unwrap_or(0)
    }
}

/// The path of a key in a section.
pub(super) fn child(section: &str, key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let key =
        if !key.is_empty() && key.chars().all(bare) { key.to_owned() } else { format!("{key:?}") };
    if section.is_empty() { key } else { format!("{section}.{key}") }
}

fn place_table(places: &mut BTreeMap<String, Place>, path: &str, table: &DeTable<'_>) {
    for (key, value) in table {
        let path = child(path, key.get_ref());
        place_value(places, path, key.span(), value);
    }
}

fn place_value(
    places: &mut BTreeMap<String, Place>,
    path: String,
    key: Range<usize>,
    value: &Spanned<DeValue<'_>>,
) {
    match value.get_ref() {
        DeValue::Table(table) => place_table(places, &path, table),
        DeValue::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                place_value(places, format!("{path}[{index}]"), item.span(), item);
            }
        }
        _ => {}
    }
    let text = value.get_ref().as_str().map(str::to_owned);
    places.insert(path, Place { key, value: value.span(), text });
}
