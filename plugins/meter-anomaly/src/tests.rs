#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use serde_json::{Value, json};
use sluicegate_sdk::testing::{Input, Outcome, Tester};

use super::Detector;

const START_S: i64 = 1_767_225_600;
const QUARTER_S: i64 = 900;

fn at(n: u32) -> i64 {
    START_S + i64::from(n) * QUARTER_S
}

/// A reading of the `n`th quarter of an hour.
fn reading(n: u32, kwh: f64) -> Input {
    input(&json!({ "meter": "m-1", "ts": at(n), "kwh": kwh }))
}

fn input(body: &Value) -> Input {
    Input::json(body).key("m-1").kind("reading")
}

/// About 0 to 1, the same each time.
fn chance(n: u32) -> f64 {
    let mixed = (n ^ 0x5bd1).wrapping_mul(2_654_435_761);
    f64::from((mixed ^ mixed >> 15).wrapping_mul(2_246_822_519) >> 8) / f64::from(1 << 24)
}

/// High in the evening, with some noise, as coarse as a register.
fn usual(n: u32) -> f64 {
    let hour = n / 4 % 24;
    let base = if (17..22).contains(&hour) { 0.8 } else { 0.2 };
    ((base + 0.2 * base * chance(n)) * 1000.0).round() / 1000.0
}

fn tester(config: &Value) -> Tester<Detector> {
    Tester::new(config).unwrap()
}

/// Runs what a meter of usual days says from one reading to another.
fn run(detector: &mut Tester<Detector>, from: u32, to: u32) -> Vec<Outcome> {
    (from..to).map(|n| detector.run(reading(n, usual(n)))).collect()
}

fn learnt(config: &Value) -> Tester<Detector> {
    let mut detector = tester(config);
    run(&mut detector, 0, 30 * 96);
    detector
}

fn alerts(outcomes: &[Outcome]) -> Vec<Value> {
    outcomes.iter().flat_map(|outcome| &outcome.emissions).map(|alert| alert.json()).collect()
}

#[test]
fn usual_days_raise_nothing() {
    let outcomes = run(&mut tester(&json!({})), 0, 60 * 96);
    assert!(outcomes.iter().all(|outcome| outcome.emissions.is_empty()));
    let tagged = outcomes.iter().filter(|it| it.next().header("anomaly-score").is_some()).count();
    assert_eq!(tagged, 0);
}

#[test]
fn a_spike_is_alerted_with_its_reasons_and_tagged() {
    let mut detector = learnt(&json!({}));
    let outcome = detector.run(reading(30 * 96, 9.5));
    let [alert] = &outcome.emissions[..] else { panic!("one alert, not {outcome:?}") };
    assert_eq!(
        (alert.output.as_str(), alert.routing_key.as_str()),
        ("alerts", "alert.consumption")
    );
    let said = alert.json();
    assert_eq!((&said["meter"], &said["seen"]), (&json!("m-1"), &json!(9.5)));
    assert_eq!((&said["class"], &said["anomaly"]), (&json!("consumption"), &json!("unusual")));
    assert!((0.2..0.25).contains(&said["expected"].as_f64().unwrap()), "{said}");
    let bits = ["time_of_day", "rarity", "volatility"].map(|it| said["bits"][it].as_f64().unwrap());
    assert!((bits.iter().sum::<f64>() - said["bits"]["total"].as_f64().unwrap()).abs() < 0.01);
    assert_eq!(said["channel"], "time_of_day");
    let text = said["text"].as_str().unwrap();
    assert!(text.starts_with("consumption 9.5, usual then is 0.2"), "{text}");
    let next = outcome.next();
    assert_eq!(
        (next.text_header("severity"), next.text_header("anomaly")),
        (Some("minor"), Some("unusual"))
    );
    assert!(next.header("anomaly-score").unwrap().as_f64().unwrap() > 33.0);
}

#[test]
fn one_event_is_one_alarm_and_a_later_one_another() {
    let mut detector = learnt(&json!({}));
    let from = 30 * 96;
    let spikes: Vec<Outcome> = (0..5).map(|n| detector.run(reading(from + n, 9.5))).collect();
    assert_eq!(alerts(&spikes).len(), 1);
    run(&mut detector, from + 5, from + 10 * 96);
    assert_eq!(detector.run(reading(from + 10 * 96, 30.0)).emissions.len(), 1);
}

#[test]
fn nothing_is_told_in_quiet_days() {
    let mut detector = tester(&json!({ "quiet_days": 14 }));
    run(&mut detector, 0, 13 * 96);
    assert!(detector.run(reading(13 * 96, 9.5)).emissions.is_empty());
    let mut detector = tester(&json!({ "quiet_days": 5 }));
    run(&mut detector, 0, 13 * 96);
    assert_eq!(detector.run(reading(13 * 96, 9.5)).emissions.len(), 1);
}

