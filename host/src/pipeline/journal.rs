//! Failure reports that no broker took in time: kept on disk, one JSON object a line, so that a dead
//! letter's reason isn't lost with the connection that should have carried it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::limits::{JOURNAL_BYTES, JOURNAL_FILE, JOURNAL_ROOM_BYTES};

/// The journal of one host.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    open: Option<(File, u64)>,
    /// The last write failed, and may have left half a line.
    failed: bool,
}

impl Journal {
    /// A journal in that folder, which is created with the first line.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { path: folder.join(JOURNAL_FILE), book: Mutex::default() }
    }

    /// Adds a report. One for which the journal has grown too long is logged in full instead: waiting
    /// would make it no shorter.
    ///
    /// # Errors
    /// The disk is full, or the folder can't be written.
    pub fn write(&self, report: &[u8]) -> io::Result<()> {
        let mut book = self.book();
        let written = self.append(&mut book, report);
        if written.is_err() {
            *book = Book { open: None, failed: true };
        }
        written
    }

    /// Whether there is room again, where there was none for the last report.
    ///
    /// # Errors
    /// There isn't.
    pub fn check(&self) -> io::Result<()> {
        if !self.book().failed {
            return Ok(());
        }
        let trial = self.path.with_extension("trial");
        let written = std::fs::write(&trial, vec![b' '; JOURNAL_ROOM_BYTES]);
        // What isn't there needs no removing.
        let _ = std::fs::remove_file(&trial);
        written
    }

    fn append(&self, book: &mut Book, report: &[u8]) -> io::Result<()> {
        let torn = book.failed;
        let (file, bytes) = match &mut book.open {
            Some(open) => open,
            none => none.insert(self.create()?),
        };
        let mut line = if torn { b"\n".to_vec() } else { Vec::new() };
        line.extend_from_slice(report);
        line.push(b'\n');
        if *bytes + line.len() as u64 > JOURNAL_BYTES {
            tracing::error!(
                path = %self.path.display(),
                report = %String::from_utf8_lossy(report),
                "a failure report can't be kept: the journal has reached {JOURNAL_BYTES} bytes"
            );
            return Ok(());
        }
        file.write_all(&line)?;
        *bytes += line.len() as u64;
        book.failed = false;
        Ok(())
    }

    fn create(&self) -> io::Result<(File, u64)> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        let bytes = file.metadata()?.len();
        Ok((file, bytes))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
