//! The Numenta Anomaly Benchmark: its corpus, and its scores as its rules say.
//!
//! Within a labelled window an alarm earns the more the earlier it is; only the best counts. A window without one
//! costs, and so does every alarm outside of windows, the more the farther it is from the last window's end. A
//! file's first part is never scored. Rules: Lavin and Ahmad 2015, "Evaluating Real-time Anomaly Detection
//! Algorithms: the Numenta Anomaly Benchmark", and the benchmark's own scorer, version 1.1.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use jiff::civil::DateTime;

/// Share of a file that isn't scored, and its most rows.
const PROBATION: (f64, usize) = (0.15, 750);

/// All files, in order of their names.
#[derive(Debug)]
pub struct Corpus {
    /// The files.
    pub files: Vec<File>,
}

/// A file of the corpus.
#[derive(Debug)]
pub struct File {
    /// The folder that it lies in.
    pub category: String,
    /// `category/name.csv`.
    pub path: String,
    /// When, in seconds since 1970 by the file's own clock, and what.
    pub rows: Vec<(i64, f64)>,
    /// Labelled windows: their first and last row.
    pub windows: Vec<(usize, usize)>,
    /// Rows that aren't scored.
    pub probation: usize,
}

/// What hits, misses and false alarms weigh.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// What the benchmark calls it.
    pub name: &'static str,
    hit: f64,
    false_alarm: f64,
    miss: f64,
}

/// The benchmark's three profiles.
pub const PROFILES: [Profile; 3] = [
    Profile { name: "standard", hit: 1.0, false_alarm: 0.11, miss: 1.0 },
    Profile { name: "low FP", hit: 1.0, false_alarm: 0.22, miss: 1.0 },
    Profile { name: "low FN", hit: 1.0, false_alarm: 0.11, miss: 2.0 },
];

/// What alarms come to on some files, before it is set in relation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// The sum of all weights.
    pub raw: f64,
    /// Labelled windows.
    pub windows: usize,
    /// Of these, found.
    pub found: usize,
    /// Rows outside of windows with an alarm.
    pub false_rows: usize,
}

// === impl Corpus ===

impl Corpus {
    /// Reads the corpus from its folder.
    ///
    /// # Errors
    /// It isn't there or isn't what it should be.
    pub fn read(folder: &Path) -> Result<Self> {
        let labels = folder.join("labels/combined_windows.json");
        let text = fs::read(&labels).with_context(|| format!("read {}", labels.display()))?;
        let labels: BTreeMap<String, Vec<(String, String)>> = serde_json::from_slice(&text)?;
        let files = labels.iter().map(|(path, windows)| {
            File::read(folder, path, windows).with_context(|| format!("read {path}"))
        });
        Ok(Self { files: files.collect::<Result<_>>()? })
    }

    /// The threshold at which alarms score best, and what those at or above it come to: as the benchmark does it,
    /// which looks at the labels for it. Alarms are rows with a score, by file.
    #[must_use]
    pub fn sweep(&self, alarms: &[Vec<(usize, f32)>], profile: &Profile) -> (f32, Tally) {
        let mut counts: Vec<Count> =
            self.files.iter().map(|file| Count::new(file, profile)).collect();
        let mut all: Vec<(f32, usize, usize)> = alarms
            .iter()
            .enumerate()
            .flat_map(|(file, alarms)| alarms.iter().map(move |(row, score)| (*score, file, *row)))
            .collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0));
        let whole = |counts: &[Count]| {
            counts.iter().map(|count| count.tally).fold(Tally::default(), Tally::and)
        };
        let mut sum = whole(&counts);
        let mut best = (f32::MAX, sum);
        for (at, (score, file, row)) in all.iter().enumerate() {
            let before = counts[*file].tally;
            counts[*file].add(&self.files[*file], *row, profile);
            sum.raw += counts[*file].tally.raw - before.raw;
            // Of equal scores all are alarms or none.
            let is_last = all.get(at + 1).is_none_or(|next| next.0 < *score);
            if is_last && sum.raw > best.1.raw {
                best = (*score, Tally { raw: sum.raw, ..whole(&counts) });
            }
        }
        best
    }

    /// The categories' names.
    #[must_use]
    pub fn categories(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self.files.iter().map(|file| file.category.as_str()).collect();
        all.dedup();
        all
    }
}

