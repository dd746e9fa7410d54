#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use serde_json::{Value, json};
use sluicegate_sdk::testing::{Input, Outcome, Tester};

use super::Faults;

fn run(config: Value, body: Value) -> Outcome {
    Tester::<Faults>::new(&config).unwrap().run(Input::json(&body).kind("event"))
}

#[test]
fn a_critical_event_is_alerted_and_tagged() {
    let ts = "2026-01-01T00:00:00Z";
    let outcome = run(json!({}), json!({ "meter": "m-1", "ts": ts, "event": "tamper" }));
    assert_eq!(outcome.next().text_header("fault-class"), Some("tamper"));
    assert_eq!(outcome.next().text_header("severity"), Some("critical"));
    let [alert] = &outcome.emissions[..] else { panic!("one alert") };
    assert_eq!((alert.output.as_str(), alert.priority()), ("alerts", Some(9)));
    assert_eq!(alert.routing_key, "alert.tamper");
    let said = json!({
        "meter": "m-1", "ts": ts, "event": "tamper", "class": "tamper", "severity": "critical"
    });
    assert_eq!(alert.json(), said);
}

#[test]
fn a_minor_event_is_tagged_without_an_alert() {
    let outcome = run(json!({}), json!({ "meter": "m-1", "event": "battery_low" }));
    assert_eq!(outcome.next().text_header("severity"), Some("minor"));
    assert!(outcome.emissions.is_empty());
}

#[test]
fn an_entry_of_an_event_log_means_the_same_as_its_name() {
    let class = |log: &str, id: u32| {
        let outcome = run(json!({}), json!({ "meter": "m-1", "log": log, "id": id }));
        outcome.next().text_header("fault-class").map(str::to_owned)
    };
    assert_eq!(class("99.98.0", 7).as_deref(), Some("battery"));
    assert_eq!(class("99.98.0", 6).as_deref(), Some("meter"));
    assert_eq!(class("99.98.1", 42).as_deref(), Some("tamper"));
}

#[test]
fn what_nobody_knows_is_rejected_and_says_what_it_was() {
    let outcome = run(json!({}), json!({ "meter": "m-1", "event": "gremlins" }));
    assert_eq!(outcome.rejected(), Some("unknown_event"));
    assert_eq!(outcome.text(), "meter m-1 reports the unknown event 'gremlins'");
    let outcome = run(json!({}), json!({ "meter": "m-1", "log": "99.98.0", "id": 99 }));
    assert_eq!(outcome.text(), "meter m-1 reports the unknown entry 99 of log 99.98.0");
}

#[test]
fn an_operator_may_see_severities_otherwise() {
    let config = json!({ "severity": { "battery_low": "critical" } });
    let outcome = run(config, json!({ "meter": "m-1", "event": "battery_low" }));
    assert_eq!(outcome.emissions.len(), 1);
    let error = |config: Value| Tester::<Faults>::new(&config).err().unwrap().to_string();
    let unknown = error(json!({ "severity": { "batery_low": "major" } }));
    assert_eq!(unknown, "`severity`: no event is called 'batery_low'");
    let wrong = error(json!({ "severity": { "battery_low": "high" } }));
    assert!(wrong.starts_with("`severity.battery_low`: unknown variant `high`"), "{wrong}");
}

#[test]
fn a_reading_is_none_of_its_business() {
    let reading = Input::json(&json!({ "meter": "m-1", "kwh": 1 })).kind("reading");
    let outcome = Tester::<Faults>::new(&json!({})).unwrap().run(reading);
    assert!(outcome.is_next() && outcome.next().text_header("fault-class").is_none());
}

#[test]
fn a_fault_and_its_end_go_on_by_the_key_that_their_incident_is_of() {
    let keyed = |event: &str, transformer: Option<&str>| {
        let body = json!({ "meter": "m-1", "event": event, "transformer": transformer });
        let outcome = run(json!({ "incidents": true }), body);
        let forwarded = outcome.emissions.iter().find(|emitted| emitted.output == "incidents");
        forwarded.map(|fault| {
            let text = |header| fault.text_header(header).unwrap().to_owned();
            assert_eq!(fault.kind(), Some("fault"));
            (text("incident-key"), text("fault-state"))
        })
    };
    let key = |key: &str, state: &str| Some((key.to_owned(), state.to_owned()));
    assert_eq!(keyed("last_gasp", Some("t-7")), key("t-7", "raised"));
    assert_eq!(keyed("power_restored", Some("t-7")), key("t-7", "cleared"));
    assert_eq!(keyed("last_gasp", None), key("m-1", "raised"));
    assert_eq!(keyed("tamper", Some("t-7")), key("m-1", "raised"));
    assert_eq!(keyed("clock_adjusted", None), None, "nothing that anybody must look at");
}
