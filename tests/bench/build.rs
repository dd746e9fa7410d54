//! Builds the benchmarks' plugins.
#![allow(clippy::expect_used, clippy::panic, reason = "a build script reports by panicking")]

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Every crate under `guests/`, and the constant that it becomes.
const GUESTS: [(&str, &str, &str); 3] = [
    ("bench_plain", "PLAIN", "Without state."),
    ("bench_anomaly", "ANOMALY", "With state."),
    ("bench_records", "RECORDS", "Over a contract of records and strings."),
];

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    for path in ["build.rs", "guests", "logic", "../../plugin-sdk/src", "../../wit/v0.1"] {
        println!("cargo::rerun-if-changed={path}");
    }
    // target/PROFILE/build/NAME/out: all profiles share the guests.
    let target = out.ancestors().nth(4).expect("the target folder").join("bench-guests");
    let mut cargo = Command::new(env::var_os("CARGO").expect("cargo sets it"));
    cargo
        .args(["build", "--release", "--locked", "--target", "wasm32-wasip2"])
        .current_dir(here.join("guests"))
        .env("CARGO_TARGET_DIR", &target);
    // What the outer build is told isn't meant for guests.
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(name);
    }
    cargo.env_remove("RUSTC_WORKSPACE_WRAPPER");
    let status = cargo.status().expect("cargo starts");
    assert!(status.success(), "the benchmarks' plugins don't build");
    let mut code = String::new();
    for (name, constant, what) in GUESTS {
        let path = target.join("wasm32-wasip2/release").join(format!("{name}.wasm"));
        writeln!(code, "/// {what}\npub const {constant}: &[u8] = include_bytes!({path:?});")
            .expect("a string takes it");
    }
    fs::write(out.join("guests.rs"), code).expect("the output folder is writable");
}
