//! The database's file: synced at each commit where power loss is to be outlasted, else left to the system,
//! which has it as soon as it is written, whatever becomes of this process.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use redb::StorageBackend;

use crate::state::store::Durability;

/// A file that is written in place, in the order of the database's writes.
#[derive(Debug)]
pub(super) struct StateFile {
    file: File,
    durability: Durability,
}

impl StateFile {
    /// Opens the file, or makes it for its owner alone.
    pub(super) fn open(path: &Path, durability: Durability) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        Ok(Self { file: file.open(path)?, durability })
    }
}

impl StorageBackend for StateFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        match self.durability {
            Durability::Process => Ok(()),
            Durability::Power => self.file.sync_data(),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }

    fn close(&self) -> io::Result<()> {
        // A host that ends in order leaves nothing to chance.
        self.file.sync_data()
    }
}
