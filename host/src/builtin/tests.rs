#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use super::{names, plugin};
use crate::config::PluginLimits;
use crate::message::{FieldValue, Properties, Table};
use crate::plugin::{
    Batch, Decisions, Engine, EngineOptions, Input, Instance, Plugin, StateChange, StateSlot,
};
use crate::verdict::{Decision, Verdict};

fn load(engine: &Engine, name: &str, config: &serde_json::Value) -> Arc<Plugin> {
    let config = rmp_serde::to_vec(config).unwrap();
    let wasm = plugin(name).unwrap();
    engine.load(name, wasm, &config, &PluginLimits::default()).unwrap()
}

fn instance(name: &str, config: &serde_json::Value) -> Instance {
    let engine = Engine::new(EngineOptions::default()).unwrap();
    load(&engine, name, config).instantiate().unwrap()
}

fn properties(kind: &str, headers: &[(&str, FieldValue)]) -> Properties {
    Properties {
        content_type: Some("application/json".into()),
        kind: Some(kind.into()),
        headers: headers.iter().cloned().collect::<Table>(),
        ..Properties::default()
    }
}

fn input<'a>(properties: &'a Properties, body: &'a [u8], slot: Option<u32>) -> Input<'a> {
    Input {
        exchange: "meters",
        routing_key: "meter.north.m-1.reading",
        key: slot.map(|_| "m-1"),
        properties,
        body,
        attempt: 1,
        seed: [7; 16],
        slot,
        row: None,
        due_us: None,
    }
}

fn run(instance: &mut Instance, messages: &[Input<'_>], states: &[StateSlot<'_>]) -> Decisions {
    let batch = Batch { now_us: 1_767_225_600_000_000, messages, states };
    instance.process(&batch).unwrap().0
}

fn code(decision: &Decision) -> &str {
    match &decision.verdict {
        Verdict::Reject { code, .. } => code,
        other => panic!("rejected, not {other:?}"),
    }
}

#[test]
fn every_plugin_on_board_says_what_it_is() {
    let engine = Engine::new(EngineOptions::default()).unwrap();
    for name in names() {
        let (_, description) = engine.inspect(name, plugin(name).unwrap()).unwrap();
        assert_eq!(description.name, name);
        assert!(description.sdk.starts_with("rust "), "{}", description.sdk);
        let forgets = ["meter-bulk", "meter-fault", "meter-route", "order-guard"];
        let remembers = !forgets.contains(&name);
        assert_eq!(description.state_version.is_some(), remembers, "{name}");
    }
    assert!(names().count() >= 5);
    assert!(plugin("meter-unheard-of").is_none());
}

#[test]
fn a_component_tells_nothing_of_the_machine_that_built_it() {
    let home = std::env::var("HOME").unwrap();
    let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let workspace = std::fs::canonicalize(workspace).unwrap();
    for folder in [home.as_str(), workspace.to_str().unwrap()] {
        for name in names() {
            let wasm = plugin(name).unwrap();
            let found = wasm.windows(folder.len()).any(|bytes| bytes == folder.as_bytes());
            assert!(!found, "{name} holds '{folder}'");
        }
    }
}

#[test]
fn a_config_that_does_not_fit_is_refused_with_the_field() {
    let engine = Engine::new(EngineOptions::default()).unwrap();
    let config = rmp_serde::to_vec(&json!({ "threshold": "high" })).unwrap();
    let wasm = plugin("meter-anomaly").unwrap();
    let error = engine.load("anomaly", wasm, &config, &PluginLimits::default()).unwrap_err();
    let expected = "`threshold`: invalid type: string \"high\", expected f64";
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn messages_cross_into_the_sandbox_and_decisions_come_back() {
    let mut validate = instance("meter-validate", &json!({}));
    let reading = properties("reading", &[]);
    let good = br#"{"meter":"m-1","ts":"2026-01-01T00:00:00Z","kwh":0.25}"#;
    let bad = br#"{"meter":"m-1","ts":"2026-01-01T00:00:00Z","kwh":-1}"#;
    let inputs = [&good[..], bad, b"{\"meter\":", b""].map(|body| input(&reading, body, None));
    let decisions = run(&mut validate, &inputs, &[]).messages;
    assert!(matches!(decisions[0].verdict, Verdict::Next(_)));
    assert_eq!(
        decisions[1..].iter().map(code).collect::<Vec<_>>(),
        ["negative_energy", "malformed", "empty"]
    );
}

#[test]
fn headers_of_every_kind_survive_a_forward() {
    let mut guard = instance("order-guard", &json!({ "big": 100 }));
    let nested = FieldValue::Table([("n", FieldValue::U16(7))].into_iter().collect());
    let array = FieldValue::Array(vec![FieldValue::Void, FieldValue::F32(1.5)]);
    let decimal = FieldValue::Decimal { scale: 2, value: 314 };
    let bytes = FieldValue::Bytes(Bytes::from_static(b"\0\xff"));
    let headers = [("t", nested), ("a", array), ("d", decimal), ("x", bytes), ("big", "no".into())];
    let order = properties("order", &headers);
    let inputs = [input(&order, br#"{"id":"o-1","total":500}"#, None)];
    let decisions = run(&mut guard, &inputs, &[]).messages;
    let [forwarded] = &decisions[0].emissions[..] else { panic!("one emission") };
    let mut expected: Table = headers[..4].iter().cloned().collect();
    expected.set("big", true);
    assert_eq!(forwarded.properties.headers, expected);
    assert_eq!(forwarded.properties.content_type, order.content_type);
    assert_eq!((&forwarded.body, &forwarded.properties.message_id), (&None, &None));
}

#[test]
fn an_emission_carries_what_the_plugin_set() {
    let mut fault = instance("meter-fault", &json!({}));
    let event = properties("event", &[]);
    let inputs = [input(&event, br#"{"meter":"m-1","event":"power_loss"}"#, None)];
    let decisions = run(&mut fault, &inputs, &[]).messages;
    let [alert] = &decisions[0].emissions[..] else { panic!("one alert") };
    assert_eq!(
        (alert.output.as_str(), alert.routing_key.as_deref()),
        ("alerts", Some("alert.outage"))
    );
    assert_eq!(
        (alert.properties.priority, alert.properties.kind.as_deref()),
        (Some(9), Some("alert"))
    );
    assert_eq!(alert.properties.headers.text("severity"), Some("critical"));
    assert!(alert.body.is_some());
}

#[test]
fn state_comes_back_is_kept_and_is_unchanged_where_nothing_happened() {
    let mut anomaly = instance("meter-anomaly", &json!({}));
    let (reading, status) = (properties("reading", &[]), properties("status", &[]));
    let body = br#"{"meter":"m-1","ts":1767225600,"kwh":0.25}"#;
    let inputs = [input(&reading, body, Some(0)), input(&reading, body, Some(0))];
    let none = [StateSlot { bytes: None, generation: 0 }];
    let first = run(&mut anomaly, &inputs, &none);
    let [StateChange::Set(state)] = &first.states[..] else { panic!("one state") };
    let kept = [StateSlot { bytes: Some(Cow::Borrowed(state)), generation: 1 }];
    let second = run(&mut anomaly, &[input(&status, b"", Some(0))], &kept);
    assert_eq!(second.states, [StateChange::Unchanged]);
    let third = run(&mut anomaly, &[input(&reading, body, Some(0))], &kept);
    assert!(matches!(&third.states[..], [StateChange::Set(after)] if after != state));
    let keyless = run(&mut anomaly, &[input(&reading, body, None)], &[]);
    assert_eq!(code(&keyless.messages[0]), "no_key");
}
