//! The SDK that this binary carries, gathered by `build/sdk.rs`.
//!
//! It is unpacked into a plugin's own folder, not into one that plugins share: the folder then builds in
//! CI and on a colleague's machine, where there is no sluicegate, and what it is built against changes
//! when its author says so.

mod table {
    include!(concat!(env!("OUT_DIR"), "/sdk.rs"));
}

use std::fs;
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::digest::hex;

/// The toolchain that this binary was built with.
#[must_use]
pub fn channel() -> &'static str {
    table::CHANNEL
}

/// The lock file's packages that a new plugin needs, to the versions that this binary was tested with.
#[must_use]
pub fn lock() -> &'static str {
    table::LOCK
}

/// Every file of the SDK: its path in the folder `sdk`, and what is in it.
#[must_use]
pub fn files() -> &'static [(&'static str, &'static str)] {
    &table::FILES
}

/// What tells this SDK from every other, in hexadecimal.
#[must_use]
pub fn digest() -> String {
    let mut digest = Sha256::new();
    for (path, content) in files() {
        digest.update((path.len() as u64).to_le_bytes());
        digest.update(path);
        digest.update((content.len() as u64).to_le_bytes());
        digest.update(content);
    }
    hex(&digest.finalize()[..8])
}

/// The file that says which SDK a folder has.
const STAMP: &str = "sluicegate-sdk.version";

/// Writes the SDK into a folder, which need not exist, in place of what was there of it.
///
/// # Errors
/// What the file system says.
pub fn unpack(folder: &Path) -> io::Result<()> {
    if folder.join(STAMP).is_file() {
        // Files that an older SDK had and this one doesn't would lead astray.
        for part in ["sluicegate-sdk", "wit", "docs"] {
            match fs::remove_dir_all(folder.join(part)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    for (path, content) in files() {
        let to = folder.join(path);
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(to, content)?;
    }
    let version = env!("CARGO_PKG_VERSION");
    fs::write(folder.join(STAMP), format!("sluicegate {version}, SDK {}\n", digest()))
}

/// Which SDK a folder has, where it isn't this one.
#[must_use]
pub fn other(folder: &Path) -> Option<String> {
    let stamp = fs::read_to_string(folder.join(STAMP)).ok()?;
    (!stamp.contains(&digest())).then(|| stamp.trim().to_owned())
}
