//! The house's own rules, held against every file. A test fails with all violations at once.

pub(crate) mod source;

use std::collections::{BTreeMap, BTreeSet};

use sluicegate::verdict::FailureClass;

use source::{Source, root, sources};

const FILE_LINES: usize = 400;
const FUNCTION_LINES: usize = 70;

/// Fails with every violation.
fn assert_none(what: &str, violations: &[String]) {
    assert!(violations.is_empty(), "{what}:\n  {}", violations.join("\n  "));
}

/// Rust's own files, bad guests apart.
fn rust() -> Vec<Source> {
    sources().into_iter().filter(|source| source.is_rust() && !source.is_hostile()).collect()
}

/// Places where a word stands in the code.
fn places<'a>(source: &'a Source, text: &'a str, word: &'a str) -> impl Iterator<Item = String> {
    let is_word = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    text.match_indices(word).filter_map(move |(at, _)| {
        let bytes = text.as_bytes();
        let inside = at > 0 && is_word(bytes.get(at - 1)) && is_word(bytes.get(at));
        let longer = is_word(bytes.get(at + word.len() - 1)) && is_word(bytes.get(at + word.len()));
        (!inside && !longer).then(|| format!("{}: {word}", source.at(at)))
    })
}

// === The floors ===

/// Room → floor, as the table at the top of `host/src/lib.rs` says.
fn floors() -> BTreeMap<String, usize> {
    let text = std::fs::read_to_string(root().join("host/src/lib.rs")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | ")?.split(" | ").next());
    let rows = rows.filter(|rooms| rooms.starts_with('['));
    let mut floors = BTreeMap::new();
    for (floor, rooms) in rows.enumerate() {
        for room in rooms.split(", ") {
            floors.insert(room.trim_matches(['[', ']', '`']).to_owned(), floor);
        }
    }
    floors
}

/// The room that a file of the host belongs to.
fn room(source: &Source) -> Option<&str> {
    let path = source.path.strip_prefix("host/src/")?;
    path.split(['/', '.']).next().filter(|room| !matches!(*room, "main" | "lib"))
}

/// The rooms that code names behind `crate::`, with where.
fn imports(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    for (at, start) in source.code.match_indices("crate::") {
        let rest = &source.code[at + start.len()..];
        if !rest.starts_with('{') {
            found.push((at, name(rest)));
            continue;
        }
        let mut depth = 0;
        for (offset, c) in rest.char_indices() {
            depth += i32::from(c == '{') - i32::from(c == '}');
            if depth == 0 {
                break;
            }
            if depth == 1 && matches!(c, '{' | ',') {
                found.push((at, name(&rest[offset + 1..])));
            }
        }
    }
    found.retain(|(_, name)| !name.is_empty());
    found
}

#[test]
fn every_room_stands_on_a_floor_and_nothing_else_does() {
    let rooms: BTreeSet<String> =
        rust().iter().filter_map(|source| room(source).map(str::to_owned)).collect();
    let floors: BTreeSet<String> = floors().into_keys().collect();
    assert_eq!(rooms, floors, "the rooms in host/src, and those in the table of its lib.rs");
}

#[test]
fn imports_point_down() {
    let floors = floors();
    let mut violations = Vec::new();
    for source in rust().iter().filter(|source| !source.is_test()) {
        let Some(from) = room(source) else { continue };
        for (at, to) in imports(source) {
            let Some(floor) = floors.get(&to) else { continue };
            if to != from && *floor >= floors[from] {
                violations.push(format!("{}: {from} uses {to}", source.at(at)));
            }
        }
    }
    assert_none("imports that don't point down", &violations);
}

#[test]
fn lapin_wasmtime_redb_and_notify_are_known_in_one_room_each() {
    let homes = [
        ("lapin", "host/src/broker/amqp"),
        ("mqtt_protocol_core", "host/src/broker/mqtt/wire"),
        ("wasmtime", "host/src/plugin"),
        ("redb", "host/src/state/embedded"),
        ("use notify", "host/src/reload/watch"),
        ("recommended_watcher", "host/src/reload/watch"),
    ];
    let mut violations = Vec::new();
    for source in rust().iter().filter(|source| source.path.starts_with("host/src/")) {
        for (name, home) in homes {
            let at_home =
                source.path.strip_prefix(home).is_some_and(|it| it.starts_with(['/', '.']));
            if !at_home {
                violations.extend(places(source, &source.code, name));
            }
        }
    }
    assert_none("crates that left their rooms", &violations);
}

// === Files and functions ===

#[test]
fn files_have_a_story_a_telling_name_and_an_end() {
    let mut violations = Vec::new();
    for source in sources().iter().filter(|source| source.is_rust()) {
        let name = source.path.rsplit('/').next().unwrap_or_default();
        let stem = name.trim_end_matches(".rs");
        if matches!(
            stem,
            "mod" | "util" | "utils" | "common" | "helper" | "helpers" | "misc" | "manager"
        ) {
            violations.push(format!("{}: a name that says nothing", source.path));
        }
        if stem != "tests" && !source.text.starts_with("//!") {
            violations.push(format!("{}:1: no `//!` that says what it is", source.path));
        }
        let lines = source.text.lines().count();
        if lines > FILE_LINES {
            violations.push(format!("{}: {lines} lines, more than {FILE_LINES}", source.path));
        }
    }
    assert_none("files", &violations);
}

/// Name, place and lines of each function with a body.
fn functions(source: &Source) -> Vec<(String, usize, usize)> {
    let code = &source.code;
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let mut depth = 0;
        for (offset, c) in code[at..].char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            // `;` inside brackets is an array's, of a parameter.
            let declared = c == ';' && depth == 0 && !in_brackets(&code[at..at + offset]);
            if declared || (c == '}' && depth <= 0) {
                if !declared {
                    let name = code[at + 3..].split(['(', '<']).next().unwrap_or_default();
                    let lines = code[at..at + offset].matches('\n').count() + 1;
                    found.push((name.trim().to_owned(), at, lines));
                }
                break;
            }
        }
    }
    found
}

