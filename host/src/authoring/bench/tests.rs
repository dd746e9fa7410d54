#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::builtin;
use crate::config::PluginLimits;
use crate::plugin::{Engine, EngineOptions};

#[test]
fn state_goes_on_from_call_to_call_and_every_message_is_counted() {
    let engine = Engine::new(EngineOptions::default()).unwrap();
    let wasm = builtin::plugin("meter-anomaly").unwrap();
    let plugin = engine.load("a", wasm, &[0x80], &PluginLimits::default()).unwrap();
    let text = "[[call]]\n[[call.message]]\nkey = \"m\"\nrow.meters = { rated = 63 }\nbody.json = { meter = \"m\", ts = 1, kwh = 1 }\n";
    let mut samples = Sample::of(&Case::from_toml(text).unwrap()).unwrap();
    assert!(samples[0].row.as_ref().is_some_and(|row| row.ends_with(b"\xa5rated\x3f")));
    samples.push(Sample { body: Bytes::from_static(b"x"), ..Sample::default() });
    let mut bench = Bench::new(&plugin, &samples).unwrap();
    let mut measured = Measured::default();
    for _ in 0..3 {
        bench.call(4, &mut measured).unwrap();
    }
    assert_eq!((measured.messages, measured.calls.len()), (12, 3));
    assert_eq!(measured.verdicts.values().sum::<u64>(), 12);
    assert_eq!(measured.verdicts["next"], 6);
    assert_eq!(bench.states[0].1, 3);
    assert!(measured.ns_per_message() > 0.0 && measured.percentile(50) <= measured.percentile(99));
    assert!(Bench::new(&plugin, &[]).is_err());
}
