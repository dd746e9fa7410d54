//! The bugs that `cargo xtask planted` plants still fit the code that they are planted into.

use std::path::Path;

use crate::tidy::source::root;

/// What a patch says of one place: the file, and the lines that must be there.
struct Hunk {
    file: String,
    before: Vec<String>,
}

fn hunks(patch: &str) -> Vec<Hunk> {
    let mut hunks: Vec<Hunk> = Vec::new();
    let mut file = String::new();
    for line in patch.lines() {
        if let Some(path) = line.strip_prefix("--- a/") {
            file = path.to_owned();
        } else if line.starts_with("@@ ") {
            hunks.push(Hunk { file: file.clone(), before: Vec::new() });
        } else if let Some(hunk) = hunks.last_mut()
            && let Some(kept) = line.strip_prefix([' ', '-'])
            && !line.starts_with("---")
        {
            hunk.before.push(kept.to_owned());
        }
    }
    hunks
}

fn fits(hunk: &Hunk, root: &Path) -> bool {
    let Ok(text) = std::fs::read_to_string(root.join(&hunk.file)) else { return false };
    let lines: Vec<&str> = text.lines().collect();
    let fits = |lines: &[&str]| lines.iter().zip(&hunk.before).all(|(line, old)| line == old);
    lines.windows(hunk.before.len()).filter(|lines| fits(lines)).count() == 1
}

#[test]
fn every_planted_bug_still_applies_and_says_what_it_breaks() {
    let root = root();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root.join("tests/planted")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let patch = std::fs::read_to_string(&path).unwrap();
        let told = patch.lines().next().unwrap_or_default();
        assert!(told.ends_with('.') && !told.starts_with("diff"), "{name}: what does it break?");
        let hunks = hunks(&patch);
        assert!(!hunks.is_empty(), "{name} changes nothing");
        for hunk in hunks {
            assert!(
                fits(&hunk, &root),
                "{name} doesn't fit {} any more: plant it again by hand and take the diff",
                hunk.file
            );
        }
        names.push(name);
    }
    assert!(names.len() >= 8, "{names:?}");
}
