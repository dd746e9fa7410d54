#![allow(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;

use super::*;
use crate::authoring::compare::differences;
use crate::authoring::run;
use crate::builtin;
use crate::config::PluginLimits;
use crate::message::Properties;
use crate::plugin::capsule::{Meta, OwnedBatch, OwnedState};
use crate::plugin::{CallError, Engine, EngineOptions};
use crate::verdict::FailureClass;

/// A capsule of what the built-in plugin does with a reading of a meter that it knows.
fn recorded(engine: &Engine) -> Capsule {
    let limits = PluginLimits { state_bytes: 4096, ..PluginLimits::default() };
    let config = rmp_serde::to_vec_named(&serde_json::json!({ "quiet_days": 1 })).unwrap();
    let wasm = builtin::plugin("meter-anomaly").unwrap();
    let plugin = engine.load("meter-anomaly", wasm, &config, &limits).unwrap();
    let mut instance = plugin.instantiate().unwrap();
    let mut properties =
        Properties { content_type: Some("application/json".into()), ..Properties::default() };
    properties.headers.set("site", "north");
    let input = OwnedInput {
        exchange: "meters".into(),
        routing_key: "meter.m-1.reading".into(),
        key: Some("m-1".into()),
        properties,
        body: Bytes::from_static(br#"{"meter": "m-1", "ts": 1767225600, "kwh": 1.5}"#),
        attempt: 2,
        seed: [7; 16],
        slot: Some(0),
        ..OwnedInput::default()
    };
    let mut batch = OwnedBatch {
        now_us: 1_767_225_600_123_456,
        messages: vec![input],
        states: vec![OwnedState::default()],
    };
    for generation in 1..4 {
        let (decisions, _) = batch.with_batch(|batch| instance.process(batch)).unwrap();
        let StateChange::Set(bytes) = &decisions.states[0] else { unreachable!("it learns") };
        batch.states[0] = OwnedState { bytes: Some(bytes.clone()), generation };
    }
    let (decisions, _) = batch.with_batch(|batch| instance.process(batch)).unwrap();
    let meta = Meta { limits, config: config.into(), ..Meta::default() };
    Capsule { format: 1, meta, batch, outcome: Outcome::Decided(decisions) }
}

#[test]
fn a_recorded_call_is_a_case_that_passes_and_fails_while_the_call_does() {
    let engine = Engine::new(EngineOptions::default()).unwrap();
    let mut capsule = recorded(&engine);
    let wasm = builtin::plugin("meter-anomaly").unwrap();
    let case_of = |capsule: &Capsule| {
        let written = case(capsule, "from a host").to_toml().unwrap();
        (Case::from_toml(&written).unwrap(), written)
    };
    let (written, text) = case_of(&capsule);
    assert!(text.contains("state = \"4096B\"") && text.contains("07070707"), "{text}");
    let message = &written.calls[0].messages[0];
    let body = message.body.as_ref().unwrap().bytes().unwrap();
    assert_eq!((body, message.properties().unwrap()), {
        let input = &capsule.batch.messages[0];
        (input.body.to_vec(), input.properties.clone())
    });
    assert_eq!(written.calls[0].now_us(0).unwrap(), capsule.batch.now_us);
    let ran = run::run(&engine, "meter-anomaly", wasm, &written).unwrap();
    assert_eq!(differences(&written, &ran), []);
    assert_eq!(written.calls[0].state.len(), 1);
    capsule.outcome = Outcome::Failed(CallError {
        class: FailureClass::Trap,
        text: "panicked".into(),
        backtrace: Vec::new(),
    });
    assert_eq!(case_of(&capsule).0.calls[0].messages[0].expect, None);
}
