#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use serde_json::{Value, json};
use sluicegate_sdk::testing::{Emitted, Input, Outcome, Tester};

use super::Status;

const DAY: u64 = 86_400;

fn tester() -> Tester<Status> {
    Tester::new(&json!({})).unwrap()
}

fn message(kind: &str, body: &Value) -> Input {
    Input::json(body).kind(kind).key("m-1").routing_key(&format!("meter.north.m-1.{kind}"))
}

fn reading(seq: u64) -> Input {
    message("reading", &json!({ "meter": "m-1", "kwh": 0.25, "seq": seq }))
}

fn status(body: Value) -> Input {
    message("status", &body)
}

fn to<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>, output: &str) -> Vec<&'a Emitted> {
    let emissions = outcomes.into_iter().flat_map(|outcome| &outcome.emissions);
    emissions.filter(|emitted| emitted.output == output).collect()
}

/// Aspect, before, after.
fn changes<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Vec<[String; 3]> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let changes = to(outcomes, "changes").into_iter().map(|change| change.json());
    changes.map(|c| [text(&c["aspect"]), text(&c["before"]), text(&c["level"])]).collect()
}

fn change(aspect: &str, before: &str, after: &str) -> [String; 3] {
    [aspect, before, after].map(str::to_owned)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn three_silent_intervals_have_the_meter_read_again_and_a_day_sends_somebody() {
    let mut meter = tester();
    assert_eq!(changes([&meter.run(reading(1))]), [change("connection", "unknown", "ok")]);
    assert!(changes([&meter.run(reading(2))]).is_empty());
    assert!(meter.pass(seconds(2699)).is_empty());
    let silent = meter.pass(seconds(1));
    assert_eq!(changes(&silent), [change("connection", "ok", "minor")]);
    let action = to(&silent, "actions")[0];
    assert_eq!(action.routing_key, "read_again");
    let body = action.json();
    assert_eq!(
        (&body["from"], &body["to"]),
        (&json!("2026-01-01T00:00:00Z"), &json!("2026-01-01T00:45:00Z"))
    );
    let lost = meter.pass(seconds(DAY - 2700));
    assert_eq!(changes(&lost), [change("connection", "minor", "major")]);
    assert_eq!(to(&lost, "actions")[0].json()["action"], "work_order");
    assert!(changes(&meter.pass(seconds(10 * DAY))).is_empty());
    assert_eq!(changes([&meter.run(reading(3))]), [change("connection", "major", "ok")]);
}

#[test]
fn a_host_that_was_down_takes_no_meter_for_silent() {
    let mut meter = tester();
    meter.run(reading(1));
    assert!(changes(&meter.pass_down(seconds(2 * DAY))).is_empty());
    assert!(changes([&meter.run(reading(2))]).is_empty());
}

#[test]
fn a_battery_is_told_of_by_its_level_by_its_slope_and_by_the_meters_own_word() {
    let mut meter = tester();
    let mut seen = Vec::new();
    // 10 mV a day, from 3.6 V: 30 days before 2.54 V are at 2.84 V.
    for day in 0..80 {
        let volts = 3.6 - f64::from(day) * 0.01;
        seen.push(meter.run(status(json!({ "batt_v": volts }))));
        if let [.., level] = &changes(&seen[seen.len() - 1..])[..]
            && level[0] == "battery"
        {
            let left = (volts - 2.54) / 0.01;
            let limit = if level[2] == "minor" { 180.0 } else { 30.0 };
            assert!(day == 7 || (limit - 2.0..limit).contains(&left), "{level:?} {left}");
        }
        seen.extend(
            meter.pass(seconds(DAY)).into_iter().filter(|o| changes([o])[0][0] == "battery"),
        );
    }
    let battery: Vec<_> = changes(&seen).into_iter().filter(|c| c[0] == "battery").collect();
    assert_eq!(battery, [change("battery", "ok", "minor"), change("battery", "minor", "major")]);
    let order = to(&seen, "actions").into_iter().find(|a| a.json()["reason"] == "battery").unwrap();
    let days = order.json()["days_left"].as_f64().unwrap();
    assert!((28.0..30.0).contains(&days), "{days}");
    let replaced = meter.run(status(json!({ "batt_v": 3.6 })));
    assert_eq!(changes([&replaced]).last(), Some(&change("battery", "major", "ok")));
    let low = message("event", &json!({ "meter": "m-1", "log": "99.98.0", "id": 7 }));
    assert_eq!(changes([&meter.run(low)]), [change("battery", "ok", "minor")]);

    let mut steady = tester();
    for day in 0..100 {
        let volts = 3.6 + if day % 2 == 0 { 0.005 } else { -0.005 };
        let told = steady.run(status(json!({ "batt_v": volts })));
        assert!(changes([&told]).iter().all(|change| change[0] != "battery"), "{day}");
        steady.pass(seconds(DAY));
    }
    let outlier = steady.run(status(json!({ "batt_v": 1.0 })));
    assert!(changes([&outlier]).iter().all(|change| change[0] != "battery"));
}

#[test]
fn readings_that_do_not_come_and_meters_that_start_anew_are_told_when_the_day_is_over() {
    let mut meter = tester();
    let mut told = Vec::new();
    let mut seq = 0;
    // Whole days of 96, 90, 70, 96 readings; then one with three starts.
    for (day, readings) in [96, 96, 90, 70, 96, 96, 96].into_iter().enumerate() {
        for n in 0..96 {
            if n < readings {
                seq += 1;
                if day == 5 && [20, 40, 60].contains(&n) {
                    seq = 1;
                }
                told.push(meter.run(reading(seq)));
            }
            told.extend(meter.pass(seconds(900)));
        }
    }
    let delivery: Vec<_> = changes(&told).into_iter().filter(|c| c[0] == "delivery").collect();
    let expected = [("ok", "minor"), ("minor", "major"), ("major", "ok"), ("ok", "minor")];
    assert_eq!(delivery, expected.map(|(before, after)| change("delivery", before, after)));
}

#[test]
fn a_signal_at_the_limit_is_told_of_once() {
    let mut meter = tester();
    meter.run(reading(1));
    let dbm = |dbm: f64| status(json!({ "rssi": dbm }));
    assert!(changes([&meter.run(dbm(-100.0))]).is_empty());
    let weak: Vec<_> =
        (0..30).map(|n| meter.run(dbm(if n % 2 == 0 { -107.0 } else { -104.0 }))).collect();
    assert_eq!(changes(&weak), [change("signal", "ok", "minor")]);
    let good: Vec<_> = (0..30).map(|_| meter.run(dbm(-95.0))).collect();
    assert_eq!(changes(&good), [change("signal", "minor", "ok")]);
}

#[test]
fn what_cannot_be_read_is_a_sign_of_life() {
    let broken = Input::new().body("application/json", "{").kind("reading").key("m-1");
    assert_eq!(changes([&tester().run(broken)]), [change("connection", "unknown", "ok")]);
}

#[test]
fn another_firmware_is_told() {
    let mut meter = tester();
    meter.run(status(json!({ "firmware": "4.2.1" })));
    assert!(changes([&meter.run(status(json!({ "fw": "4.2.1" })))]).is_empty());
    let updated = meter.run(status(json!({ "fw": "4.3.0" })));
    assert_eq!(changes([&updated]), [change("firmware", "4.2.1", "4.3.0")]);
}

#[test]
fn a_request_is_answered_to_whoever_asked() {
    let mut meter = tester();
    let request = Input::new().kind("status.request").key("m-1");
    let ask = request.clone().reply_to("desk-7").correlation_id("q-1");
    assert_eq!(meter.run(ask.clone()).emissions[0].json()["known"], false);
    assert!(meter.state("m-1").is_none(), "who asks is no meter");
    meter.run(status(json!({ "batt_v": 3.6, "rssi": -90, "fw": "4.2.1" })));
    let answered = meter.run(ask);
    let reply = &answered.emissions[0];
    assert_eq!((reply.output.as_str(), reply.routing_key.as_str()), ("replies", "desk-7"));
    let body = reply.json();
    assert_eq!((&body["connection"], &body["battery"]), (&json!("ok"), &json!("ok")));
    assert_eq!((&body["battery_v"], &body["firmware"]), (&json!(3.6), &json!("4.2.1")));
    assert_eq!(meter.run(request).rejected(), Some("no_reply_to"));
}

#[test]
fn a_meter_that_moves_is_told_to_both_regions() {
    let mut meter = tester();
    meter.run(reading(1));
    let moved = meter.run(reading(2).header("region", "south"));
    let told = to([&moved], "changes");
    let keys: Vec<&str> = told.iter().map(|change| change.routing_key.as_str()).collect();
    assert_eq!(keys, ["status.connection.info.north", "status.connection.info.south"]);
    assert_eq!(told[0].json()["level"], "unknown");
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    for (config, field) in [
        (json!({ "interval_s": 1 }), "interval_s"),
        (json!({ "silent_s": 2700 }), "silent_s"),
        (json!({ "battery_empty_v": 3 }), "battery_empty_v"),
        (json!({ "battery_major_days": 180 }), "battery_major_days"),
        (json!({ "delivery_major_percent": 96 }), "delivery_major_percent"),
        (json!({ "signal_major_dbm": -100 }), "signal_major_dbm"),
    ] {
        let refused = Tester::<Status>::new(&config).err().unwrap().to_string();
        assert!(refused.starts_with(&format!("`{field}`")), "{refused}");
    }
}
