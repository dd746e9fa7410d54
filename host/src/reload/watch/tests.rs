#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::time::Duration;

use super::*;

const TEXT: Expected = Expected {
    bytes_max: 1 << 20,
    whole: |bytes| if bytes.ends_with(b".") { Ok(()) } else { Err("no full stop".to_owned()) },
};
/// Longer than any change may take on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

fn follow(watch: &Watch, path: &Path) -> Followed {
    let known = read(path, TEXT).ok().map(|(_, digest)| digest);
    watch.follow(path, known, TEXT)
}

async fn content(followed: &mut Followed) -> String {
    let seen = tokio::time::timeout(PATIENCE, followed.changed()).await.expect("in time").unwrap();
    match &*seen {
        Seen::Content { bytes, .. } => String::from_utf8(bytes.to_vec()).unwrap(),
        Seen::Trouble(why) => format!("trouble: {why}"),
    }
}

#[tokio::test]
async fn each_way_of_saving_is_seen_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugin");
    fs::write(&path, "old.").unwrap();
    let watch = Watch::start().unwrap();
    let mut followed = follow(&watch, &path);

    fs::write(&path, "in place.").unwrap();
    assert_eq!(content(&mut followed).await, "in place.");

    let beside = folder.path().join("plugin.tmp");
    fs::write(&beside, "renamed over.").unwrap();
    fs::rename(&beside, &path).unwrap();
    assert_eq!(content(&mut followed).await, "renamed over.");

    let mut file = File::create(&path).unwrap();
    file.write_all(b"truncated, ").unwrap();
    file.sync_all().unwrap();
    file.write_all(b"then written.").unwrap();
    drop(file);
    assert_eq!(content(&mut followed).await, "truncated, then written.");

    for text in ["a.", "bu.", "rst."] {
        fs::write(&path, text).unwrap();
    }
    fs::remove_file(&path).unwrap();
    fs::write(&path, "is one.").unwrap();
    assert_eq!(content(&mut followed).await, "is one.");
    assert!(!followed.changes.has_changed().unwrap());
}

/// As Kubernetes lays a ConfigMap out: files are links through `..data`, which is a link that is
/// swapped.
#[tokio::test]
async fn a_link_that_is_swapped_on_the_way_is_a_change() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (stamp, text) in [("..one", "one."), ("..two", "two.")] {
        fs::create_dir(at(stamp)).unwrap();
        fs::write(at(stamp).join("plugin"), text).unwrap();
    }
    symlink("..one", at("..data")).unwrap();
    symlink("..data/plugin", at("plugin")).unwrap();
    let watch = Watch::start().unwrap();
    let mut followed = follow(&watch, &at("plugin"));
    symlink("..two", at("..data_tmp")).unwrap();
    fs::rename(at("..data_tmp"), at("..data")).unwrap();
    assert_eq!(content(&mut followed).await, "two.");
}

#[tokio::test]
async fn a_folder_that_is_replaced_is_followed_on() {
    let folder = tempfile::tempdir().unwrap();
    let plugins = folder.path().join("plugins");
    let path = plugins.join("plugin");
    fs::create_dir(&plugins).unwrap();
    fs::write(&path, "old.").unwrap();
    let watch = Watch::start().unwrap();
    let mut followed = follow(&watch, &path);
    for text in ["new.", "newer."] {
        fs::rename(&plugins, folder.path().join(format!("before {text}"))).unwrap();
        fs::create_dir(&plugins).unwrap();
        fs::write(&path, text).unwrap();
        assert_eq!(content(&mut followed).await, text);
    }
}

#[tokio::test]
async fn what_changed_before_it_was_followed_is_told_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugin");
    fs::write(&path, "new.").unwrap();
    let watch = Watch::start().unwrap();
    let mut followed = watch.follow(&path, Some("of another".to_owned()), TEXT);
    assert_eq!(content(&mut followed).await, "new.");
}

#[tokio::test]
async fn without_events_a_poll_finds_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugin");
    fs::write(&path, "old.").unwrap();
    let (asks, inbox) = sync_channel(4);
    let alive = Arc::new(());
    let looker = Looker {
        asks: inbox,
        alive: Arc::downgrade(&alive),
        follows: Vec::new(),
        events: None,
        folders: HashMap::new(),
    };
    let thread = thread::spawn(move || looker.run());
    let watch = Watch { asks, _alive: alive };
    let mut followed = follow(&watch, &path);
    fs::write(&path, "new.").unwrap();
    assert_eq!(content(&mut followed).await, "new.");
    drop((followed, watch));
    thread.join().unwrap();
}

#[test]
fn what_is_too_large_or_no_file_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugin");
    fs::write(&path, "four").unwrap();
    let small = Expected { bytes_max: 3, ..TEXT };
    let text = read(&path, small).unwrap_err().to_string();
    assert_eq!(text, "it has 4 bytes where 3 are allowed");
    assert_eq!(read(folder.path(), TEXT).unwrap_err().to_string(), "it is no regular file");
}
