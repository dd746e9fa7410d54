//! The quarantine: a bounded folder for what can't be taken in and must not be in the way.
//!
//! A file has one line of JSON that says what it is, then the payload as it came. The oldest go first
//! when there are too many, or too many bytes. Of a payload past the whole bound the beginning is kept.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use crate::clock::Clock;
use crate::config::Quarantine;

#[cfg(test)]
mod tests;

/// Behind the name of a file that isn't whole yet.
const PART: &str = "part";
/// Behind the name of one that is.
const WHOLE: &str = "mqtt";

/// Keeps what is put aside.
#[derive(Clone, Debug)]
pub(super) struct Keeper(pub(super) Quarantine);

/// One payload on its way to a file.
pub(super) struct Keeping {
    file: File,
    path: PathBuf,
    /// Bytes that there is still room for.
    room: u64,
    cut: bool,
}

/// Where a payload is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) path: PathBuf,
    /// Only its beginning is there.
    pub(super) cut: bool,
}

/// A file's first line.
#[derive(Serialize)]
struct Head<'h> {
    topic: &'h str,
    bytes: usize,
}

impl Keeper {
    /// Makes room, oldest first, and begins a file.
    pub(super) fn begin(&self, topic: &str, bytes: usize) -> Result<Keeping, String> {
        self.try_begin(topic, bytes).map_err(|error| self.failed(&error))
    }

    /// The same of a payload that is here already.
    pub(super) fn keep(&self, topic: &str, payload: &[u8]) -> Result<Kept, String> {
        let mut keeping = self.begin(topic, payload.len())?;
        keeping.write(payload)?;
        keeping.finish()
    }

    fn try_begin(&self, topic: &str, bytes: usize) -> std::io::Result<Keeping> {
        let Quarantine { dir, max_files, max_bytes } = &self.0;
        let head = serde_json::to_string(&Head { topic, bytes }).unwrap_or_default() + "\n";
        let room = max_bytes.saturating_sub(head.len() as u64).min(bytes as u64);
        fs::create_dir_all(dir)?;
        self.make_room(*max_files - 1, max_bytes - room.min(*max_bytes))?;
        let name = format!("{:016}-{:08x}", Clock::system().now_us(), fastrand::u32(..));
        let path = dir.join(name).with_extension(PART);
        let mut file = File::create_new(&path)?;
        file.write_all(head.as_bytes())?;
        Ok(Keeping { file, path, room, cut: room < bytes as u64 })
    }

    /// Deletes the oldest files until there are no more than that, and no more bytes.
    fn make_room(&self, files: usize, bytes: u64) -> std::io::Result<()> {
        let mut there = Vec::new();
        for entry in fs::read_dir(&self.0.dir)? {
            let entry = entry?;
            there.push((entry.file_name(), entry.metadata()?.len(), entry.path()));
        }
        // Names begin with the time.
        there.sort();
        let mut sum: u64 = there.iter().map(|(_, bytes, _)| bytes).sum();
        let mut left = there.len();
        for (_, size, path) in there {
            if left <= files && sum <= bytes {
                break;
            }
            fs::remove_file(path)?;
            left -= 1;
            sum -= size;
        }
        Ok(())
    }

    fn failed(&self, error: &std::io::Error) -> String {
        format!("{}: {error}", self.0.dir.display())
    }
}

impl Keeping {
    /// Writes what came, as far as there is room.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let room = usize::try_from(self.room).unwrap_or(usize::MAX);
        let bytes = &bytes[..bytes.len().min(room)];
        self.room -= bytes.len() as u64;
        self.file.write_all(bytes).map_err(|error| self.failed(&error))
    }

    /// All came.
    pub(super) fn finish(self) -> Result<Kept, String> {
        let whole = self.path.with_extension(WHOLE);
        fs::rename(&self.path, &whole).map_err(|error| self.failed(&error))?;
        Ok(Kept { path: whole, cut: self.cut })
    }

    fn failed(&self, error: &std::io::Error) -> String {
        format!("{}: {error}", self.path.display())
    }
}
