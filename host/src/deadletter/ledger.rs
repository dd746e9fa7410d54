//! Failure reports with what became of each, read from the queue that keeps them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use serde::Serialize;

use super::Trouble;
use super::browse::Browse;
use super::letter::Letter;
use crate::broker::Broker;
use crate::limits::{DLQ_REPORTS, DLQ_REPORTS_BYTES};
use crate::message::Message;
use crate::report::{RESOLVED_KIND, Report, Resolution};

#[cfg(test)]
mod tests;

/// All reports of a queue, oldest first.
#[derive(Debug)]
pub struct Ledger {
    entries: VecDeque<Entry>,
    /// The number of the first entry kept.
    first: usize,
    most: usize,
    bytes_max: usize,
    /// Bytes that the reports kept came in.
    bytes: usize,
    by_id: HashMap<String, usize>,
    by_letter: HashMap<String, Vec<usize>>,
    /// Messages in the queue that are neither report nor resolution.
    pub unreadable: u64,
    /// Reports that were forgotten for want of room, the oldest ones.
    pub forgotten: u64,
}

/// A failure and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// The report.
    #[serde(flatten)]
    pub report: Report,
    /// What somebody did about it; `None` while it is open.
    pub resolution: Option<Fate>,
    /// Bytes that it came in.
    #[serde(skip)]
    bytes: usize,
}

/// What somebody did about a failure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fate {
    /// `replayed`, `purged`, `exported`.
    pub what: String,
    /// Seconds since 1970.
    pub at: u64,
    /// Who.
    pub by: String,
    /// The run that did it.
    pub run: String,
    /// Where it went.
    pub target: Option<String>,
    /// How often it was replayed with this.
    pub replay_count: u32,
}

/// What a word that names a failure may mean.
#[derive(Debug)]
pub enum Named<'l> {
    /// None has that id.
    Nobody,
    /// This one.
    One(&'l Entry),
    /// So many begin with it.
    Several(usize),
}

impl Default for Ledger {
    fn default() -> Self {
        Self::keeping(DLQ_REPORTS, DLQ_REPORTS_BYTES)
    }
}

impl Ledger {
    /// An empty one that keeps so many reports of so many bytes in all.
    #[must_use]
    pub fn keeping(most: usize, bytes_max: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            first: 0,
            most: most.max(1),
            bytes_max,
            bytes: 0,
            by_id: HashMap::new(),
            by_letter: HashMap::new(),
            unreadable: 0,
            forgotten: 0,
        }
    }

    /// Reads the queue up to its length now, and leaves it as it is.
    ///
    /// # Errors
    /// When the queue can't be read.
    pub async fn read(broker: &Arc<dyn Broker>, queue: &str) -> Result<Self, Trouble> {
        let mut ledger = Self::default();
        let mut browse = Browse::open(broker, queue).await?;
        let read = async {
            while let Some(taken) = browse.next().await? {
                let (message, _, hold) = taken.split();
                ledger.take(&message);
                browse.hold(hold);
            }
            Ok(())
        };
        let read: Result<(), Trouble> = read.await;
        let closed = browse.close().await;
        read.and(closed)?;
        Ok(ledger)
    }

    /// Notes one message of the queue.
    pub fn take(&mut self, message: &Message) {
        if message.properties.kind.as_deref() == Some(RESOLVED_KIND) {
            match serde_json::from_slice(&message.body) {
                Ok(resolution) => self.resolve(&resolution),
                Err(_) => self.unreadable += 1,
            }
            return;
        }
        match serde_json::from_slice::<Report>(&message.body) {
            Ok(report) if !report.id.is_empty() => self.add(report, message.body.len()),
            _ => self.unreadable += 1,
        }
    }

    fn add(&mut self, report: Report, bytes: usize) {
        if let Some(known) = self.by_id.get(&report.id).and_then(|number| self.at(*number)) {
            // Told again after a crash between report and nack: one failure. Told again after it was dealt
            // with, it is open again: its producer sent the same once more.
            let entry = &mut self.entries[known - self.first];
            entry.report = report;
            entry.resolution = None;
            return;
        }
        let number = self.first + self.entries.len();
        self.by_id.insert(report.id.clone(), number);
        self.by_letter.entry(report.letter.clone()).or_default().push(number);
        self.entries.push_back(Entry { report, resolution: None, bytes });
        self.bytes += bytes;
        while self.entries.len() > self.most
            || self.bytes > self.bytes_max && self.entries.len() > 1
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.entries.pop_front() else { return };
        self.bytes -= oldest.bytes;
        self.by_id.remove(&oldest.report.id);
        if let Some(numbers) = self.by_letter.get_mut(&oldest.report.letter) {
            numbers.retain(|number| *number != self.first);
            if numbers.is_empty() {
                self.by_letter.remove(&oldest.report.letter);
            }
        }
        self.first += 1;
        self.forgotten += 1;
    }

    fn resolve(&mut self, resolution: &Resolution) {
        for letter in &resolution.letters {
            let Some(number) = letter.report.as_ref().and_then(|id| self.by_id.get(id)) else {
                continue;
            };
            let at = *number - self.first;
            self.entries[at].resolution = Some(Fate {
                what: resolution.what.clone(),
                at: resolution.at,
                by: resolution.by.clone(),
                run: resolution.run.clone(),
                target: resolution.target.clone(),
                replay_count: letter.replay_count,
            });
        }
    }

    fn at(&self, number: usize) -> Option<usize> {
        (number >= self.first && number < self.first + self.entries.len()).then_some(number)
    }

    /// Every entry, oldest first.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Every entry with its number, oldest first.
    pub fn numbered(&self) -> impl Iterator<Item = (usize, &Entry)> {
        (self.first..).zip(&self.entries)
    }

    /// An entry by its number.
    #[must_use]
    pub fn entry(&self, number: usize) -> Option<&Entry> {
        self.entries.get(number.checked_sub(self.first)?)
    }

    /// What a word means: an id, the beginning of one, or a message's id (the newest failure of it).
    #[must_use]
    pub fn named(&self, word: &str) -> Named<'_> {
        if let Some(entry) = self.by_id.get(word).and_then(|number| self.entry(*number)) {
            return Named::One(entry);
        }
        let mut begin = self.entries().filter(|entry| entry.report.id.starts_with(word));
        match (begin.next(), begin.count()) {
            (Some(entry), 0) => return Named::One(entry),
            (Some(_), more) => return Named::Several(more + 1),
            (None, _) => {}
        }
        let of_message = |entry: &&Entry| entry.report.message_id.as_deref() == Some(word);
        self.entries().rev().find(of_message).map_or(Named::Nobody, Named::One)
    }

    /// The report of a letter: the one whose id it carries, else the newest with its digest. `used`
    /// holds those that other letters of the same digest have taken, and gets this one.
    #[must_use]
    pub fn report_of(&self, letter: &Letter, used: &mut HashSet<usize>) -> Option<usize> {
        let by_id = letter.failure_id.as_ref().and_then(|id| self.by_id.get(id)).copied();
        let number = by_id.or_else(|| {
            let numbers = self.by_letter.get(&letter.digest)?;
            // Open ones first: a resolved one's letter is gone, unless a crash left it.
            let free = || numbers.iter().rev().filter(|number| !used.contains(number));
            let open =
                |number: &&usize| self.entry(**number).is_some_and(|e| e.resolution.is_none());
            free().find(open).or_else(|| free().next()).copied()
        })?;
        used.insert(number);
        Some(number)
    }
}
