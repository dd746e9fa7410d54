//! Gathers what `sluicegate plugin new` unpacks: the SDK's sources with a manifest that needs no
//! workspace, the contract, the guide, and the versions of what the SDK depends on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders and files of the workspace, and what they are called where they are unpacked. The SDK finds
/// `../wit` and `../../docs` from where it is, as it does here.
const CARRIED: [(&str, &str); 6] = [
    ("plugin-sdk/src", "sluicegate-sdk/src"),
    ("wit/v0.1", "wit/v0.1"),
    ("docs/plugins.md", "docs/plugins.md"),
    ("docs/timers.md", "docs/timers.md"),
    ("LICENSE-APACHE", "LICENSE-APACHE"),
    ("LICENSE-MIT", "LICENSE-MIT"),
];

/// What a new plugin depends on besides the SDK.
const BESIDE: [&str; 2] = ["serde", "serde_json"];

/// Writes the table of files as `sdk.rs` into the output folder.
pub(super) fn write(workspace: &Path, out: &Path) {
    for (from, _) in CARRIED {
        println!("cargo::rerun-if-changed={}", workspace.join(from).display());
    }
    println!("cargo::rerun-if-changed={}", workspace.join("rust-toolchain.toml").display());
    println!("cargo::rerun-if-changed=build/sdk.rs");
    let read = |name: &str| {
        let path = workspace.join(name);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("can't read {}: {e}", path.display()))
    };
    let manifest = manifest(&read("plugin-sdk/Cargo.toml"), &read("Cargo.toml"));
    let mut files = BTreeMap::new();
    for (from, to) in CARRIED {
        gather(&workspace.join(from), to, &mut files);
    }
    let mut code = String::from("/// Path and content of every file of the SDK.\n");
    let count = files.len() + 1;
    writeln!(code, "pub(super) static FILES: [(&str, &str); {count}] = [").expect("a string");
    writeln!(code, "    (\"sluicegate-sdk/Cargo.toml\", {manifest:?}),").expect("a string");
    for (to, from) in &files {
        writeln!(code, "    ({to:?}, include_str!({from:?})),").expect("a string");
    }
    code.push_str("];\n");
    let lock = fs::read_to_string(workspace.join("Cargo.lock")).unwrap_or_default();
    let lock = lock_of(&lock, &manifest);
    writeln!(code, "/// What a new plugin depends on, to the version.").expect("a string");
    writeln!(code, "pub(super) static LOCK: &str = {lock:?};").expect("a string");
    let toolchain = read("rust-toolchain.toml");
    let channel = value(&toolchain, "channel").unwrap_or_else(|| "\"stable\"".to_owned());
    writeln!(code, "/// The toolchain that this binary was built with.").expect("a string");
    writeln!(code, "pub(super) static CHANNEL: &str = {channel};").expect("a string");
    fs::write(out.join("sdk.rs"), code).expect("the output folder is writable");
}

fn gather(from: &Path, to: &str, files: &mut BTreeMap<String, PathBuf>) {
    if from.is_file() {
        files.insert(to.to_owned(), from.to_owned());
        return;
    }
    let entries =
        fs::read_dir(from).unwrap_or_else(|e| panic!("can't read {}: {e}", from.display()));
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            gather(&path, &format!("{to}/{name}"), files);
        }
    }
}

/// The SDK's manifest, with what it inherits from the workspace written out, without lints and tests.
fn manifest(sdk: &str, workspace: &str) -> String {
    let (mut manifest, mut section) = (String::new(), String::new());
    for line in sdk.lines() {
        if line.starts_with('[') {
            section = line.to_owned();
        }
        if section == "[lints]" || section == "[dev-dependencies]" {
            continue;
        }
        match line.split_once(".workspace = true") {
            Some((name, _)) => {
                let value = value(workspace, name)
                    .unwrap_or_else(|| panic!("the workspace's Cargo.toml has no `{name} =`"));
                writeln!(manifest, "{name} = {value}").expect("a string");
            }
            None => writeln!(manifest, "{line}").expect("a string"),
        }
    }
    manifest
}

/// What is behind `name = ` at the start of a line.
fn value(toml: &str, name: &str) -> Option<String> {
    let mut lines = toml.lines();
    lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(" = ")?.to_owned()))
}

/// One `[[package]]` of a lock file.
struct Package<'l> {
    name: &'l str,
    version: &'l str,
    text: &'l str,
    /// `name`, or `name version` where there are several.
    needs: Vec<&'l str>,
}

/// The lock file's packages that the SDK and a new plugin need.
fn lock_of(lock: &str, manifest: &str) -> String {
    let packages: Vec<Package<'_>> = lock.split("[[package]]\n").skip(1).map(package).collect();
    let mut wanted: VecDeque<&str> = BESIDE.into_iter().chain(["sluicegate-sdk"]).collect();
    let mut kept = BTreeSet::new();
    while let Some(need) = wanted.pop_front() {
        let (name, version) = need.split_once(' ').map_or((need, None), |(n, v)| (n, Some(v)));
        for (at, package) in packages.iter().enumerate() {
            let this = package.name == name && version.is_none_or(|v| v == package.version);
            if this && kept.insert(at) {
                let is_sdk = name == "sluicegate-sdk";
                // The lock file has what its tests need, too.
                let needs = package.needs.iter().filter(|need| {
                    !is_sdk
                        || manifest
                            .contains(&format!("\n{} = ", need.split(' ').next().unwrap_or(need)))
                });
                wanted.extend(needs);
            }
        }
    }
    let mut text = lock.split("[[package]]").next().unwrap_or_default().to_owned();
    for at in kept {
        write!(text, "[[package]]\n{}", packages[at].text.trim_end()).expect("a string");
        text.push_str("\n\n");
    }
    text
}

fn package(text: &str) -> Package<'_> {
    let quoted = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""));
        line.and_then(|rest| rest.strip_suffix('"')).unwrap_or_default()
    };
    let needs = text.lines().filter_map(|line| line.strip_prefix(" \"")?.strip_suffix("\","));
    Package { name: quoted("name"), version: quoted("version"), text, needs: needs.collect() }
}
