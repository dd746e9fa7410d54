#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn names_that_a_crate_can_have_are_taken() {
    for good in ["a", "too-hot", "x2"] {
        assert!(is_name(good), "{good}");
    }
    for bad in ["", "Too", "2x", "a_b", "a/b", "..", "-a", "a-", "a--b", "ä"] {
        assert!(!is_name(bad), "{bad}");
    }
    let folder = tempfile::tempdir().unwrap();
    let made = |name| create(&folder.path().join("x"), name, Template::Stateless);
    for reserved in ["test", "serde"] {
        assert!(matches!(made(reserved), Err(NewError::Reserved(_))), "{reserved}");
    }
    assert!(matches!(made("a_b"), Err(NewError::Name(_))));
}

#[test]
fn a_folder_is_made_whole_and_never_over_another() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("too-hot");
    create(&to, "too-hot", Template::Stateful).unwrap();
    let read = |path: &str| fs::read_to_string(to.join(path)).unwrap();
    assert!(read("src/lib.rs").contains("impl Plugin for TooHot"));
    assert!(read("README.md").contains("too_hot.wasm"));
    let all = [Template::Stateless, Template::Stateful, Template::Timer];
    for (path, text) in all.into_iter().flat_map(|template| files("too-hot", template)) {
        for left in ["PLUGIN", "PluginType", "CHANNEL", "VERSION"] {
            assert!(!text.contains(left), "{path} still has {left}");
        }
    }
    let manifest: toml::Table = read("sdk/sluicegate-sdk/Cargo.toml").parse().unwrap();
    assert!(!read("sdk/sluicegate-sdk/Cargo.toml").contains("workspace"));
    assert_eq!(manifest["package"]["version"].as_str(), Some(env!("CARGO_PKG_VERSION")));
    assert!(read("sdk/wit/v0.1/plugin.wit").starts_with("package sluicegate:plugin"));
    let taken = create(&to, "too-hot", Template::Stateful).unwrap_err().to_string();
    assert!(taken.contains("--dir"), "{taken}");
}

#[test]
fn the_lock_file_has_all_that_is_needed_and_nothing_twice() {
    let lock: toml::Table = lock("too-hot").parse().unwrap();
    let packages = lock["package"].as_array().unwrap();
    let names: Vec<&str> = packages.iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert!(names.is_sorted() && names.contains(&"too-hot"), "{names:?}");
    assert!(names.len() < 80 && !names.contains(&"wasmtime"), "{names:?}");
    for package in packages {
        for need in
            package.get("dependencies").and_then(toml::Value::as_array).into_iter().flatten()
        {
            let need = need.as_str().unwrap().split(' ').next().unwrap();
            let missing = !names.contains(&need);
            // The SDK's tests may need more than the SDK.
            assert!(!missing || package["name"].as_str() == Some("sluicegate-sdk"), "{need}");
        }
    }
}

#[test]
fn an_sdk_of_another_version_is_noticed_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("sdk");
    assert_eq!(sdk::other(&to), None);
    sdk::unpack(&to).unwrap();
    assert_eq!(sdk::other(&to), None);
    fs::write(to.join("sluicegate-sdk.version"), "sluicegate 0.0.9, SDK 00\n").unwrap();
    fs::write(to.join("sluicegate-sdk/src/old.rs"), "").unwrap();
    assert_eq!(sdk::other(&to).as_deref(), Some("sluicegate 0.0.9, SDK 00"));
    sdk::unpack(&to).unwrap();
    assert_eq!(sdk::other(&to), None);
    assert!(!to.join("sluicegate-sdk/src/old.rs").exists());
}
