#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::json;
use sluicegate_sdk::testing::{Input, Outcome, Tester};

use super::Route;

fn run(input: Input) -> Outcome {
    Tester::<Route>::new(&json!({})).unwrap().run(input)
}

fn routes(outcome: &Outcome) -> Vec<(&str, &str)> {
    let emissions = outcome.emissions.iter();
    emissions.map(|e| (e.output.as_str(), e.routing_key.as_str())).collect()
}

#[test]
fn a_reading_goes_to_its_region_as_it_came() {
    let input = Input::json(&json!({ "kwh": 1 })).kind("reading");
    let outcome = run(input.routing_key("meter.north.m-1.reading"));
    assert!(outcome.is_done());
    assert_eq!(routes(&outcome), [("readings", "reading.north")]);
    assert_eq!(outcome.emissions[0].json(), json!({ "kwh": 1 }));
}

#[test]
fn an_anomaly_goes_to_its_own_output_too() {
    let input = Input::new().kind("reading").header("anomaly-score", 9.5);
    let outcome = run(input.header("severity", "minor").header("region", "south"));
    let expected = [("readings", "reading.south"), ("anomalies", "anomaly.minor.south")];
    assert_eq!(routes(&outcome), expected);
}

#[test]
fn a_fault_carries_class_and_severity_for_topic_and_headers_exchanges() {
    let input = Input::new().routing_key("meter.east.m-1.event");
    let outcome = run(input.header("fault-class", "tamper").header("severity", "critical"));
    assert_eq!(routes(&outcome), [("faults", "fault.tamper.critical.east")]);
    assert_eq!(outcome.emissions[0].text_header("severity"), Some("critical"));
    assert_eq!(outcome.emissions[0].priority(), Some(9));
}

#[test]
fn status_has_an_output_and_what_is_unknown_is_rejected() {
    let outcome = run(Input::new().kind("status").routing_key("meter.west.m-1.status"));
    assert_eq!(routes(&outcome), [("status", "status.west")]);
    let outcome = run(Input::new().kind("poem"));
    assert_eq!(outcome.rejected(), Some("unknown_kind"));
    assert!(outcome.emissions.is_empty());
}

#[test]
fn outputs_are_called_what_the_operator_calls_them() {
    let mut route = Tester::<Route>::new(&json!({ "status": "heartbeats" })).unwrap();
    assert_eq!(routes(&route.run(Input::new().kind("status"))), [("heartbeats", "status.unknown")]);
}

#[test]
fn what_the_rules_found_goes_along_and_a_tariff_is_in_the_key() {
    let input = Input::json(&json!({ "kwh": 1 })).kind("reading").header("quality", "V");
    let input = input.header("tariff", "night").header("region", "south").header("energy-wh", 1000);
    let outcome = run(input);
    assert_eq!(routes(&outcome), [("readings", "reading.south.night")]);
    assert_eq!(outcome.emissions[0].text_header("quality"), Some("V"));
    assert_eq!(outcome.emissions[0].kind(), Some("reading"));
}
