//! The archive's files: lines of JSON, rotated by size, bounded together, never half a line.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::limits::ARCHIVE_FILE_BYTES;

/// How an archive's file ends.
const ENDING: &str = "jsonl";

/// The folder of one host's archive.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
    bytes_max: u64,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    file: Option<(String, File, u64)>,
    /// Files made by this process: two of one second differ by it.
    made: u64,
}

impl Files {
    /// Files in that folder, which is made with the first of them, of at most so many bytes together.
    #[must_use]
    pub fn new(folder: &Path, bytes_max: u64) -> Self {
        Self { folder: folder.to_owned(), bytes_max, open: Mutex::default() }
    }

    /// Whether there is room for more.
    ///
    /// # Errors
    /// The folder is full or can't be read: what to do.
    pub fn room(&self) -> io::Result<()> {
        self.room_for(1)
    }

    /// Writes whole lines and waits until they are on disk. After an error none of them is there.
    ///
    /// # Errors
    /// They can't be written, or the archive would grow past its bound.
    pub fn write(&self, queue: &str, now_s: u64, lines: &[u8]) -> io::Result<()> {
        self.room_for(lines.len() as u64)?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let stays =
            |(of, _, bytes): &(String, File, u64)| of == queue && *bytes < ARCHIVE_FILE_BYTES;
        let (of, mut file, bytes) = match open.file.take().filter(stays) {
            Some(file) => file,
            None => {
                open.made += 1;
                (queue.to_owned(), self.create(queue, now_s, open.made)?, 0)
            }
        };
        if let Err(error) = file.write_all(lines).and_then(|()| file.sync_data()) {
            // Half a line would spoil the next one; what can't be cut is left, and never added to.
            if file.set_len(bytes).is_ok() && bytes == 0 {
                self.remove(queue, now_s, open.made);
            }
            return Err(error);
        }
        open.file = Some((of, file, bytes + lines.len() as u64));
        Ok(())
    }

    fn room_for(&self, bytes: u64) -> io::Result<()> {
        let used = self.used()?;
        if used + bytes <= self.bytes_max {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "{} holds {used} of {} bytes; move files away, or raise `service.archive_bytes`",
            self.folder.display(),
            self.bytes_max
        )))
    }

    /// Bytes of all files there, whoever wrote them.
    fn used(&self) -> io::Result<u64> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            entries => entries?,
        };
        let mut used = 0;
        for entry in entries {
            let entry = entry?;
            if entry.path().extension().is_some_and(|end| end == ENDING) {
                // One that was moved away meanwhile takes no room.
                used += entry.metadata().map_or(0, |it| it.len());
            }
        }
        Ok(used)
    }

    fn path(&self, queue: &str, now_s: u64, number: u64) -> PathBuf {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
        let queue: String = queue.chars().map(plain).take(128).collect();
        let process = std::process::id();
        self.folder.join(format!("{queue}.{now_s}-{process}-{number}.{ENDING}"))
    }

    /// A new file that only the host's user can read: dead letters are what producers sent.
    fn create(&self, queue: &str, now_s: u64, number: u64) -> io::Result<File> {
        fs::create_dir_all(&self.folder)?;
        let path = self.path(queue, now_s, number);
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
        // Without this its name might not survive what its lines do.
        File::open(&self.folder)?.sync_all()?;
        Ok(file)
    }

    fn remove(&self, queue: &str, now_s: u64, number: u64) {
        // An empty file does no harm.
        let _left = fs::remove_file(self.path(queue, now_s, number));
    }
}
