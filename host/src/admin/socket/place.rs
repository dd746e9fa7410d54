//! Where the control socket is, where nobody says.

use std::env;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::ServeError;

const NAME: &str = "sluicegate.sock";

/// The folders that a host may take, best first.
struct Folders {
    /// What systemd gives a service: `$RUNTIME_DIRECTORY`.
    service: Option<PathBuf>,
    /// `$XDG_RUNTIME_DIR/sluicegate`.
    user: Option<PathBuf>,
    /// `/tmp/sluicegate-UID`.
    last: PathBuf,
}

/// The socket's path in the runtime folder: `$RUNTIME_DIRECTORY`, else `$XDG_RUNTIME_DIR/sluicegate`,
/// else `/tmp/sluicegate-UID`. Makes the folder, private to this user.
///
/// # Errors
/// Where the folder can't be made, or is open to others.
pub fn default_path() -> Result<PathBuf, ServeError> {
    let folders = Folders::from_env();
    if let Some(folder) = folders.service {
        return Ok(folder.join(NAME));
    }
    let folder = folders.user.unwrap_or(folders.last);
    private(&folder)?;
    Ok(folder.join(NAME))
}

/// Where a client looks for a host's socket, in this order.
#[must_use]
pub fn candidates() -> Vec<PathBuf> {
    let folders = Folders::from_env();
    let system = PathBuf::from("/run/sluicegate");
    [folders.service, folders.user, Some(system), Some(folders.last)]
        .into_iter()
        .flatten()
        .map(|folder| folder.join(NAME))
        .collect()
}

/// Makes the folder with mode 0700, or checks that the one that is there is ours alone: in `/tmp`
/// anybody could have been faster.
pub(in crate::admin) fn private(folder: &Path) -> Result<(), ServeError> {
    let wrong = |reason: String| ServeError::Folder { path: folder.to_owned(), reason };
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(wrong(format!("can't be made: {error}"))),
    }
    let found = fs::symlink_metadata(folder).map_err(|e| wrong(format!("can't be read: {e}")))?;
    if !found.is_dir() {
        return Err(wrong("is no folder".to_owned()));
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(wrong(format!("belongs to user {}", found.uid())));
    }
    if found.mode() & 0o077 != 0 {
        return Err(wrong(format!("is open to others (mode {:o})", found.mode() & 0o777)));
    }
    Ok(())
}

// === impl Folders ===

impl Folders {
    fn from_env() -> Self {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        // Several runtime folders are separated by colons; the first is ours.
        let service = set("RUNTIME_DIRECTORY").and_then(|all| env::split_paths(&all).next());
        let user = set("XDG_RUNTIME_DIR").map(|folder| Path::new(&folder).join("sluicegate"));
        let uid = rustix::process::geteuid().as_raw();
        let last = PathBuf::from(format!("/tmp/sluicegate-{uid}"));
        Self { service, user, last }
    }
}
