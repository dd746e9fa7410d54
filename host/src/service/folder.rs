//! The state folder belongs to one host: what a second one wrote there would be taken for the first's.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use crate::limits::STATE_LOCK_FILE;

/// Takes the folder for as long as the file that is returned is open; the system gives it back with the
/// process, however that ends. `None` where there is no folder to be had: what must be written there
/// says so when it can't be.
///
/// # Errors
/// Another host has it.
pub(super) fn take(folder: &Path) -> anyhow::Result<Option<File>> {
    let opened = std::fs::create_dir_all(folder).and_then(|()| {
        let path = folder.join(STATE_LOCK_FILE);
        OpenOptions::new().create(true).truncate(false).write(true).open(path)
    });
    let file = match opened {
        Ok(file) => file,
        Err(error) => {
            tracing::error!(folder = %folder.display(), %error, "the state folder can't be used");
            return Ok(None);
        }
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => anyhow::bail!(
            "another host uses the state folder {}; give each its own with `service.state_dir`",
            folder.display()
        ),
        Err(TryLockError::Error(error)) => {
            tracing::warn!(folder = %folder.display(), %error, "the state folder can't be locked");
            Ok(None)
        }
    }
}
