#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn only_components_of_libraries_are_taken_from_cargos_messages() {
    let artifact = |kind: &str, file: &str| {
        let target = json!({ "kind": [kind] });
        let message = json!({ "target": target, "filenames": [file, "a.d"] });
        components(&message.to_string())
    };
    assert_eq!(artifact("cdylib", "/t/plug.wasm"), [PathBuf::from("/t/plug.wasm")]);
    assert!(artifact("cdylib", "/t/libplug.so").is_empty());
    assert!(artifact("bin", "/t/plug.wasm").is_empty());
    assert!(components("Compiling plug").is_empty());
    let end = r#"{"reason":"build-finished","success":false}"#;
    assert!(components(end).is_empty() && finished(end));
    assert!(!finished("Compiling plug"));
}

#[test]
fn a_folder_without_a_crate_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let args = Args { folder: folder.path().to_owned(), offline: false, json: false };
    let error = run(&args).unwrap_err().to_string();
    assert!(
        error.starts_with("there is no ") && error.contains("sluicegate plugin new"),
        "{error}"
    );
}

#[test]
fn what_was_built_is_said_for_people_and_for_programs() {
    let description = Description {
        name: "plug".into(),
        version: "1.2.3".into(),
        sdk: "rust 0.1.0".into(),
        state_version: Some(4),
    };
    let file = PathBuf::from("/t/plug.wasm");
    let built = Built { file, bytes: 1500, digest: "ab12".into(), description };
    let text = built.text();
    assert!(
        text.contains("plugin  plug 1.2.3\n") && text.contains("state   version 4\n"),
        "{text}"
    );
    assert!(text.contains("size    2 KiB\n") && text.contains("sha256  ab12\n"), "{text}");
    assert_eq!(built.json()["state_version"], 4);
}
