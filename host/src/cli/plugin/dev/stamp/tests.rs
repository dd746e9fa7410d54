#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn a_look_sees_what_is_written_added_and_taken_away_but_not_what_is_built() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir_all(path("src/deep")).unwrap();
    fs::create_dir_all(path("target")).unwrap();
    fs::write(path("Cargo.toml"), "x").unwrap();
    fs::write(path("src/deep/a.rs"), "x").unwrap();
    let look = || Stamp::of(folder.path());
    let first = look();
    assert_eq!(first.0.len(), 2);
    fs::write(path("target/out"), "x").unwrap();
    fs::write(path("src/.a.rs.swp"), "x").unwrap();
    assert_eq!(look(), first);
    fs::write(path("src/deep/a.rs"), "xy").unwrap();
    let second = look();
    assert_ne!(second, first);
    fs::write(path("src/b.rs"), "").unwrap();
    assert_ne!(look(), second);
    fs::remove_file(path("src/b.rs")).unwrap();
    assert_eq!(look(), second);
}
