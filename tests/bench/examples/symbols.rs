fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let (wasm, out) = (args.next().unwrap(), args.next().unwrap());
    let mut config = wasmtime::Config::new();
    config
        .concurrency_support(false)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable)
        .max_wasm_stack(sluicegate::limits::PLUGIN_STACK_BYTES)
        .memory_init_cow(true);
    let engine = wasmtime::Engine::new(&config)?;
    std::fs::write(out, engine.precompile_component(&std::fs::read(wasm)?)?)?;
    Ok(())
}
