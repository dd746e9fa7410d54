//! Configs as people write them, good and bad: what is said about each is in `golden/config`.
//!
//! `UPDATE_GOLDEN=1 cargo test …` writes what is said now; read the difference before committing it.

use std::fs;
use std::path::{Path, PathBuf};

use sluicegate::config;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/config")
}

/// Every config in the folder, with its name.
fn configs() -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = fs::read_dir(golden())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "toml"))
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    found.sort();
    found
}

/// What is said about a config.
fn said(name: &str, text: &str) -> String {
    match config::parse(text, Path::new(name)) {
        Ok((config, warnings)) => {
            let said = config::render_all(&warnings, text, false);
            format!("{said}good, {} warnings\n\n{config:#?}\n", warnings.len())
        }
        Err(problems) => {
            let said = config::render_all(&problems, text, false);
            format!("{said}bad, {} problems\n", problems.len())
        }
    }
}

#[test]
fn every_config_is_answered_as_its_golden_file_says() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut differences = Vec::new();
    for (name, text) in configs() {
        let file = golden().join(&name).with_extension("txt");
        let now = said(&name, &text);
        if update {
            fs::write(file, now).unwrap();
        } else if fs::read_to_string(&file).unwrap_or_default() != now {
            differences.push(format!("=== {name}\n{now}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn no_golden_answer_holds_a_secret() {
    for (name, text) in configs() {
        let said = said(&name, &text);
        assert!(!said.contains("hunter"), "{name}: {said}");
    }
}
