//! Builds the hostile guests, so that the tests can carry them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a build script")]

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Every crate under `guests/`, and the constant that it becomes.
const GUESTS: [(&str, &str, &str); 9] = [
    ("courier", "COURIER", "A plugin that hands messages on, or does what they say."),
    ("files", "FILES", "A plugin that opens a file."),
    ("hostile", "HOSTILE", "A plugin that misbehaves as its messages tell it to."),
    ("ledger", "LEDGER", "A plugin that counts per key and does what its messages tell it to."),
    (
        "net-meter",
        "NET_METER",
        "A plugin that accepts negative energy, which its predecessor didn't.",
    ),
    ("other-world", "OTHER_WORLD", "A component that is no plugin."),
    ("tally", "TALLY", "A plugin that counts per key."),
    ("tally-next", "TALLY_NEXT", "Its next version, with another schema of its state."),
    ("waker", "WAKER", "A plugin that counts per key and is woken when its messages say."),
];

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let guests = here.join("guests");
    classify(&guests);
    for path in ["build.rs", "guests", "../plugin-sdk/src", "../wit/v0.1"] {
        println!("cargo::rerun-if-changed={path}");
    }

    // target/PROFILE/build/NAME/out: all profiles share the guests.
    let target = out.ancestors().nth(4).expect("the target folder").join("guests");
    build(&guests, &target);
    let mut code = String::new();
    for (name, constant, what) in GUESTS {
        let file = format!("guest_{}.wasm", name.replace('-', "_"));
        let path = target.join("wasm32-wasip2/release").join(file);
        writeln!(code, "/// {what}\npub const {constant}: &[u8] = include_bytes!({path:?});")
            .expect("a string takes it");
    }
    fs::write(out.join("guests.rs"), code).expect("the output folder is writable");
}

/// A guest that isn't listed would be one that no test runs.
fn classify(guests: &Path) {
    for entry in fs::read_dir(guests).expect("tests/guests") {
        let path = entry.expect("tests/guests").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.join("Cargo.toml").exists() {
            let known = GUESTS.iter().any(|(guest, ..)| *guest == name);
            assert!(known, "tests/guests/{name} isn't listed in tests/build.rs");
        }
    }
}

fn build(guests: &Path, target: &Path) {
    let mut cargo = Command::new(env::var_os("CARGO").expect("cargo sets it"));
    cargo
        .args(["build", "--release", "--locked", "--target", "wasm32-wasip2"])
        .current_dir(guests)
        .env("CARGO_TARGET_DIR", target);
    // What the outer build is told (flags, clippy as the compiler) isn't meant for guests.
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(name);
    }
    cargo.env_remove("RUSTC_WORKSPACE_WRAPPER");
    let status = cargo.status().expect("cargo starts");
    assert!(
        status.success(),
        "the hostile guests don't build; `rustup target add wasm32-wasip2` if the target is missing"
    );
}
