//! How long it takes to load ten plugins that were compiled before.

use std::path::Path;
use std::time::{Duration, Instant};

use sluicegate::builtin;
use sluicegate::plugin::{Engine, EngineOptions};
use sluicegate_tests::guests::{COURIER, HOSTILE, LEDGER};

use crate::guests::generous;

/// Ten different components: those that the binary carries, and others told apart by a section of
/// their own.
fn ten() -> Vec<Vec<u8>> {
    let carried = builtin::names().filter_map(builtin::plugin).map(<[u8]>::to_vec);
    let tests = [HOSTILE, COURIER, LEDGER].map(<[u8]>::to_vec);
    let mut all: Vec<Vec<u8>> = carried.chain(tests).collect();
    let distinct = all.len();
    for n in 0..10_usize.saturating_sub(distinct) {
        let mut again = all[n].clone();
        // A custom section of the name "n" and one byte.
        again.extend([0, 3, 1, b'n', u8::try_from(n).expect("below ten")]);
        all.push(again);
    }
    all.truncate(10);
    all
}

fn load_all(cache: &Path, plugins: &[Vec<u8>]) -> Duration {
    let engine =
        Engine::new(EngineOptions { cache_dir: Some(cache.to_owned()) }).expect("an engine");
    let started = Instant::now();
    for (n, wasm) in plugins.iter().enumerate() {
        // What refuses an empty config was compiled all the same.
        let _ = engine.load(&n.to_string(), wasm, &[0x80], &generous());
    }
    started.elapsed()
}

#[test]
fn ten_plugins_start_warm_in_a_small_part_of_a_cold_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = folder.path().join("compiled");
    let plugins = ten();
    let bytes: usize = plugins.iter().map(Vec::len).sum();
    let cold = load_all(&cache, &plugins);
    let warm = (0..5).map(|_| load_all(&cache, &plugins)).min().unwrap_or_default();
    println!("{} plugins, {bytes} bytes: cold {cold:?}, warm {warm:?}", plugins.len());
    assert!(warm * 5 < cold, "cold {cold:?}, warm {warm:?}");
}