impl File {
    fn read(folder: &Path, path: &str, windows: &[(String, String)]) -> Result<Self> {
        let mut reader = csv::Reader::from_path(folder.join("data").join(path))?;
        let mut rows = Vec::new();
        for record in reader.deserialize() {
            let (at, value): (String, f64) = record?;
            rows.push((seconds(&at)?, value));
        }
        let row = |at: &str| -> Result<usize> {
            let at = seconds(at)?;
            rows.iter().position(|row| row.0 == at).context("a window that begins at no row")
        };
        let windows: Vec<(usize, usize)> = windows
            .iter()
            .map(|(first, last)| Ok((row(first)?, row(last)?)))
            .collect::<Result<_>>()?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rows")]
        let share = (PROBATION.0 * rows.len() as f64) as usize;
        let category = path.split('/').next().unwrap_or_default().to_owned();
        let probation = share.min(PROBATION.1);
        Ok(Self { category, path: path.to_owned(), rows, windows, probation })
    }

    /// What an alarm at that row is worth.
    #[must_use]
    pub fn place(&self, row: usize) -> Place {
        if row < self.probation {
            return Place::Unscored;
        }
        let window = self.windows.iter().rposition(|(first, _)| *first <= row);
        match window.map(|at| (at, self.windows[at])) {
            Some((at, (first, last))) if row <= last => {
                let width = (last - first + 1) as f64;
                Place::Within(at, scaled(-((last - row + 1) as f64) / width) / scaled(-1.0))
            }
            Some((_, (first, last))) => {
                Place::Outside(scaled((row - last) as f64 / (last - first) as f64))
            }
            None => Place::Outside(-1.0),
        }
    }

    /// What alarms in these rows come to.
    #[must_use]
    pub fn tally(&self, rows: impl IntoIterator<Item = usize>, profile: &Profile) -> Tally {
        let mut count = Count::new(self, profile);
        rows.into_iter().for_each(|row| count.add(self, row, profile));
        count.tally
    }
}

/// What an alarm is worth, before a profile weighs it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    /// In a file's first part.
    Unscored,
    /// In that window: above 0, at most 1.
    Within(usize, f64),
    /// -1 to 0.
    Outside(f64),
}

/// A file's tally as alarms are added, in any order.
struct Count {
    /// What each window has earned.
    best: Vec<Option<f64>>,
    tally: Tally,
}

impl Count {
    fn new(file: &File, profile: &Profile) -> Self {
        let windows = file.windows.len();
        let raw = -profile.miss * windows as f64;
        Self { best: vec![None; windows], tally: Tally { raw, windows, ..Tally::default() } }
    }

    fn add(&mut self, file: &File, row: usize, profile: &Profile) {
        match file.place(row) {
            Place::Unscored => {}
            Place::Within(at, worth) => {
                let worth = worth * profile.hit;
                let before = self.best[at];
                self.tally.found += usize::from(before.is_none());
                let best = before.map_or(worth, |before| before.max(worth));
                self.tally.raw += best - before.unwrap_or(-profile.miss);
                self.best[at] = Some(best);
            }
            Place::Outside(worth) => {
                self.tally.raw += profile.false_alarm * worth;
                self.tally.false_rows += 1;
            }
        }
    }
}

/// A file's time, in seconds since 1970 by its own clock.
fn seconds(text: &str) -> Result<i64> {
    let at: DateTime = text.trim().replacen(' ', "T", 1).parse()?;
    let second = at.to_zoned(jiff::tz::TimeZone::UTC)?.timestamp();
    Ok(second.as_second())
}

/// What an alarm is worth at that place: 1 long before a window's end, 0 at it, -1 far behind.
fn scaled(place: f64) -> f64 {
    if place > 3.0 { -1.0 } else { 2.0 / (1.0 + (5.0 * place).exp()) - 1.0 }
}

// === impl Tally ===

impl Tally {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            raw: self.raw + other.raw,
            windows: self.windows + other.windows,
            found: self.found + other.found,
            false_rows: self.false_rows + other.false_rows,
        }
    }

    /// In relation to finding everything at once, 100, and to no alarm at all, 0.
    #[must_use]
    pub fn score(&self, profile: &Profile) -> f64 {
        let windows = self.windows as f64;
        100.0 * (self.raw + profile.miss * windows) / ((profile.hit + profile.miss) * windows)
    }
}

#[cfg(test)]
mod tests;