fn in_brackets(code: &str) -> bool {
    code.matches('[').count() > code.matches(']').count()
}

#[test]
fn functions_fit_on_a_page() {
    let mut violations = Vec::new();
    for source in rust().iter().filter(|source| !source.is_test()) {
        for (name, at, lines) in functions(source) {
            if lines > FUNCTION_LINES {
                let place = source.at(at);
                violations
                    .push(format!("{place}: {name}: {lines} lines, more than {FUNCTION_LINES}"));
            }
        }
    }
    assert_none("functions", &violations);
}

// === Words that stand for what isn't done ===

#[test]
fn nothing_is_left_for_later() {
    let words = ["todo", "unimplemented"].map(|word| format!("{word}!("));
    let marks =
        [["FIX", "ME"], ["XX", "X"], ["TO", "DO"], ["HA", "CK"]].map(|halves| halves.concat());
    let mut violations = Vec::new();
    for source in sources() {
        for word in words.iter().filter(|_| source.is_rust()) {
            violations.extend(places(&source, &source.code, word));
        }
        for mark in &marks {
            violations.extend(places(&source, &source.text, mark));
        }
    }
    assert_none("left for later", &violations);
}

/// Another program's state can only be asked for again, after a while and within a bound.
fn polls_another_program(source: &Source, at: usize) -> bool {
    let outside = [
        "tests/all/rabbit",
        "tests/all/mosquitto",
        "tests/rabbit",
        "tests/all/service",
        "tests/bench",
    ];
    outside.iter().any(|path| source.path.starts_with(path))
        && source.code[at..].starts_with("sleep(POLL)")
}

/// On a paused clock time passes only by being slept through, and takes none.
fn passes_paused_time(source: &Source, at: usize) -> bool {
    source.path.starts_with("host/src/service/tests/schedule/")
        && source.code[at..].starts_with("sleep(")
}

#[test]
fn no_test_sleeps_or_is_ignored() {
    let mut violations = Vec::new();
    for source in rust().iter().filter(|source| source.is_test()) {
        for word in ["sleep(", "#[ignore"] {
            let found = source.code.match_indices(word).map(|(at, _)| at);
            let found = found.filter(|&at| {
                !polls_another_program(source, at) && !passes_paused_time(source, at)
            });
            violations.extend(found.map(|at| format!("{}: {word}", source.at(at))));
        }
    }
    assert_none("tests that sleep, or don't run", &violations);
}

