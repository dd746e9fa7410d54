#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;

fn ended(raw: i32, said: &str) -> String {
    let limits = PluginLimits::default();
    outcome(ExitStatus::from_raw(raw), said, b"wasm", &limits).unwrap_err()
}

#[test]
fn each_end_of_a_compiling_process_has_its_words() {
    let limits = PluginLimits::default();
    assert_eq!(outcome(ExitStatus::from_raw(0), "", b"", &limits), Ok(()));
    assert!(
        ended(i32::from(DAMAGED) << 8, "unexpected end").contains("damaged or cut off (4 bytes)")
    );
    assert!(ended(Signal::XCPU.as_raw(), "").contains("limits.compile)"));
    let aborted = ended(Signal::ABORT.as_raw(), "memory allocation of 65536 bytes failed");
    assert!(aborted.contains("limits.compile_memory"), "{aborted}");
    let mapped = ended(i32::from(DAMAGED) << 8, "mmap: Cannot allocate memory (os error 12)");
    assert!(mapped.contains("limits.compile_memory"), "{mapped}");
    let crashed = ended(Signal::SEGV.as_raw(), "");
    assert!(crashed.contains("failed (signal: 11"), "{crashed}");
}
