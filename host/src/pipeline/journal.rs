//! Failure reports that no broker took in time: kept on disk, one JSON object a line, so that a dead
//! letter's reason isn't lost with the connection that should have carried it.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::limits::{JOURNAL_BYTES, JOURNAL_FILE};

/// The journal of one host.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    open: Mutex<Option<(File, u64)>>,
}

impl Journal {
    /// A journal in that folder, which is created with the first line.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { path: folder.join(JOURNAL_FILE), open: Mutex::new(None) }
    }

    /// Adds a report. One that can't be written is logged in full instead.
    pub fn write(&self, report: &[u8]) {
        if let Err(error) = self.append(report) {
            tracing::error!(
                path = %self.path.display(),
                %error,
                report = %String::from_utf8_lossy(report),
                "a failure report can't be kept on disk"
            );
        }
    }

    fn append(&self, report: &[u8]) -> std::io::Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, bytes) = match &mut *open {
            Some(open) => open,
            none => none.insert(self.create()?),
        };
        let line = [report, b"\n"].concat();
        if *bytes + line.len() as u64 > JOURNAL_BYTES {
            return Err(std::io::Error::other(format!("it has reached {JOURNAL_BYTES} bytes")));
        }
        file.write_all(&line)?;
        *bytes += line.len() as u64;
        Ok(())
    }

    fn create(&self) -> std::io::Result<(File, u64)> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        let bytes = file.metadata()?.len();
        Ok((file, bytes))
    }
}
