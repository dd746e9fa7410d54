//! The crash journal: which messages were running when a host died, so that one that kills its host is
//! found out and rejected, and nobody else.
//!
//! After a start that follows an unclean end, what was delivered before is noted here before it runs
//! and struck out after it. What a dead host left noted is a suspect: it runs alone, nothing else
//! running in the process meanwhile, so that a further death is its own. After [`CRASH_DEATHS`] of
//! those it isn't run any more. A message that survives its run is no suspect from then on.
//!
//! The file, one JSON object a line, is written and never synced: what a process wrote outlives it, and
//! after a power cut no message is to blame. A line that is torn or makes no sense is passed over.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::limits::{
    CRASH_DEATHS, CRASH_JOURNAL_BYTES, CRASH_JOURNAL_FILE, CRASH_SUSPECT_AGE, CRASH_SUSPECTS,
};

/// The journal of one host.
#[derive(Debug)]
pub struct CrashJournal {
    path: PathBuf,
    /// Whether what was delivered before must be noted.
    wary: AtomicBool,
    /// Batches hold it together, a suspect alone.
    turns: RwLock<()>,
    book: Mutex<Book>,
}

/// What is known of a message that was delivered before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No host died with it.
    Clear,
    /// A host died while it ran, with others or alone.
    Suspect,
    /// So many hosts died while it ran alone: it must not run again.
    Condemned(u32),
}

#[derive(Debug)]
struct Book {
    clock: Clock,
    file: Option<File>,
    bytes: u64,
    suspects: BTreeMap<String, Suspect>,
    /// How many of each run now: equal messages share a letter.
    running: HashMap<String, usize>,
}

/// A message that a host died with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Suspect {
    /// Hosts that died while it ran alone.
    deaths: u32,
    /// When it was noted last, seconds since 1970.
    at: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// A host started, seconds since 1970.
    Started(u64),
    /// Known from before.
    Suspect(String, Suspect),
    /// These run, among others.
    Run(Vec<String>),
    /// This one runs, and nothing else.
    Alone(String),
    /// These came through.
    Through(Vec<String>),
    /// This one was rejected, and that is safe.
    Settled(String),
    /// The host ended in order, seconds since 1970.
    Ended(u64),
}

/// What a file tells.
#[derive(Debug, Default)]
struct Story {
    suspects: BTreeMap<String, Suspect>,
    /// Noted and not struck out, and whether alone.
    running: HashMap<String, (usize, bool)>,
    unclean: bool,
    torn: usize,
}

