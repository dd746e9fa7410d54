#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use serde_json::{Value, json};
use sluicegate_sdk::testing::{Input, Tester};

use super::Validate;

mod vee;

/// 2026-01-01T00:00:00Z, which is the tester's time.
const NOW: i64 = 1_767_225_600;

fn check(config: Value, input: Input) -> Result<(), String> {
    let outcome = Tester::<Validate>::new(&config).unwrap().run(input);
    assert!(outcome.is_next() || outcome.rejected().is_some());
    outcome.rejected().map_or(Ok(()), |code| Err(code.to_owned()))
}

fn reading(change: Value) -> Result<(), String> {
    let mut body = json!({ "meter": "m-1", "ts": "2026-01-01T00:00:00Z", "kwh": 0.25 });
    for (name, value) in change.as_object().unwrap() {
        body[name] = value.clone();
    }
    check(json!({}), Input::json(&body))
}

fn refused(code: &str) -> Result<(), String> {
    Err(code.to_owned())
}

#[test]
fn readings_pass_as_json_and_as_messagepack() {
    let body = json!({ "meter": "m-1", "ts": NOW, "kwh": 0.25, "voltage": 231.0, "fw": "1.2" });
    assert_eq!(check(json!({}), Input::json(&body)), Ok(()));
    assert_eq!(check(json!({}), Input::msgpack(&body)), Ok(()));
}

#[test]
fn what_is_no_reading_is_rejected_with_its_own_code() {
    let cut = Input::new().body("application/json", br#"{"meter":"m-1","#);
    assert_eq!(check(json!({}), cut), refused("malformed"));
    assert_eq!(check(json!({}), Input::new().body("application/json", "")), refused("empty"));
    assert_eq!(check(json!({}), Input::new().body("text/csv", "a;b")), refused("content_type"));
    assert_eq!(reading(json!({ "kwh": "much" })), refused("malformed"));
    assert_eq!(reading(json!({ "meter": null })), refused("missing_meter"));
    assert_eq!(reading(json!({ "meter": " " })), refused("missing_meter"));
    assert_eq!(reading(json!({ "ts": null })), refused("missing_ts"));
    assert_eq!(reading(json!({ "ts": "yesterday" })), refused("bad_ts"));
    assert_eq!(reading(json!({ "kwh": null })), refused("missing_kwh"));
}

#[test]
fn numbers_that_cannot_be_are_rejected() {
    assert_eq!(reading(json!({ "kwh": -0.1 })), refused("negative_energy"));
    assert_eq!(reading(json!({ "kwh": 100.1 })), refused("energy_range"));
    assert_eq!(reading(json!({ "voltage": 2310 })), refused("voltage_range"));
    let body = Body { meter: "m-1", ts: 0.0, kwh: f64::NAN };
    assert_eq!(check(json!({}), Input::msgpack(&body)), refused("energy_range"));
}

/// JSON has no NaN, MessagePack does.
#[derive(serde::Serialize)]
struct Body {
    meter: &'static str,
    ts: f64,
    kwh: f64,
}

#[test]
fn events_and_status_need_no_energy() {
    let body = json!({ "meter": "m-1", "ts": NOW, "event": "tamper" });
    assert_eq!(check(json!({}), Input::json(&body).kind("event")), Ok(()));
    assert_eq!(check(json!({}), Input::json(&body).kind("reading")), refused("missing_kwh"));
}

#[test]
fn a_clock_may_be_behind_unless_configured_but_not_far_ahead() {
    assert_eq!(reading(json!({ "ts": NOW + 180 })), Ok(()));
    assert_eq!(reading(json!({ "ts": NOW + 181 })), refused("clock"));
    assert_eq!(reading(json!({ "ts": "2006-12-16T17:24:00Z" })), Ok(()));
    let body = json!({ "meter": "m-1", "ts": NOW - 61, "kwh": 1 });
    assert_eq!(check(json!({ "max_age_s": 60 }), Input::json(&body)), refused("clock"));
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    let error = |config: Value| Tester::<Validate>::new(&config).err().unwrap().to_string();
    assert_eq!(error(json!({ "max_kwh": 0 })), "`max_kwh`: must be above 0");
    assert_eq!(error(json!({ "min_volts": 600 })), "`min_volts`: must be below `max_volts`");
    assert!(error(json!({ "max_kw": 1 })).contains("unknown field `max_kw`"));
}
