//! A plugin's file: what it must be before it is read, and the digest by which it is known.
//!
//! Whoever can write the file, or the folder that it is found in, decides what the host runs. So a file
//! that anybody may write is refused, and so is one that a link takes out of its folder. Links that stay
//! inside are fine: Kubernetes puts files into place by them.

use std::fs::{File, Metadata, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, StatVfsMountFlags};

const WORLD_WRITABLE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Reads a plugin's file of at most so many bytes.
///
/// # Errors
/// Why it can't be read, or mustn't be trusted, and what to do.
pub fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| format!("can't read {shown}: {error}");
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let folder = folder.canonicalize().map_err(unreadable)?;
    let real = path.canonicalize().map_err(unreadable)?;
    if !real.starts_with(&folder) {
        return Err(format!(
            "{shown} is a link to {}, out of its folder: name that file itself, or copy it",
            real.display()
        ));
    }
    // Not blocking, for opening a pipe that nobody writes to would wait.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(&real).map_err(unreadable)?;
    let meta = file.metadata().map_err(unreadable)?;
    if !meta.is_file() {
        return Err(format!("{shown} is no regular file; name a component's file"));
    }
    if meta.mode() & WORLD_WRITABLE != 0 {
        return Err(format!(
            "{shown} can be written by anybody: whoever does decides what runs here; chmod o-w {shown}"
        ));
    }
    check_folders(&real, &folder, &meta)?;
    bounded(file, meta.len(), bytes_max, path)
}

fn bounded(file: File, announced: u64, bytes_max: u64, path: &Path) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let too_large = |bytes: u64| {
        format!(
            "{shown} has {bytes} bytes where {bytes_max} are allowed; build it in release mode, \
             without debug information, or raise the plugin's limits.file"
        )
    };
    if announced > bytes_max {
        return Err(too_large(announced));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(announced).unwrap_or(0));
    // It may be growing while it is read.
    file.take(bytes_max.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| format!("can't read {shown}: {error}"))?;
    if bytes.len() as u64 > bytes_max {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(bytes)
}

/// Every folder from the file's own up to the configured one.
fn check_folders(real: &Path, folder: &Path, file: &Metadata) -> Result<(), String> {
    let folders = real.ancestors().skip(1).take_while(|it| it.starts_with(folder));
    for folder in folders.map(Path::to_path_buf) {
        let meta = folder
            .metadata()
            .map_err(|error| format!("can't look at {}: {error}", folder.display()))?;
        if meta.mode() & WORLD_WRITABLE == 0 || kept_safe(&folder, &meta, file) {
            continue;
        }
        return Err(format!(
            "its folder {0} can be written by anybody: whoever does decides what runs here; \
             chmod o-w {0}",
            folder.display()
        ));
    }
    Ok(())
}

/// Whether nobody but its owner can replace the file in a folder that anybody may write: the sticky
/// bit sees to that, or a mount that can't be written, as Kubernetes mounts its volumes.
fn kept_safe(folder: &PathBuf, meta: &Metadata, file: &Metadata) -> bool {
    let ours = [0, rustix::process::geteuid().as_raw()].contains(&file.uid());
    if meta.mode() & STICKY != 0 && ours {
        return true;
    }
    rustix::fs::statvfs(folder).is_ok_and(|it| it.f_flag.contains(StatVfsMountFlags::RDONLY))
}

#[cfg(test)]
mod tests;
