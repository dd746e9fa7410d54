//! Builds the plugins in `plugins/` to WebAssembly and writes the table by which this binary
//! carries them, and the SDK that it carries for authors.
#![allow(clippy::expect_used, clippy::panic, reason = "a build script reports by panicking")]

#[path = "build/sdk.rs"]
mod sdk;

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-wasip2";
const PROFILE: &str = "plugin";

/// What makes the outer cargo's compiler settings, and clippy's, not reach the plugins.
const NOT_INHERITED: [&str; 8] = [
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "CLIPPY_ARGS",
    "RUSTC",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOC",
    "RUSTFLAGS",
];

fn main() {
    let host = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let workspace = host.parent().expect("the host lies in the workspace");
    for watched in ["plugins", "plugin-sdk/src", "plugin-sdk/Cargo.toml", "wit", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", workspace.join(watched).display());
    }
    println!("cargo::rerun-if-changed=build.rs");
    sdk::write(workspace, Path::new(&variable("OUT_DIR")));

    let names = plugins(&workspace.join("plugins"));
    ensure_target(workspace);
    let folder = build(workspace, &names);
    let mut table = String::from("/// Name and component of every plugin, by name.\n");
    let count = names.len();
    writeln!(table, "pub(super) static ALL: [(&str, &[u8]); {count}] = [").expect("a string");
    for name in &names {
        let file = folder.join(format!("{}.wasm", name.replace('-', "_")));
        assert!(file.is_file(), "plugin '{name}' built no {}", file.display());
        writeln!(table, "    ({name:?}, include_bytes!({file:?})),").expect("a string");
    }
    table.push_str("];\n");
    let to = PathBuf::from(variable("OUT_DIR")).join("builtin.rs");
    fs::write(&to, table).unwrap_or_else(|error| panic!("can't write {}: {error}", to.display()));
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run this through cargo"))
}

/// The plugins' names, which are their folders', sorted.
fn plugins(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("can't read {}: {error}", folder.display()));
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.join("Cargo.toml").is_file())
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    names
}

/// Adds the target where rustup can; a toolchain without rustup may have it all the same.
fn ensure_target(workspace: &Path) {
    if has_target() {
        return;
    }
    let added =
        Command::new("rustup").args(["target", "add", TARGET]).current_dir(workspace).status();
    assert!(
        added.is_ok_and(|status| status.success()) && has_target(),
        "the plugins need Rust's target {TARGET}: install it with `rustup target add {TARGET}`"
    );
}

fn has_target() -> bool {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let output = Command::new(rustc).args(["--print=target-libdir", "--target", TARGET]).output();
    output.is_ok_and(|output| {
        let folder = String::from_utf8_lossy(&output.stdout);
        Path::new(folder.trim()).is_dir()
    })
}

/// Runs cargo for the plugins, in a target folder of their own: the outer cargo holds the other's
/// lock. Answers where the components are.
fn build(workspace: &Path, names: &[String]) -> PathBuf {
    let target = target_folder().join("plugins");
    let mut cargo = Command::new(variable("CARGO"));
    cargo.args(["build", "--quiet", "--profile", PROFILE, "--target", TARGET]);
    if workspace.join("Cargo.lock").is_file() {
        cargo.arg("--locked");
    }
    for name in names {
        cargo.args(["--package", name]);
    }
    for name in NOT_INHERITED {
        cargo.env_remove(name);
    }
    cargo.env("CARGO_TARGET_DIR", &target).env("CARGO_ENCODED_RUSTFLAGS", remapped(workspace));
    let status = cargo.current_dir(workspace).status();
    let status = status.unwrap_or_else(|error| panic!("can't run cargo: {error}"));
    assert!(status.success(), "the plugins didn't build; the compiler's messages are above");
    target.join(TARGET).join(PROFILE)
}

/// The target folder that this build is in: OUT_DIR is `TARGET/[TRIPLE/]PROFILE/build/PACKAGE/out`.
fn target_folder() -> PathBuf {
    let out = PathBuf::from(variable("OUT_DIR"));
    let profile = out.ancestors().nth(3).expect("OUT_DIR lies in a profile's folder");
    let parent = profile.parent().expect("a profile's folder lies in the target folder");
    let is_triple = parent.file_name().is_some_and(|name| *name == *variable("TARGET"));
    if is_triple { parent.parent().unwrap_or(parent) } else { parent }.to_owned()
}

/// Compiler flags by which panic messages name files without this machine's folders.
fn remapped(workspace: &Path) -> String {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let mut flags = vec![format!("--remap-path-prefix={}=", workspace.display())];
    if let Some(home) = home {
        let sources = home.join("registry").join("src");
        for index in fs::read_dir(&sources).into_iter().flatten().flatten() {
            flags.push(format!("--remap-path-prefix={}=crates", index.path().display()));
        }
    }
    flags.join("\u{1f}")
}
