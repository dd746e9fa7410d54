//! Builds the peers' plugins, each for the target that its project names first.
#![allow(clippy::expect_used, clippy::panic, reason = "a build script reports by panicking")]

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Every plugin: its package, its target, the constant that it becomes.
const GUESTS: [(&str, &str, &str); 3] = [
    ("peer-extism", "wasm32-unknown-unknown", "EXTISM"),
    ("peer-filter", "wasm32-wasip1", "FILTER"),
    ("peer-array-map", "wasm32-wasip1", "ARRAY_MAP"),
];

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    for path in ["build.rs", "guests", "../bench/logic"] {
        println!("cargo::rerun-if-changed={path}");
    }
    // target/PROFILE/build/NAME/out: all profiles share the guests.
    let target = out.ancestors().nth(4).expect("the target folder").join("peer-guests");
    let mut code = String::new();
    for (package, triple, constant) in GUESTS {
        let mut cargo = Command::new(env::var_os("CARGO").expect("cargo sets it"));
        cargo
            .args(["build", "--release", "--locked", "--package", package, "--target", triple])
            .current_dir(here.join("guests"))
            .env("CARGO_TARGET_DIR", &target);
        // What the outer build is told isn't meant for guests.
        for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
            cargo.env_remove(name);
        }
        cargo.env_remove("RUSTC_WORKSPACE_WRAPPER");
        let status = cargo.status().expect("cargo starts");
        assert!(status.success(), "{package} doesn't build; `rustup target add {triple}`?");
        let file = format!("{}.wasm", package.replace('-', "_"));
        let path = target.join(triple).join("release").join(file);
        writeln!(code, "pub(crate) const {constant}: &[u8] = include_bytes!({path:?});")
            .expect("a string takes it");
    }
    fs::write(out.join("guests.rs"), code).expect("the output folder is writable");
}
