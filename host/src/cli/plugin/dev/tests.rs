#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn a_file_is_replaced_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
    fs::write(&from, "new").unwrap();
    fs::write(&to, "old").unwrap();
    replace(&from, &to).unwrap();
    assert_eq!(fs::read_to_string(&to).unwrap(), "new");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn a_plugin_is_called_as_its_crate_is() {
    let folder = tempfile::tempdir().unwrap();
    let error = name_of(folder.path()).unwrap_err().to_string();
    assert!(error.contains("there is no") && error.contains("sluicegate plugin new"), "{error}");
    let manifest = folder.path().join("Cargo.toml");
    fs::write(&manifest, "[workspace]\n").unwrap();
    assert!(name_of(folder.path()).unwrap_err().to_string().contains("a plugin's own folder"));
    fs::write(&manifest, "[package]\nname = \"too-hot\"\n").unwrap();
    assert_eq!(name_of(folder.path()).unwrap(), "too-hot");
}
