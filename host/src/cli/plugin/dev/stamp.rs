//! What an author's folder holds at a look.
//!
//! It is looked at a few times a second: authors' folders are small, new files come and go, and a look works
//! on every file system.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::limits::DEV_FILES_MAX;

/// What the folder's files were at a look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp(Vec<(PathBuf, SystemTime, u64)>);

impl Stamp {
    /// What matters to the plugin: its sources, manifest, SDK and cases.
    pub(super) fn of(folder: &Path) -> Self {
        let mut stamp = Self::default();
        for part in ["Cargo.toml", "build.rs", "rust-toolchain.toml", "src", "cases", "sdk"] {
            stamp.add(&folder.join(part));
        }
        stamp.0.sort();
        stamp
    }

    fn add(&mut self, path: &Path) {
        let Ok(about) = fs::metadata(path) else { return };
        if about.is_file() {
            let modified = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            self.0.push((path.to_owned(), modified, about.len()));
            return;
        }
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            if self.0.len() >= DEV_FILES_MAX {
                return;
            }
            // What editors leave beside a file that is being written.
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            if !(hidden || is_link && entry.path().is_dir()) {
                self.add(&entry.path());
            }
        }
    }
}

#[cfg(test)]
mod tests;
