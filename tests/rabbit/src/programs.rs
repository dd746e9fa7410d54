//! RabbitMQ's programs, and the shells that watch over them.

use std::env;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A script that watches its input, in a process group of its own: an interrupt at the terminal must
/// not end it before its work is done.
pub(super) fn shell(script: &str, folder: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", script])
        .env("NODE_DIR", folder)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// A program of RabbitMQ's. Debian's wrappers in `/usr/sbin` change the user, so they come last.
pub(super) fn find(program: &str, variable: &str) -> Option<PathBuf> {
    if let Some(path) = env::var_os(variable) {
        return Some(path.into());
    }
    if let Some(server) = env::var_os("SLUICEGATE_RABBITMQ_SERVER") {
        let beside = Path::new(&server).with_file_name(program);
        return beside.is_file().then_some(beside);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    std::iter::once(PathBuf::from("/usr/lib/rabbitmq/bin"))
        .chain(env::split_paths(&path))
        .chain(std::iter::once(PathBuf::from("/usr/sbin")))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}
