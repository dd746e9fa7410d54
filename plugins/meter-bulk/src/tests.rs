#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sluicegate_sdk::testing::{Emitted, Input, Outcome, Tester};

use super::Bulk;

fn into(what: &Value) -> Tester<Bulk> {
    Tester::new(&json!({ "into": what })).unwrap()
}

/// 500 meters of 96 intervals.
fn collection() -> Value {
    let profile = |n: usize| {
        let kwh: Vec<f64> = (0..96).map(|quarter| (n + quarter) as f64 / 1000.0).collect();
        json!({ "meter": format!("m-{n}"), "region": "north", "kwh": kwh })
    };
    let profiles: Vec<Value> = (0..500).map(profile).collect();
    json!({ "head_end": "he-1", "start": "2026-01-01T00:00:00Z", "int_s": 900, "profiles": profiles })
}

fn to<'a>(outcome: &'a Outcome, output: &str) -> Vec<&'a Emitted> {
    outcome.emissions.iter().filter(|emitted| emitted.output == output).collect()
}

#[test]
fn a_day_of_five_hundred_meters_becomes_every_reading_once_with_ids_of_their_own() {
    let mut meters = into(&json!("meters"));
    let collected = Input::json(&collection()).message_id("bulk-1");
    let outcome = meters.run(collected.clone());
    assert!(outcome.is_done());
    let profiles = to(&outcome, "profiles");
    assert_eq!(profiles.len(), 500);
    assert_eq!(profiles[7].text_header("meter-id"), Some("m-7"));
    assert_eq!(profiles[7].routing_key, "meter.north.m-7.profile");
    let again = meters.run(collected);
    let ids = |outcome: &Outcome| -> BTreeSet<String> {
        outcome.emissions.iter().map(|e| e.message_id().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&outcome).len(), 500);
    assert_eq!(ids(&outcome), ids(&again), "the same message gives the same ids");
    let mut intervals = into(&json!("intervals"));
    let mut sum = 0.0;
    for (profile, n) in profiles.into_iter().zip(0_usize..) {
        let readings = intervals.run(Input::json(&profile.json()));
        let readings = to(&readings, "readings");
        assert_eq!(readings.len(), 96);
        let last = readings[95].json();
        assert_eq!(last["ts"], "2026-01-02T00:00:00Z");
        assert_eq!(last["kwh"], (n + 95) as f64 / 1000.0);
        assert_eq!(readings[0].text_header("meter-id"), Some(format!("m-{n}").as_str()));
        sum += readings.iter().map(|reading| reading.json()["kwh"].as_f64().unwrap()).sum::<f64>();
    }
    assert!((sum - 14_256.0).abs() < 1e-6, "{sum}");
}

#[test]
fn an_entry_that_cannot_be_used_is_told_and_loses_no_other() {
    let mut body = collection();
    body["profiles"][3] = json!({ "meter": 3 });
    body["profiles"][5] = json!("nonsense");
    body["profiles"][8]["kwh"] = json!([]);
    body["profiles"][9]["start"] = json!("yesterday");
    body["profiles"][10]["meter"] = json!(" ");
    for input in [Input::json(&body), Input::msgpack(&body)] {
        let outcome = into(&json!("meters")).run(input);
        assert_eq!(to(&outcome, "profiles").len(), 495);
        let told: Vec<Value> = to(&outcome, "exceptions").iter().map(|e| e.json()).collect();
        let entries: Vec<&Value> = told.iter().map(|told| &told["entry"]).collect();
        assert_eq!(entries, [3, 5, 8, 9, 10]);
        assert_eq!((&told[2]["meter"], &told[2]["head_end"]), (&json!("m-8"), &json!("he-1")));
        assert_eq!(told[3]["reason"], "`start` is no time");
    }
    let profile = json!({ "meter": "m-1", "start": 0, "int_s": 900, "kwh": [1, null, "much", 2] });
    let outcome = into(&json!("intervals")).run(Input::json(&profile));
    let kwh: Vec<Value> =
        to(&outcome, "readings").iter().map(|e| e.json()["kwh"].clone()).collect();
    assert_eq!(kwh, [1.0, 2.0]);
    assert_eq!(to(&outcome, "exceptions")[0].json()["entry"], 2);
}

#[test]
fn registers_are_read_as_such() {
    let profile = json!({ "meter": "m-1", "start": 0, "int_s": 900, "register": [10.5, 11] });
    let outcome = into(&json!("intervals")).run(Input::json(&profile));
    let last = outcome.emissions[1].json();
    assert_eq!(
        (&last["obis"]["1-0:1.8.0"], &last["ts"]),
        (&json!(11.0), &json!("1970-01-01T00:30:00Z"))
    );
}

#[test]
fn a_message_is_keyed_anew_by_a_column_of_its_meter() {
    let row = json!({ "transformer": "t-7", "feeder": 12 });
    for (column, key) in [("transformer", "t-7"), ("feeder", "12")] {
        let mut meters = into(&json!({ "column": column })).row("meters", "m-1", &row);
        let outcome = meters.run(Input::json(&json!({ "kwh": 1 })).key("m-1").kind("reading"));
        let keyed = &outcome.emissions[0];
        assert_eq!((keyed.output.as_str(), keyed.text_header(column)), ("keyed", Some(key)));
        assert_eq!((keyed.kind(), keyed.json()), (Some("reading"), json!({ "kwh": 1 })));
        assert_eq!(meters.run(Input::new().key("m-2")).rejected(), Some("unknown_meter"));
    }
}

#[test]
fn what_is_no_collection_or_too_large_is_rejected() {
    let mut meters = into(&json!("meters"));
    assert_eq!(meters.run(Input::json(&json!({ "meters": [] }))).rejected(), Some("malformed"));
    let many: Vec<Value> = (0..1001).map(Value::from).collect();
    let outcome = meters.run(Input::json(&json!({ "profiles": many })));
    assert_eq!(outcome.rejected(), Some("too_many_entries"));
    let profile = json!({ "meter": "m-1", "kwh": [1] });
    let outcome = into(&json!("intervals")).run(Input::json(&profile));
    assert_eq!(outcome.rejected(), Some("bad_profile"));
    assert!(Tester::<Bulk>::new(&json!({ "into": "pieces" })).is_err());
}
