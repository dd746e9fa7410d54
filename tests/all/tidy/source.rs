//! The project's files, and Rust's text without its comments and literals.

use std::fs;
use std::path::{Path, PathBuf};

/// A text file of the project.
pub(crate) struct Source {
    /// From the project's root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// The text with comments and literals blanked, line for line.
    pub(crate) code: String,
}

impl Source {
    /// Where a byte of the text is: `path:line`.
    pub(crate) fn at(&self, byte: usize) -> String {
        format!("{}:{}", self.path, self.line(byte))
    }

    /// The line of a byte, from 1.
    pub(crate) fn line(&self, byte: usize) -> usize {
        self.text[..byte].matches('\n').count() + 1
    }

    /// Whether it is written in Rust.
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether it tests: the whole-system tests, a room's unit tests, and what only they use.
    pub(crate) fn is_test(&self) -> bool {
        self.path.starts_with("tests/")
            || self.path.ends_with("/tests.rs")
            || self.path.contains("/tests/")
            || self.path.ends_with("/fixture.rs")
    }

    /// Whether it is a plugin that behaves badly on purpose.
    pub(crate) fn is_hostile(&self) -> bool {
        self.path.starts_with("tests/guests/")
    }
}

/// The project's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every text file of the project, sorted.
pub(crate) fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    walk(&root(), &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn walk(folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if !matches!(name, ".git" | "target") {
                walk(&path, found);
            }
        } else if !matches!(name, ".git" | "Cargo.lock")
            && let Ok(text) = fs::read_to_string(&path)
        {
            let code = if name.ends_with(".rs") { code(&text) } else { text.clone() };
            let path = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            found.push(Source { path, text, code });
        }
    }
}

/// Rust's text with comments and literals blanked; bytes and lines stay where they are.
fn code(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = at + skipped(&bytes[at..], at.checked_sub(1).map(|before| bytes[before]));
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8(code).unwrap()
}

/// How many bytes of a comment or a literal start here.
fn skipped(rest: &[u8], before: Option<u8>) -> usize {
    let in_word = before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match rest {
        [b'/', b'/', ..] => rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => find(rest, b"*/"),
        [b'"', ..] => 1 + quoted(&rest[1..], b'"'),
        [b'r', b'"' | b'#', ..] if !in_word => raw(rest),
        [b'\'', b'\\', _, tail @ ..] => 3 + quoted(tail, b'\''),
        // Anything else with a quote is a lifetime.
        [b'\'', ..] => (2..=5).find(|&end| rest.get(end) == Some(&b'\'')).map_or(0, |end| {
            let one = std::str::from_utf8(&rest[1..end]).is_ok_and(|c| c.chars().count() == 1);
            if one { end + 1 } else { 0 }
        }),
        _ => 0,
    }
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 0;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

fn raw(rest: &[u8]) -> usize {
    let hashes = rest[1..].iter().take_while(|&&byte| byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    2 + hashes + find(&rest[2 + hashes..], &close)
}

/// The bytes up to the end of `what`.
fn find(rest: &[u8], what: &[u8]) -> usize {
    let start = rest.windows(what.len()).position(|window| window == what);
    start.map_or(rest.len(), |start| start + what.len())
}

#[test]
fn comments_and_literals_are_no_code() {
    let text = "a(\"}\\\"\", '}', '\\'', 'x: loop {}, r#\"{\"#, b\"{\"); // }\n/* { */ fn é() {}\n";
    let code = code(text);
    assert_eq!(code.len(), text.len());
    assert!(!code.contains(['"', '/', '#']) && code.contains("'x: loop"), "{code}");
    assert_eq!(code.matches('{').count(), 2, "{code}");
    assert_eq!(code.matches('}').count(), 2, "{code}");
    assert_eq!(code.lines().count(), 2);
}
