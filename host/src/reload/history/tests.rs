#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn note(history: &History, plugin: &str, wasm: &str) -> String {
    let digest = digest::sha256(wasm.as_bytes());
    let kept = Kept {
        digest: digest.clone(),
        version: wasm.to_owned(),
        since: 0,
        by: "reload".to_owned(),
    };
    history.note(plugin, wasm.as_bytes(), kept).unwrap();
    digest
}

fn versions(history: &History, plugin: &str) -> Vec<String> {
    history.of(plugin).into_iter().map(|kept| kept.version).collect()
}

#[test]
fn the_last_versions_are_kept_with_their_bytes_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let history = History::new(folder.path().join("plugins"));
    assert!(history.of("p").is_empty());
    let digests: Vec<String> =
        (0..=PLUGIN_HISTORY).map(|n| note(&history, "p", &format!("v{n}"))).collect();
    let kept = versions(&history, "p");
    assert_eq!(kept.len(), PLUGIN_HISTORY);
    assert_eq!(kept[0], format!("v{PLUGIN_HISTORY}"));
    assert!(history.read(&digests[0]).is_err());
    assert_eq!(history.read(&digests[1]).unwrap(), b"v1");
    let mode = fs::metadata(history.file(&digests[1])).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_serves_again_is_noted_again_and_what_goes_on_isnt() {
    let folder = tempfile::tempdir().unwrap();
    let history = History::new(folder.path().to_owned());
    for version in ["a", "b", "b", "a"] {
        note(&history, "p", version);
    }
    assert_eq!(versions(&history, "p"), ["a", "b", "a"]);
}

#[test]
fn plugins_share_versions_and_keep_each_others_whatever_they_are_called() {
    let folder = tempfile::tempdir().unwrap();
    let history = History::new(folder.path().to_owned());
    let shared = note(&history, "../p.x", "shared");
    for n in 0..=PLUGIN_HISTORY {
        note(&history, "q", &format!("v{n}"));
    }
    assert_eq!(history.read(&shared).unwrap(), b"shared");
    assert_eq!(versions(&history, "../p.x"), ["shared"]);
}

#[test]
fn bytes_that_were_changed_arent_served() {
    let folder = tempfile::tempdir().unwrap();
    let history = History::new(folder.path().to_owned());
    let digest = note(&history, "p", "good");
    fs::write(history.file(&digest), "evil").unwrap();
    assert!(history.read(&digest).unwrap_err().contains("was changed"));
    fs::write(history.list("p"), "{not json").unwrap();
    assert!(history.of("p").is_empty());
}
