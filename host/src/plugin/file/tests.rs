#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::*;

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[track_caller]
fn refused(path: &Path, why: &str) {
    let error = read(path, 100).unwrap_err();
    assert!(error.contains(why), "'{error}' doesn't say '{why}'");
}

#[test]
fn a_file_of_ours_is_read_and_known_by_its_digest() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p.wasm");
    fs::write(&file, b"abc").unwrap();
    assert_eq!(read(&file, 3).unwrap(), b"abc");
    assert_eq!(crate::digest::sha256(b"abc")[..8], *"ba7816bf");
}

#[test]
fn links_may_not_leave_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let (secret, link) = (outside.path().join("p.wasm"), folder.path().join("p.wasm"));
    fs::write(&secret, b"abc").unwrap();
    symlink(&secret, &link).unwrap();
    refused(&link, "out of its folder");
    fs::remove_file(&link).unwrap();
    symlink(outside.path(), folder.path().join("inner")).unwrap();
    symlink("inner/p.wasm", &link).unwrap();
    refused(&link, "out of its folder");
}

#[test]
fn links_as_kubernetes_makes_them_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("..2026_11_22");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("p.wasm"), b"abc").unwrap();
    symlink("..2026_11_22", folder.path().join("..data")).unwrap();
    symlink("..data/p.wasm", folder.path().join("p.wasm")).unwrap();
    assert_eq!(read(&folder.path().join("p.wasm"), 100).unwrap(), b"abc");
}

#[test]
fn what_anybody_may_write_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p.wasm");
    fs::write(&file, b"abc").unwrap();
    chmod(&file, 0o666);
    refused(&file, "can be written by anybody");
    chmod(&file, 0o664);
    chmod(folder.path(), 0o777);
    refused(&file, "its folder");
    chmod(folder.path(), 0o1777);
    assert!(read(&file, 100).is_ok(), "the sticky bit keeps others from replacing it");
    chmod(folder.path(), 0o775);
    assert!(read(&file, 100).is_ok());
}

#[test]
fn a_folder_inside_that_anybody_may_write_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    fs::write(inner.join("p.wasm"), b"abc").unwrap();
    chmod(&inner, 0o777);
    symlink("inner/p.wasm", folder.path().join("p.wasm")).unwrap();
    refused(&folder.path().join("p.wasm"), "its folder");
}

#[test]
fn what_is_no_file_is_refused_without_waiting() {
    let folder = tempfile::tempdir().unwrap();
    refused(folder.path(), "no regular file");
    let pipe = folder.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
    refused(&pipe, "no regular file");
    refused(&folder.path().join("none.wasm"), "can't read");
}

#[test]
fn a_file_that_is_too_large_is_refused_with_both_sizes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p.wasm");
    fs::write(&file, [0; 101]).unwrap();
    refused(&file, "has 101 bytes where 100 are allowed");
}