#[test]
fn names_of_tests_are_sentences() {
    let mut violations = Vec::new();
    for source in rust() {
        for (name, at, _) in functions(&source) {
            let attribute = source.code[..at].trim_end().trim_end_matches("async").trim_end();
            let attribute = attribute.rsplit("#[").next().unwrap_or_default();
            let is_test = attribute.ends_with(']')
                && (attribute == "test]" || attribute.starts_with("tokio::test"));
            if is_test && !name.starts_with('$') && name.matches('_').count() < 2 {
                violations.push(format!("{}: {name}", source.at(at)));
            }
        }
    }
    assert_none("tests whose names say too little", &violations);
}

#[test]
fn no_file_knows_the_machine_that_it_was_written_on() {
    let folders =
        [["/ho", "me/"], ["/ro", "ot/"], ["/Us", "ers/"], ["/wo", "rk/"], ["/tmp", "/wt"]];
    let folders = folders.map(|halves| halves.concat());
    let mut violations = Vec::new();
    for source in sources() {
        for folder in &folders {
            for (at, _) in source.text.match_indices(folder.as_str()) {
                violations.push(format!("{}: {folder}", source.at(at)));
            }
        }
    }
    assert_none("paths of one machine", &violations);
}

// === What must be written down ===

#[test]
fn every_limit_is_explained_and_used() {
    const START: &str = "\npub const ";
    let rust = rust();
    let mut violations = Vec::new();
    let limits = rust.iter().filter(|source| source.path.starts_with("host/src/limits"));
    let all =
        limits.flat_map(|limits| limits.text.match_indices(START).map(move |at| (limits, at.0)));
    for (limits, at) in all {
        let name = limits.text[at + START.len()..].split(':').next().unwrap();
        let before = limits.text[..at].rsplit('\n').next().unwrap_or_default();
        if !before.starts_with("///") {
            violations.push(format!("{}: {name} has no explanation", limits.at(at + 1)));
        }
        let used = rust.iter().filter(|source| source.path.starts_with("host/src/"));
        if used.flat_map(|source| places(source, &source.code, name)).count() < 2 {
            violations.push(format!("{}: {name} limits nothing", limits.at(at + 1)));
        }
    }
    assert_none("limits", &violations);
}

#[test]
fn every_class_of_failure_is_documented() {
    let docs = std::fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let missing = FailureClass::ALL.iter().map(|class| format!("`retry.attempts.{class}`"));
    let missing: Vec<String> = missing.filter(|key| !docs.contains(key.as_str())).collect();
    assert_none("classes that docs/configuration.md doesn't know", &missing);
}

#[test]
fn no_build_for_users_has_fault_points() {
    let manifests = ["Cargo.toml", "host/Cargo.toml", "plugin-sdk/Cargo.toml", "xtask/Cargo.toml"];
    for manifest in manifests {
        let text = std::fs::read_to_string(root().join(manifest)).unwrap();
        let own: Vec<&str> = text.lines().filter(|line| line.contains("fault-points")).collect();
        let declared = if manifest == "host/Cargo.toml" { 1 } else { 0 };
        assert_eq!(own.len(), declared, "{manifest}: {own:?}");
        assert!(!text.contains("default = ["), "{manifest} has default features");
    }
    // As cargo itself resolves what it builds when nobody names the tests.
    let features = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--edges", "normal", "--prefix", "none"])
        .args(["--package", "sluicegate", "--format", "{p} [{f}]", "--depth", "0"])
        .current_dir(root())
        .output()
        .unwrap();
    let features = String::from_utf8(features.stdout).unwrap();
    assert!(features.starts_with("sluicegate v") && features.trim().ends_with("[]"), "{features}");
}

// === The contract ===

#[test]
fn the_contract_of_plugins_is_frozen() {
    // FNV-1a: what was released is what plugins were built against.
    let hash = |bytes: &[u8]| {
        bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
    };
    let frozen = [("plugin.wit", 0x2f9c_39a8_9ffb_7f80), ("LAYOUT.md", 0x62b3_e8d9_ebe6_9099)];
    for (name, known) in frozen {
        let bytes = std::fs::read(root().join("wit/v0.1").join(name)).unwrap();
        let now = hash(&bytes);
        assert_eq!(now, known, "wit/v0.1/{name} is frozen ({now:#x}); wishes go to wit/PENDING.md");
    }
}
