//! A folder for a verb that runs a host of its own: private, and gone with the verb.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Removed when dropped.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// Makes one in the system's folder for temporary files.
    pub(super) fn new(verb: &str) -> anyhow::Result<Self> {
        let name = format!("sluicegate-{verb}-{:016x}", fastrand::u64(..));
        let path = std::env::temp_dir().join(name);
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("can't make {}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left of it is in a folder for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}
