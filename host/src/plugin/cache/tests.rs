#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::os::unix::fs::symlink;

use super::*;

#[track_caller]
fn refused(dir: &Path, why: &str) {
    let error = own(dir).unwrap_err().to_string();
    assert!(error.contains(why) && error.contains("cache_dir"), "'{error}' doesn't say '{why}'");
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_cache_is_made_for_its_user_alone() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("a/b");
    own(&dir).unwrap();
    assert_eq!(dir.metadata().unwrap().mode() & 0o777, 0o700);
    chmod(&dir, 0o755);
    own(&dir).unwrap();
    assert_eq!(dir.metadata().unwrap().mode() & 0o777, 0o700, "others needn't read it");
}

#[test]
fn a_cache_that_others_could_have_written_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("cache");
    fs::create_dir(&dir).unwrap();
    chmod(&dir, 0o720);
    refused(&dir, "others may write");
    chmod(&dir, 0o702);
    refused(&dir, "others may write");
}

#[test]
fn a_cache_that_anybody_could_put_another_in_the_place_of_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let above = folder.path().join("above");
    let dir = above.join("between/cache");
    own(&dir).unwrap();
    chmod(&above, 0o777);
    refused(&dir, "anybody may put another folder in its place");
    chmod(&above, 0o1777);
    own(&dir).unwrap();
}

#[test]
fn a_link_a_file_and_another_users_folder_are_no_cache() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, link) = (folder.path().join("cache"), folder.path().join("link"));
    fs::create_dir(&dir).unwrap();
    symlink(&dir, &link).unwrap();
    refused(&link, "it is a link");
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    refused(&file, "can't be used");
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&dir, Some(12345), None).unwrap();
        refused(&dir, "belongs to user 12345");
    }
}

#[test]
fn a_private_cache_goes_with_its_owner() {
    let private = Private::new().unwrap();
    let dir = private.dir().to_owned();
    fs::create_dir(dir.join("modules")).unwrap();
    private.empty();
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
    drop(private);
    assert!(!dir.exists());
}
