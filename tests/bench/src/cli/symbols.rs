//! `symbols`: a plugin compiled to a file whose symbols a profiler's addresses can be looked up in.
//!
//! The host's own compiled code has no names that `perf` would find. `dispatch --profile` prints where it
//! lies; functions lie in this file as they do there.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use sluicegate::limits::PLUGIN_STACK_BYTES;
use wasmtime::{Config, Engine, WasmBacktraceDetails};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The plugin.
    wasm: PathBuf,
    /// The file to write, an ELF image.
    image: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    // What the host sets, as far as it changes code.
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .max_wasm_stack(PLUGIN_STACK_BYTES);
    let wasm =
        fs::read(&arguments.wasm).with_context(|| format!("read {}", arguments.wasm.display()))?;
    let image = Engine::new(&config)?.precompile_component(&wasm)?;
    fs::write(&arguments.image, image)
        .with_context(|| format!("write {}", arguments.image.display()))
}