#[test]
fn a_lasting_drop_is_told_once_with_its_days() {
    for (config, days) in [(json!({}), 15..=16), (json!({ "lasting_days": 1 }), 1..=4)] {
        let mut detector = learnt(&config);
        let low: Vec<Outcome> =
            (30 * 96..60 * 96).map(|n| detector.run(reading(n, usual(n) * 0.4))).collect();
        let changed: Vec<Value> =
            alerts(&low).into_iter().filter(|alert| alert["anomaly"] == "changed").collect();
        let [alert] = &changed[..] else { panic!("one, not {changed:?}") };
        let ratio = alert["seen"].as_f64().unwrap() / alert["expected"].as_f64().unwrap();
        assert!((0.35..0.5).contains(&ratio), "{alert}");
        assert_eq!(alert["severity"], "major");
        assert!(days.contains(&alert["days"].as_u64().unwrap()), "{alert}");
    }
}

#[test]
fn a_stuck_value_is_told_once_at_the_eighth() {
    let mut detector = learnt(&json!({}));
    let from = 30 * 96 + 40;
    let stuck: Vec<Outcome> = (0..50).map(|n| detector.run(reading(from + n, 0.21))).collect();
    assert_eq!(alerts(&stuck[..7]).len(), 0);
    let told = alerts(&stuck);
    let stuck: Vec<&Value> = told.iter().filter(|alert| alert["anomaly"] == "stuck").collect();
    let [alert] = &stuck[..] else { panic!("one, not {told:?}") };
    assert_eq!((&alert["times"], &alert["severity"]), (&json!(8), &json!("major")));
}

#[test]
fn whatever_is_a_number_can_be_watched_deep_in_the_body_and_as_a_register() {
    let config = json!({ "quantities": [
        { "name": "import", "field": "obis/1-0:1.8.0", "register": true, "resolution": 0.01 },
        { "name": "temperature", "lasting": false, "stuck": 0 },
    ] });
    let mut detector = tester(&config);
    let (mut stands, mut told) = (1000.0, Vec::new());
    for n in 0..40 * 96 {
        stands += if n == 35 * 96 { 9.0 } else { usual(n) };
        let warm = if n == 36 * 96 { 95.0 } else { 20.0 + chance(n) };
        let obis = json!({ "1-0:32.7.0": 231.4, "1-0:1.8.0": stands });
        let body =
            json!({ "ts": at(n), "obis": obis, "more": [1, { "a": null }], "temperature": warm });
        told.extend(alerts(&[detector.run(input(&body))]));
    }
    let classes: Vec<&str> = told.iter().map(|alert| alert["class"].as_str().unwrap()).collect();
    assert_eq!(classes, ["import", "temperature"], "{told:?}");
    assert!(
        (told[0]["seen"].as_f64().unwrap() - 36.0).abs() < 0.01,
        "9 kWh in a quarter of an hour"
    );
}

#[test]
fn state_stays_small_and_meters_apart() {
    let mut detector = tester(&json!({}));
    for n in 0..2000 {
        detector.run(input(&json!({ "ts": at(n), "kwh": usual(n), "voltage": 230.0 + chance(n) })));
    }
    let bytes = detector.state_bytes("m-1");
    assert!(bytes < 2 * 1228, "{bytes} for two series");
    assert!(detector.state("m-2").is_none());
}

#[test]
fn state_comes_back_as_it_was() {
    let mut detector = learnt(&json!({}));
    detector.run(input(&json!({ "ts": at(9000), "kwh": 1, "voltage": 231, "serial": "a" })));
    let meter = detector.state("m-1").unwrap();
    let bytes = sluicegate_sdk::Encoded::to_bytes(&*meter).as_ref().to_vec();
    assert_eq!(<super::Meter as sluicegate_sdk::Encoded>::from_bytes(&bytes), Some(meter.0));
    let cut = <super::Meter as sluicegate_sdk::Encoded>::from_bytes(&bytes[..bytes.len() - 1]);
    assert_eq!(cut, None);
}

#[test]
fn late_repeated_estimated_and_impossible_readings_teach_nothing() {
    let mut detector = learnt(&json!({}));
    let before = detector.state("m-1").unwrap();
    let late = json!({ "ts": at(100), "kwh": 9.5 });
    let again = json!({ "ts": at(30 * 96 - 1), "kwh": 9.5 });
    let estimated = json!({ "ts": at(30 * 96), "kwh": 9.5, "q": "E" });
    for body in [&estimated, &json!({ "ts": at(30 * 96), "kwh": null }), &json!({ "ts": 5 })] {
        let outcome = detector.run(input(body));
        assert!(outcome.is_next() && outcome.emissions.is_empty());
        assert_eq!(detector.state("m-1").unwrap(), before);
    }
    for body in [&late, &again] {
        assert!(detector.run(input(body)).emissions.is_empty());
    }
    for kwh in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
        let mut body = vec![0x82, 0xa2, b't', b's', 0xce];
        body.extend(u32::try_from(at(30 * 96)).unwrap().to_be_bytes());
        body.extend([0xa3, b'k', b'w', b'h', 0xcb]);
        body.extend(kwh.to_be_bytes());
        let input = Input::new().body("application/msgpack", body).key("m-1");
        assert!(detector.run(input).is_next());
    }
    assert_eq!(detector.run(reading(30 * 96, 9.5)).emissions.len(), 1, "it is as it was");
}

