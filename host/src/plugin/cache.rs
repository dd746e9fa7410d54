//! The folder of compiled plugins. What is in there is run as native code, so nobody else may write it.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use wasmtime::{Cache, CacheConfig};

use super::engine::EngineError;
use super::failure;

/// For its owner alone.
const PRIVATE: u32 = 0o700;
const OTHERS_MAY_WRITE: u32 = 0o022;
const ANYBODY_MAY_WRITE: u32 = 0o002;
/// What is in such a folder is its owner's to replace.
const STICKY: u32 = 0o1000;

/// A cache for this process alone, gone with it.
#[derive(Debug)]
pub(super) struct Private(PathBuf);

/// Opens the cache in a folder of this user's own; makes the folder where there is none.
pub(super) fn open(dir: &Path) -> Result<Cache, EngineError> {
    let dir = own(dir)?;
    let mut config = CacheConfig::new();
    config.with_directory(&dir);
    Cache::new(config).map_err(|error| unusable(&dir, &failure::whole(&error)))
}

/// Makes the folder, or checks that it is this user's own and nobody else could have written to it.
fn own(dir: &Path) -> Result<PathBuf, EngineError> {
    let failed = |error: std::io::Error| unusable(dir, &error.to_string());
    DirBuilder::new().recursive(true).mode(PRIVATE).create(dir).map_err(failed)?;
    let link = dir.symlink_metadata().map_err(failed)?;
    let me = rustix::process::geteuid().as_raw();
    // systemd makes one for a service whose user is made for the while.
    let roots = link.uid() == 0 && me != 0;
    if link.is_symlink() && !roots {
        return Err(unusable(
            dir,
            "it is a link, which others may turn elsewhere; name the folder itself",
        ));
    }
    let meta = dir.metadata().map_err(failed)?;
    if !meta.is_dir() {
        return Err(unusable(dir, "it is no folder"));
    }
    if meta.uid() != me {
        let why = format!(
            "it belongs to user {}, not to this one ({me}), and what is in it is run as code; name a \
             folder inside it, which is then made",
            meta.uid()
        );
        return Err(unusable(dir, &why));
    }
    if meta.mode() & OTHERS_MAY_WRITE != 0 {
        let why = "others may write to it, and what is in it is run as code; remove it, and it is made anew";
        return Err(unusable(dir, why));
    }
    if meta.mode() & 0o777 != PRIVATE {
        fs::set_permissions(dir, Permissions::from_mode(PRIVATE)).map_err(failed)?;
    }
    // wasmtime wants an absolute path.
    let whole = dir.canonicalize().map_err(failed)?;
    for above in whole.ancestors().skip(1) {
        let mode = above.metadata().map_err(failed)?.mode();
        if mode & ANYBODY_MAY_WRITE != 0 && mode & STICKY == 0 {
            let why = format!(
                "anybody may put another folder in its place, for {0} can be written by anybody; chmod \
                 o-w {0}",
                above.display()
            );
            return Err(unusable(dir, &why));
        }
    }
    Ok(whole)
}

fn unusable(dir: &Path, why: &str) -> EngineError {
    EngineError(format!(
        "the cache folder {} can't be used: {why}; or leave service.cache_dir out",
        dir.display()
    ))
}

// === impl Private ===

impl Private {
    /// Makes one.
    pub(super) fn new() -> Result<Self, EngineError> {
        let name = format!("sluicegate-{}-{:016x}", std::process::id(), fastrand::u64(..));
        let dir = std::env::temp_dir().join(name);
        // Not recursive: one that is there already is somebody else's.
        DirBuilder::new()
            .mode(PRIVATE)
            .create(&dir)
            .map_err(|error| unusable(&dir, &error.to_string()))?;
        Ok(Self(dir))
    }

    /// Where it is.
    pub(super) fn dir(&self) -> &Path {
        &self.0
    }

    /// Takes away what is in it, which was needed once.
    pub(super) fn empty(&self) {
        for entry in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            // What can't be removed now goes with the folder.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // In a folder for such things, which is swept.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests;
