//! The last versions of each plugin, kept by digest, so that one can be put back without its file.
//!
//! In `state_dir/plugins`: `DIGEST.wasm` are the versions, `NAME.json` says which of them served when.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest;
use crate::limits::{PLUGIN_FILE_BYTES, PLUGIN_HISTORY, PLUGIN_HISTORY_BYTES};

/// A version that served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// SHA-256 of its file, in hexadecimal.
    pub digest: String,
    /// What it says of its version.
    pub version: String,
    /// Since when it served, seconds since 1970.
    pub since: u64,
    /// How it came to serve: `start`, `reload`, `rollback`.
    pub by: String,
}

/// The versions of a host's plugins.
#[derive(Debug)]
pub struct History {
    folder: PathBuf,
}

impl History {
    /// In that folder, which is made when it is needed.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The versions of a plugin that served, the latest first; none where nothing can be read.
    #[must_use]
    pub fn of(&self, plugin: &str) -> Vec<Kept> {
        Self::read_list(&self.list(plugin))
    }

    fn read_list(path: &Path) -> Vec<Kept> {
        let read = || -> io::Result<Vec<Kept>> {
            if fs::metadata(path)?.len() > PLUGIN_HISTORY_BYTES {
                return Err(io::Error::other("it is too large"));
            }
            serde_json::from_slice(&fs::read(path)?).map_err(io::Error::other)
        };
        match read() {
            Ok(kept) => kept,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a plugin's history can't be read");
                Vec::new()
            }
        }
    }

    /// Notes that a version serves from now on, and keeps its bytes.
    ///
    /// # Errors
    /// What the file system says.
    pub fn note(&self, plugin: &str, wasm: &[u8], kept: Kept) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let file = self.file(&kept.digest);
        if !file.exists() {
            self.write(&file, wasm)?;
        }
        let mut versions = self.of(plugin);
        if versions.first().is_some_and(|last| last.digest == kept.digest) {
            return Ok(());
        }
        versions.insert(0, kept);
        let mut digests = BTreeSet::new();
        versions.retain(|kept| {
            digests.insert(kept.digest.clone());
            digests.len() <= PLUGIN_HISTORY
        });
        versions.truncate(2 * PLUGIN_HISTORY);
        let list = serde_json::to_vec_pretty(&versions).map_err(io::Error::other)?;
        self.write(&self.list(plugin), &list)?;
        self.sweep()
    }

    /// A version's bytes, checked against its digest.
    ///
    /// # Errors
    /// Where they aren't there any more, or aren't what they were.
    pub fn read(&self, digest: &str) -> Result<Vec<u8>, String> {
        let path = self.file(digest);
        let wrong = |why: String| format!("the version {digest} can't be read: {why}");
        let size = fs::metadata(&path).map_err(|error| wrong(error.to_string()))?.len();
        if size > PLUGIN_FILE_BYTES {
            return Err(wrong(format!("it has {size} bytes")));
        }
        let wasm = fs::read(&path).map_err(|error| wrong(error.to_string()))?;
        if digest::sha256(&wasm) == digest {
            return Ok(wasm);
        }
        Err(wrong(format!("{} was changed", path.display())))
    }

    /// Removes versions that no plugin's list names any more.
    fn sweep(&self) -> io::Result<()> {
        let mut named = BTreeSet::new();
        let mut versions = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("json") => {
                    named.extend(Self::read_list(&path).into_iter().map(|kept| kept.digest))
                }
                Some("wasm") => versions.push((stem.to_owned(), path.clone())),
                _ => {}
            }
        }
        for (digest, path) in versions {
            if !named.contains(&digest) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Writes a whole file or none.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let beside = path.with_extension("new");
        let mut file =
            OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(beside, path)
    }

    fn file(&self, digest: &str) -> PathBuf {
        self.folder.join(format!("{digest}.wasm"))
    }

    fn list(&self, plugin: &str) -> PathBuf {
        // A plugin's name is the operator's: whatever it holds, it stays one file in this folder.
        let safe = |c: char| {
            if c.is_ascii_alphanumeric() || c == '-' {
                c.to_string()
            } else {
                format!("_{:x}", u32::from(c))
            }
        };
        self.folder.join(format!("{}.json", plugin.chars().map(safe).collect::<String>()))
    }
}

#[cfg(test)]
mod tests;
