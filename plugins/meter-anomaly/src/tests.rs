#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use serde_json::json;
use sluicegate_sdk::testing::{Input, Outcome, Tester};

use super::Detector;

/// A reading of the `n`th quarter of an hour: high in the evening, with some noise.
fn reading(n: u32, kwh: f64) -> Input {
    let ts = 1_767_225_600 + i64::from(n) * 900;
    let body = json!({ "meter": "m-1", "ts": ts, "kwh": kwh });
    Input::json(&body).key("m-1").kind("reading")
}

fn usual(n: u32) -> f64 {
    let hour = n / 4 % 24;
    let base = if (17..22).contains(&hour) { 0.8 } else { 0.2 };
    base + f64::from(n.wrapping_mul(2_654_435_761) >> 24) / 256.0 * 0.1
}

fn tester() -> Tester<Detector> {
    Tester::new(&json!({})).unwrap()
}

fn run_days(detector: &mut Tester<Detector>, days: u32) -> Vec<Outcome> {
    (0..days * 96).map(|n| detector.run(reading(n, usual(n)))).collect()
}

#[test]
fn usual_days_raise_no_alert() {
    let outcomes = run_days(&mut tester(), 30);
    // The first evening is news, the others aren't.
    assert!(outcomes[96..].iter().all(|outcome| outcome.emissions.is_empty()));
    assert!(outcomes.iter().all(Outcome::is_next));
}

#[test]
fn a_spike_is_alerted_with_its_reasons_and_tagged() {
    let mut detector = tester();
    run_days(&mut detector, 10);
    let outcome = detector.run(reading(960, 9.5));
    let [alert] = &outcome.emissions[..] else { panic!("one alert") };
    assert_eq!(
        (alert.output.as_str(), alert.routing_key.as_str()),
        ("alerts", "alert.consumption")
    );
    let said = alert.json();
    assert_eq!((&said["meter"], &said["seen_kwh"]), (&json!("m-1"), &json!(9.5)));
    assert!((0.1..0.4).contains(&said["expected_kwh"].as_f64().unwrap()), "{said}");
    assert_eq!(outcome.next().text_header("severity"), Some("major"));
    assert!(outcome.next().header("anomaly-score").unwrap().as_f64().unwrap() > 8.0);
}

#[test]
fn a_spike_does_not_hide_the_next_one() {
    let mut detector = tester();
    run_days(&mut detector, 10);
    let alerts: usize = (0..3).map(|n| detector.run(reading(960 + n, 9.5)).emissions.len()).sum();
    assert_eq!(alerts, 3);
}

#[test]
fn nothing_is_an_anomaly_while_warming_up() {
    let mut detector = tester();
    let kwh = [0.2, 50.0, 0.1, 80.0, 0.2];
    let alerts = (0..20).map(|n| detector.run(reading(n, kwh[n as usize % 5])).emissions.len());
    assert_eq!(alerts.sum::<usize>(), 0);
}

#[test]
fn state_stays_small_and_meters_apart() {
    let mut detector = tester();
    run_days(&mut detector, 20);
    assert!(detector.state_bytes("m-1") < 400, "{}", detector.state_bytes("m-1"));
    assert!(detector.state("m-2").is_none());
}

#[test]
fn time_may_be_text_and_the_body_messagepack() {
    let body = json!({ "meter": "m-1", "ts": "2026-01-01T18:00:00Z", "kwh": 0.5 });
    assert!(tester().run(Input::msgpack(&body).key("m-1")).is_next());
    assert_eq!(tester().run(Input::json(&body)).rejected(), Some("no_key"));
}

#[test]
fn numbers_without_bounds_do_not_poison_the_state() {
    let mut detector = tester();
    for kwh in [1e308, -1e308, 1e9, -1e9, 1e9, 0.2] {
        let outcome = detector.run(reading(0, kwh));
        assert_eq!(outcome.rejected().is_some(), kwh.abs() > 1e9);
    }
    let usual = detector.state("m-1").unwrap();
    assert!(usual.mean.is_finite() && usual.distance.is_finite() && usual.distance > 0.0);
}