#[test]
fn a_clock_that_ran_ahead_once_does_not_make_a_meter_deaf() {
    let mut detector = learnt(&json!({ "quiet_days": 1 }));
    detector.run(reading(1_000_000, 0.2));
    run(&mut detector, 30 * 96, 40 * 96);
    assert_eq!(detector.run(reading(40 * 96, 9.5)).emissions.len(), 1);
}

#[test]
fn another_device_begins_anew() {
    let mut detector = tester(&json!({}));
    let body = |n: u32, kwh: f64, serial: &str| {
        input(&json!({ "ts": at(n), "kwh": kwh, "serial": serial }))
    };
    for n in 0..30 * 96 {
        detector.run(body(n, usual(n), "old"));
    }
    assert!(detector.run(body(30 * 96, 9.5, "new")).emissions.is_empty());
}

#[test]
fn a_day_begins_where_the_meter_is() {
    let config = json!({ "bins": 2, "quiet_days": 0 });
    let expected = |config: &Value, tz_min: Option<i32>| {
        let mut detector = tester(config);
        for n in 0..20 * 96 {
            // High from 12 to 24 o'clock, UTC.
            let kwh = if n / 48 % 2 == 0 { 0.2 } else { 0.8 } + 0.02 * chance(n);
            detector.run(input(&json!({ "ts": at(n), "kwh": kwh, "tz_min": tz_min })));
        }
        let last = input(&json!({ "ts": at(20 * 96), "kwh": 50, "tz_min": tz_min }));
        alerts(&[detector.run(last)])[0]["expected"].as_f64().unwrap()
    };
    assert!(expected(&config, None) < 0.25);
    assert!(expected(&config, Some(720)) < 0.25, "the same twelve hours, called otherwise");
    // Six hours ahead, each half of the day is half high, half low.
    assert!(expected(&config, Some(360)) > 0.3);
    assert!(expected(&json!({ "bins": 2, "quiet_days": 0, "utc_offset_min": 360 }), None) > 0.3);
}

#[test]
fn time_may_be_text_and_the_body_messagepack() {
    let body = json!({ "meter": "m-1", "ts": "2026-01-01T18:00:00Z", "kwh": 0.5 });
    assert!(tester(&json!({})).run(Input::msgpack(&body).key("m-1")).is_next());
    let mut detector = tester(&json!({}));
    assert_eq!(detector.run(Input::json(&body)).rejected(), Some("no_key"));
    for (ts, code) in
        [(json!("yesterday"), "bad_ts"), (json!(1e300), "bad_ts"), (json!([]), "bad_ts")]
    {
        assert_eq!(detector.run(input(&json!({ "ts": ts, "kwh": 1 }))).rejected(), Some(code));
    }
    assert_eq!(detector.run(input(&json!({ "kwh": 1 }))).rejected(), Some("missing_ts"));
}

#[test]
fn a_config_that_can_not_be_meant_is_refused_with_the_field() {
    let one = |quantity: Value| json!({ "quantities": [quantity] });
    for (config, says) in [
        (json!({ "threshold": 0 }), "`threshold`: must be above 0"),
        (json!({ "alert": 19 }), "`alert`: must be at least `threshold`"),
        (json!({ "bins": 49 }), "`bins`: must be 1 to 48"),
        (json!({ "habit": -1 }), "`habit`: must be"),
        (json!({ "lasting_days": 0 }), "`lasting_days`: must be 1 to 90"),
        (json!({ "quiet_days": 1000 }), "`quiet_days`: must be 0 to 366"),
        (json!({ "utc_offset_min": 2000 }), "`utc_offset_min`: must be"),
        (json!({ "channels": ["rarity", "taste"] }), "`channels`: no 'taste' among time_of_day"),
        (json!({ "quantities": [] }), "`quantities`: must be 1 to 8"),
        (one(json!({ "name": "A b" })), "`quantities`: 'A b': a name is of"),
        (one(json!({ "name": "a", "field": "obis//x" })), "`quantities`: 'a': an empty name"),
        (one(json!({ "name": "a", "resolution": -1 })), "`quantities`: 'a': `resolution`"),
        (json!({ "quantities": [{ "name": "a" }, { "name": "a" }] }), "'a' is there twice"),
        (json!({ "treshold": 3 }), "unknown field `treshold`"),
        (one(json!({ "name": "a", "filed": "b" })), "unknown field `filed`"),
    ] {
        let error = Tester::<Detector>::new(&config).err().unwrap().to_string();
        assert!(error.contains(says), "{error}");
    }
}
