//! A disk that fills up.

use std::path::PathBuf;
use std::process::Command;

/// A state folder on a disk of its own, where this machine lets one be mounted.
pub(super) struct Disk {
    folder: PathBuf,
    mib: usize,
    mounted: bool,
}

impl Disk {
    /// One of so many MiB there.
    pub(super) fn at(folder: PathBuf, mib: usize) -> Self {
        std::fs::create_dir_all(&folder).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"]).arg(&folder);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        Self { folder, mib, mounted }
    }

    /// No room; elsewhere than on a disk of its own, no folder.
    pub(super) fn fill(&self) {
        if self.mounted {
            let written = std::fs::write(self.folder.join("filler"), vec![1; self.mib << 21]);
            assert!(written.is_err(), "the disk is larger than thought");
        } else {
            std::fs::rename(&self.folder, self.folder.with_extension("away")).unwrap();
            std::fs::write(&self.folder, b"in the way").unwrap();
        }
    }

    /// Room again.
    pub(super) fn clear(&self) {
        if self.mounted {
            std::fs::remove_file(self.folder.join("filler")).unwrap();
        } else {
            std::fs::remove_file(&self.folder).unwrap();
            std::fs::rename(self.folder.with_extension("away"), &self.folder).unwrap();
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            let _status = Command::new("umount").arg("-l").arg(&self.folder).status();
        }
    }
}
