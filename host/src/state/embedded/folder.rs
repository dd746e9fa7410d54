//! The store's folder: whose format it has, and what is said when it can't be opened.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::Path;

use crate::limits::{JOURNAL_ROOM_BYTES, STATE_LOCK_FILE};
use crate::state::store::StoreError;

/// The database's file, within the folder.
pub(super) const DATABASE: &str = "state.redb";
/// What says the folder's format.
const FORMAT_FILE: &str = "format";
/// The newest format that this release knows, and writes.
const FORMAT: u32 = 1;

/// Whether there is a store.
pub(super) fn is_there(folder: &Path) -> bool {
    folder.join(FORMAT_FILE).exists() || folder.join(DATABASE).exists()
}

/// Makes the folder where it isn't there, and looks whether what is there can be read.
pub(super) fn prepare(folder: &Path) -> Result<(), StoreError> {
    let failed = |error: io::Error| StoreError::Failed {
        doing: "written",
        why: format!("{}: {error}", folder.display()),
    };
    let format = folder.join(FORMAT_FILE);
    match fs::read_to_string(&format) {
        Ok(text) => match text.trim().parse::<u32>() {
            Ok(found) if found > FORMAT => {
                return Err(StoreError::Newer { found, known: FORMAT });
            }
            Ok(FORMAT) => return Ok(()),
            _ => return Err(damaged(folder, "its format file makes no sense")),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    if folder.join(DATABASE).exists() {
        return Err(damaged(folder, "its format file is gone"));
    }
    make_private(folder).map_err(failed)?;
    // Whole or not at all: a crash here leaves a folder that is made again.
    let new = folder.join("format.new");
    let mut file = File::create(&new).map_err(failed)?;
    writeln!(file, "{FORMAT}").and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&new, &format).map_err(failed)
}

fn make_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    // What plugins remember of people is nobody else's business.
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Takes the folder for as long as the file that is returned is open.
pub(super) fn lock(folder: &Path) -> Result<File, StoreError> {
    let failed = |why: String| StoreError::Failed { doing: "read", why };
    let path = folder.join(STATE_LOCK_FILE);
    let file = File::options().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(|error| failed(format!("{}: {error}", folder.display())))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(StoreError::InUse { folder: folder.display().to_string() })
        }
        Err(TryLockError::Error(error)) => Err(failed(format!("{}: {error}", folder.display()))),
    }
}

/// Why the database can't be opened, in the operator's words.
pub(super) fn explain(folder: &Path, error: &redb::Error) -> StoreError {
    match error {
        redb::Error::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            StoreError::Failed { doing: "read", why: format!("{}: {error}", folder.display()) }
        }
        other => damaged(folder, &other.to_string()),
    }
}

fn damaged(folder: &Path, why: &str) -> StoreError {
    StoreError::Damaged { what: folder.display().to_string(), why: why.to_owned() }
}

/// Whether the disk takes something more.
pub(super) fn has_room(folder: &Path) -> io::Result<()> {
    let probe = folder.join("room");
    let mut file = File::create(&probe)?;
    let written = file.write_all(&vec![0; JOURNAL_ROOM_BYTES]).and_then(|()| file.sync_all());
    fs::remove_file(&probe)?;
    written
}
