#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use serde_json::json;
use sluicegate_sdk::testing::{Input, Outcome, Tester};

use super::MeterAbsence;

fn tester() -> Tester<MeterAbsence> {
    Tester::new(&json!({ "after_s": 900 })).unwrap()
}

fn told(outcomes: &[Outcome]) -> Vec<(String, serde_json::Value)> {
    let emitted = outcomes.iter().flat_map(|outcome| &outcome.emissions);
    emitted.map(|alert| (alert.kind().unwrap().to_owned(), alert.json())).collect()
}

#[test]
fn a_meter_that_falls_silent_is_told_of_once_and_when_it_is_back() {
    let mut meters = tester();
    meters.run(Input::new().key("7"));
    assert!(told(&meters.pass(Duration::from_secs(899))).is_empty());
    assert_eq!(told(&meters.pass(Duration::from_secs(1))), [("meter.silent".into(), json!("7"))]);
    assert!(told(&meters.pass(Duration::from_secs(9000))).is_empty());
    let back = meters.run(Input::new().key("7"));
    assert_eq!(told(&[back]), [("meter.back".into(), json!("7"))]);
    assert!(told(&[meters.run(Input::new().key("7"))]).is_empty());
}

#[test]
fn a_meter_that_speaks_in_time_is_never_told_of() {
    let mut meters = tester();
    for _ in 0..10 {
        assert!(told(&[meters.run(Input::new().key("7"))]).is_empty());
        assert!(told(&meters.pass(Duration::from_secs(800))).is_empty());
    }
}

#[test]
fn it_has_at_most_thirty_lines_of_code() {
    let code = include_str!("lib.rs").lines().map(str::trim_start);
    assert!(code.filter(|line| !line.is_empty() && !line.starts_with("//")).count() <= 30);
}

#[test]
fn a_host_that_was_down_takes_no_meter_for_silent() {
    let mut meters = tester();
    meters.run(Input::new().key("7"));
    assert!(told(&meters.pass_down(Duration::from_secs(7200))).is_empty());
    assert!(told(&[meters.run(Input::new().key("7"))]).is_empty());
    assert!(told(&meters.pass(Duration::from_secs(899))).is_empty());
    assert_eq!(told(&meters.pass(Duration::from_secs(1))), [("meter.silent".into(), json!("7"))]);
}