impl CrashJournal {
    /// The journal in that folder, which is created if need be. Where that can't be done, it is tried
    /// again when something must be noted.
    #[must_use]
    pub fn open(folder: &Path, clock: &Clock) -> Self {
        let path = folder.join(CRASH_JOURNAL_FILE);
        let story = match read(&path) {
            Ok(text) => Story::read(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Story::default(),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "the crash journal can't be read");
                Story { unclean: true, ..Story::default() }
            }
        };
        let unclean = story.unclean;
        if story.torn > 0 {
            tracing::warn!(path = %path.display(), lines = story.torn, "passed over torn lines");
        }
        let suspects = story.suspects(clock.now_s());
        if unclean {
            tracing::warn!(
                suspects = suspects.len(),
                "the host that ran here before didn't end in order; \
                 what it was running when it died runs alone"
            );
        }
        let wary = AtomicBool::new(unclean || !suspects.is_empty());
        let book =
            Book { clock: clock.clone(), suspects, file: None, bytes: 0, running: HashMap::new() };
        let book = Mutex::new(book);
        let journal = Self { path, wary, turns: RwLock::new(()), book };
        if let Err(error) = journal.check() {
            tracing::error!(path = %journal.path.display(), %error, "the crash journal can't be written");
        }
        journal
    }

    /// Whether what was delivered before must be noted before it runs.
    #[must_use]
    pub fn wary(&self) -> bool {
        self.wary.load(Ordering::Acquire)
    }

    /// Whether it can be written, by writing it where it couldn't be before.
    ///
    /// # Errors
    /// It can't: the disk is full, or the folder belongs to somebody else.
    pub fn check(&self) -> io::Result<()> {
        let mut book = self.book();
        if book.file.is_some() {
            return Ok(());
        }
        let written = book.rewrite(&self.path);
        if written.is_err() {
            // Who can't say that it started can't say either that it died.
            self.wary.store(true, Ordering::Release);
        }
        written
    }

    /// What is known of the message of that letter.
    #[must_use]
    pub fn standing(&self, letter: &str) -> Standing {
        match self.book().suspects.get(letter) {
            None => Standing::Clear,
            Some(suspect) if suspect.deaths >= CRASH_DEATHS => Standing::Condemned(suspect.deaths),
            Some(_) => Standing::Suspect,
        }
    }

    /// Notes messages that are about to run: together, or a suspect alone.
    pub(super) fn enter(&self, letters: &[String], alone: bool) -> io::Result<()> {
        let line = match letters {
            [] => return Ok(()),
            [letter] if alone => Line::Alone(letter.clone()),
            letters => Line::Run(letters.to_vec()),
        };
        let mut book = self.book();
        book.write(&self.path, &line)?;
        for letter in letters {
            *book.running.entry(letter.clone()).or_default() += 1;
        }
        Ok(())
    }

    /// Strikes out messages that came through. Where that can't be written they run alone after the
    /// next start, which harms nobody.
    fn leave(&self, letters: Vec<String>) {
        if letters.is_empty() {
            return;
        }
        let mut book = self.book();
        for letter in &letters {
            book.suspects.remove(letter);
            if let Some(count) = book.running.get_mut(letter) {
                *count -= 1;
                if *count == 0 {
                    book.running.remove(letter);
                }
            }
        }
        self.tell(&mut book, &Line::Through(letters));
    }

    /// A condemned message was rejected and settled: where it is sent again it starts afresh.
    pub fn settled(&self, letter: &str) {
        let mut book = self.book();
        book.suspects.remove(letter);
        self.tell(&mut book, &Line::Settled(letter.to_owned()));
    }

    /// Runs a batch: beside others, or as the only one in the process. Those letters are noted when its
    /// turn has come, and struck out before it is over: who waits for a turn while another batch kills the
    /// host has no part in that.
    ///
    /// # Errors
    /// They can't be noted, and nothing ran.
    pub fn run<R>(
        &self,
        letters: Vec<String>,
        alone: bool,
        batch: impl FnOnce() -> R,
    ) -> io::Result<R> {
        if !self.wary() {
            return Ok(batch());
        }
        let turns = &self.turns;
        let (_alone, _beside) = if alone {
            (Some(turns.write().unwrap_or_else(PoisonError::into_inner)), None)
        } else {
            (None, Some(turns.read().unwrap_or_else(PoisonError::into_inner)))
        };
        self.enter(&letters, alone)?;
        let ran = batch();
        self.leave(letters);
        Ok(ran)
    }

    /// The host ends in order.
    pub fn end(&self) {
        let mut book = self.book();
        let line = Line::Ended(book.clock.now_s());
        self.tell(&mut book, &line);
    }

    fn tell(&self, book: &mut Book, line: &Line) {
        if let Err(error) = book.write(&self.path, line) {
            tracing::error!(path = %self.path.display(), %error, "the crash journal can't be written");
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Book ===

impl Book {
    fn write(&mut self, path: &Path, line: &Line) -> io::Result<()> {
        if self.file.is_none() || self.bytes > CRASH_JOURNAL_BYTES {
            self.rewrite(path)?;
        }
        let text = text(line)?;
        let Some(file) = &mut self.file else { return Ok(()) };
        if let Err(error) = file.write_all(text.as_bytes()) {
            // Half a line may be there; what follows it would be lost with it.
            self.file = None;
            return Err(error);
        }
        self.bytes += text.len() as u64;
        Ok(())
    }

    /// Writes what counts into a new file, which then takes the old one's place.
    fn rewrite(&mut self, path: &Path) -> io::Result<()> {
        self.file = None;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut all = text(&Line::Started(self.clock.now_s()))?;
        for (letter, suspect) in &self.suspects {
            all.push_str(&text(&Line::Suspect(letter.clone(), suspect.clone()))?);
        }
        if !self.running.is_empty() {
            let copies = |(letter, count): (&String, &usize)| vec![letter.clone(); *count];
            all.push_str(&text(&Line::Run(self.running.iter().flat_map(copies).collect()))?);
        }
        let new = path.with_extension("new");
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&new)?;
        file.write_all(all.as_bytes())?;
        std::fs::rename(&new, path)?;
        self.bytes = all.len() as u64;
        self.file = Some(file);
        Ok(())
    }
}

// === impl Story ===

impl Story {
    fn read(text: &str) -> Self {
        let mut story = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            match serde_json::from_str(line) {
                Ok(line) => story.take(line),
                Err(_) => story.torn += 1,
            }
        }
        story.unclean |= story.torn > 0;
        story
    }

    fn take(&mut self, line: Line) {
        match line {
            Line::Started(_) => self.unclean = true,
            Line::Ended(_) => self.unclean = false,
            Line::Suspect(letter, suspect) => drop(self.suspects.insert(letter, suspect)),
            Line::Run(letters) => {
                for letter in letters {
                    self.running.entry(letter).or_default().0 += 1;
                }
            }
            Line::Alone(letter) => {
                let (count, alone) = self.running.entry(letter).or_default();
                (*count, *alone) = (*count + 1, true);
            }
            Line::Through(letters) => {
                for letter in letters {
                    self.suspects.remove(&letter);
                    if let Some((count, _)) = self.running.get_mut(&letter) {
                        *count -= 1;
                        if *count == 0 {
                            self.running.remove(&letter);
                        }
                    }
                }
            }
            Line::Settled(letter) => drop(self.suspects.remove(&letter)),
        }
    }

    /// Who is suspected at the next start: not for ever, and not more than can be held.
    fn suspects(mut self, now: u64) -> BTreeMap<String, Suspect> {
        for (letter, (_, alone)) in self.running {
            let suspect = self.suspects.entry(letter).or_default();
            suspect.deaths += u32::from(alone);
            suspect.at = now;
        }
        let old = |suspect: &Suspect| {
            Duration::from_secs(now.saturating_sub(suspect.at)) > CRASH_SUSPECT_AGE
        };
        self.suspects.retain(|_, suspect| !old(suspect));
        let mut suspects: Vec<(String, Suspect)> = self.suspects.into_iter().collect();
        suspects.sort_by_key(|(_, suspect)| std::cmp::Reverse((suspect.deaths, suspect.at)));
        suspects.truncate(CRASH_SUSPECTS);
        suspects.into_iter().collect()
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    // A rewrite begins past the bound, so the last line may be beyond it.
    File::open(path)?.take(CRASH_JOURNAL_BYTES * 2).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn text(line: &Line) -> io::Result<String> {
    let mut text = serde_json::to_string(line)?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests;
