//! The rules, and what is estimated.

use std::time::Duration;

use serde_json::{Value, json};
use sluicegate_sdk::testing::{Input, Outcome, Tester};

use super::{NOW, Validate};

const QUARTER: i64 = 900;
const DAY: u64 = 86_400;

fn tester(rules: Value) -> Tester<Validate> {
    let config = json!({
        "rules": rules, "exceptions": true, "estimates": true, "split": true, "max_kwh": 1e6,
    });
    // Late enough that nothing lies ahead.
    Tester::<Validate>::new(&config).unwrap().at(Duration::from_secs(NOW as u64 + 400 * 86_400))
}

/// Rules of which only those that are named do anything.
fn only(rules: Value) -> Tester<Validate> {
    let mut all = json!({
        "late_s": 0, "spike": 0, "low": 0, "high": 0, "stuck": 0, "zero_h": 0, "volts": 0,
    });
    for (rule, threshold) in rules.as_object().unwrap() {
        all[rule] = threshold.clone();
    }
    tester(all)
}

/// A reading of the nth quarter of an hour.
fn quarter(n: i64, body: Value) -> Input {
    let mut all = json!({ "meter": "m-1", "ts": NOW + (n + 1) * QUARTER });
    for (name, value) in body.as_object().unwrap() {
        all[name] = value.clone();
    }
    Input::json(&all).kind("reading").key("m-1").routing_key("meter.north.m-1.reading")
}

fn kwh(n: i64, kwh: f64) -> Input {
    quarter(n, json!({ "kwh": kwh }))
}

fn register(n: i64, kwh: f64) -> Input {
    quarter(n, json!({ "obis": { "1-0:1.8.0": kwh } }))
}

fn found(outcome: &Outcome) -> String {
    assert!(outcome.is_next(), "{:?}", outcome.rejected());
    outcome.next().text_header("vee").unwrap_or_default().to_owned()
}

fn quality(outcome: &Outcome) -> &str {
    outcome.next().text_header("quality").unwrap()
}

fn energy(outcome: &Outcome) -> Option<i64> {
    match outcome.next().header("energy-wh") {
        Some(sluicegate_sdk::Value::I64(wh)) => Some(wh),
        _ => None,
    }
}

fn emitted<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>, output: &str) -> Vec<Value> {
    let emissions = outcomes.into_iter().flat_map(|outcome| &outcome.emissions);
    emissions.filter(|emitted| emitted.output == output).map(|emitted| emitted.json()).collect()
}

#[test]
fn a_good_reading_says_what_it_measured() {
    let outcome = only(json!({})).run(kwh(0, 0.25));
    assert_eq!(
        (found(&outcome).as_str(), quality(&outcome), energy(&outcome)),
        ("", "V", Some(250))
    );
    assert_eq!(outcome.next().header("interval-start"), Some(NOW.into()));
    assert!(outcome.emissions.is_empty());
}

#[test]
fn the_long_form_is_read_by_its_obis_codes_and_goes_on_in_the_short_one() {
    let mut meter = only(json!({ "interval_s": 60 }));
    let long = |n: i64, kwh: f64| {
        let obis = json!({ "1-0:1.8.0*255": kwh, "32.7.0": 231.4 });
        let body =
            json!({ "v": 1, "seq": n, "int_s": 900, "tz_min": 60, "obis": obis, "q": "GOOD" });
        quarter(n, body)
    };
    assert_eq!(energy(&meter.run(long(0, 1545.38))), None);
    let second = meter.run(long(1, 1545.63));
    assert_eq!(energy(&second), Some(250));
    let body = second.next().json();
    assert_eq!(
        (&body["kwh"], &body["voltage"], &body["meter"]),
        (&json!(0.25), &json!(231.4), &json!("m-1"))
    );
    let load_profile = quarter(2, json!({ "int_s": 900, "obis": { "1-0:1.29.0": 0.125 } }));
    assert_eq!(energy(&meter.run(load_profile)), Some(125));
}

#[test]
fn status_and_events_that_a_reading_brings_are_messages_of_their_own() {
    let status = json!({ "rssi": -97, "batt_v": 3.58, "fw": "1.2" });
    let events = json!([{ "log": "99.98.1", "id": 42 }, { "log": "99.98.0", "id": 7 }]);
    let body = json!({ "kwh": 0.25, "status": status, "events": events });
    let outcome = only(json!({})).run(quarter(0, body));
    let keys: Vec<&str> = outcome.emissions.iter().map(|e| e.routing_key.as_str()).collect();
    assert_eq!(keys, ["meter.north.m-1.status", "meter.north.m-1.event", "meter.north.m-1.event"]);
    let ts = NOW as f64 + QUARTER as f64;
    assert_eq!(
        emitted([&outcome], "status"),
        [json!({ "meter": "m-1", "ts": ts, "rssi": -97.0, "batt_v": 3.58, "fw": "1.2" })]
    );
    let expected = json!({ "meter": "m-1", "ts": ts, "log": "99.98.1", "id": 42 });
    assert_eq!(emitted([&outcome], "events")[0], expected);
}

#[test]
fn gaps_duplicates_and_disorder_are_seen() {
    let mut meter = only(json!({}));
    let seen: Vec<String> = [0, 1, 1, 5, 3, 3, 6].map(|n| found(&meter.run(kwh(n, 0.25)))).to_vec();
    assert_eq!(seen, ["", "", "duplicate", "gap", "out_of_order", "duplicate", ""]);
    let outcome = only(json!({})).run_batch(&[kwh(0, 1.0), kwh(4, 1.0)]).remove(1);
    let exception = emitted([&outcome], "exceptions").remove(0);
    assert_eq!(exception["findings"], json!([{ "rule": "gap", "seen": 3.0, "limit": 0.0 }]));
    assert_eq!(outcome.emissions[0].routing_key, "vee.gap.north");
}

#[test]
fn late_readings_and_clocks_that_are_off_are_seen() {
    let now = Duration::from_secs(NOW as u64);
    let mut meter = tester(json!({})).at(now);
    assert_eq!(found(&meter.run(kwh(-100, 0.25))), "late");
    assert_eq!(found(&meter.run(kwh(-98, 0.25))), "late,gap");
    let sent = |off: i64| kwh(-90, 0.25).timestamp((NOW + off) as u64);
    let clock = |off: i64| found(&tester(json!({})).at(now).run(sent(off)));
    let clocks = [0, 60, -61, 180, 181].map(clock);
    assert_eq!(clocks, ["", "", "clock_drift", "clock_drift", "clock_invalid"]);
}

#[test]
fn intervals_that_do_not_add_up_to_the_register_are_seen() {
    let mut meter = only(json!({ "sum_wh": 10 }));
    let both =
        |n: i64, register: f64| quarter(n, json!({ "kwh": 0.25, "obis": { "1.8.0": register } }));
    assert_eq!(found(&meter.run(both(0, 100.0))), "");
    assert_eq!(found(&meter.run(both(1, 100.25))), "");
    assert_eq!(found(&meter.run(kwh(2, 0.25))), "");
    assert_eq!(found(&meter.run(both(3, 100.76))), "", "10 Wh are allowed");
    let off = meter.run(both(4, 101.1));
    assert_eq!((found(&off).as_str(), quality(&off)), ("sum", "S"));
    assert_eq!(found(&meter.run(both(6, 120.0))), "gap", "what is missing isn't compared");
}

#[test]
fn a_register_that_falls_rolled_over_or_is_wrong_until_it_is_another_meters() {
    let mut meter = only(json!({ "register_max_kwh": 1000 }));
    meter.run(register(0, 999.9));
    let rolled = meter.run(register(1, 0.2));
    assert_eq!((found(&rolled).as_str(), energy(&rolled)), ("rollover", Some(300)));
    meter.run(register(2, 500.0));
    for n in 3..5 {
        let fallen = meter.run(register(n, 20.0));
        assert_eq!((found(&fallen).as_str(), energy(&fallen)), ("register_decrease", None));
        assert_eq!(quality(&fallen), "S");
    }
    assert_eq!(found(&meter.run(register(5, 20.5))), "register_swap");
    assert_eq!(energy(&meter.run(register(6, 21.0))), Some(500));
}

#[test]
fn energy_above_the_rated_power_and_export_of_a_consumer_are_seen() {
    let row = json!({ "region": "south", "tariff": "night", "transformer": "t-7",
                      "rated_kva": 10, "export": false });
    let mut meter = only(json!({})).row("meters", "m-1", &row);
    let good = meter.run(kwh(0, 2.75));
    assert_eq!(found(&good), "");
    let headers = ["region", "tariff", "transformer"].map(|h| good.next().text_header(h));
    assert_eq!(headers, [Some("south"), Some("night"), Some("t-7")]);
    assert_eq!(found(&meter.run(kwh(1, 2.76))), "limit");
    let export = |n: i64, kwh: f64| quarter(n, json!({ "kwh": 0.25, "obis": { "2.8.0": kwh } }));
    assert_eq!(found(&meter.run(export(2, 10.0))), "");
    assert_eq!(found(&meter.run(export(3, 10.0))), "");
    let reverse = meter.run(export(4, 10.1));
    assert_eq!((found(&reverse).as_str(), quality(&reverse)), ("reverse", "S"));
    let told = reverse.emissions.iter().find(|emitted| emitted.output == "exceptions").unwrap();
    assert_eq!(told.text_header("fault-class"), Some("revenue"));
    // The register of a reading that comes late is one of then.
    meter.run(export(6, 10.1));
    assert_eq!(found(&meter.run(export(5, 10.0))), "out_of_order");
    assert_eq!(found(&meter.run(export(7, 10.1))), "");
}

#[test]
fn a_meter_that_the_table_does_not_know_can_be_refused() {
    let config = json!({ "known_meters": true });
    let row = json!({ "region": "south" });
    let mut meters = Tester::<Validate>::new(&config).unwrap().row("meters", "m-1", &row);
    assert!(meters.run(kwh(-10, 1.0)).is_next());
    assert_eq!(meters.run(kwh(-10, 1.0).key("m-2")).rejected(), Some("unknown_meter"));
}

#[test]
fn stuck_and_empty_registers_are_told_once() {
    let mut meter = only(json!({ "stuck": 8 }));
    let seen: Vec<String> = (0..20).map(|n| found(&meter.run(kwh(n, 0.25)))).collect();
    assert_eq!(seen.iter().position(|seen| seen == "stuck"), Some(7));
    assert_eq!(seen.iter().filter(|seen| !seen.is_empty()).count(), 1);
    for (volts, expected) in [(230.0, Some(95)), (60.0, None)] {
        let mut meter = only(json!({ "zero_h": 24, "volts": 230 }));
        let empty = |n: i64| quarter(n, json!({ "kwh": 0, "obis": { "32.7.0": volts } }));
        let seen: Vec<String> = (0..200).map(|n| found(&meter.run(empty(n)))).collect();
        assert_eq!(seen.iter().position(|seen| seen == "zero"), expected);
    }
}

/// Days of quarters of so much energy, one of it higher; what was found in all.
fn days(meter: &mut Tester<Validate>, from: i64, count: i64, kwh: f64, peak: f64) -> Vec<String> {
    let mut seen = Vec::new();
    for n in from * 96..(from + count) * 96 {
        let energy = if n % 96 == 40 { peak } else { kwh };
        let found = found(&meter.run(quarter(n, json!({ "kwh": energy }))));
        seen.extend((!found.is_empty()).then_some(found));
    }
    seen
}

#[test]
fn a_day_with_a_spike_and_one_far_from_the_usual_are_seen_when_they_are_over() {
    let mut meter = only(json!({ "spike": 1.8, "low": 0.2, "high": 3 }));
    assert!(days(&mut meter, 0, 10, 0.25, 0.3).is_empty());
    assert!(days(&mut meter, 10, 1, 0.25, 0.71).is_empty());
    assert_eq!(days(&mut meter, 11, 1, 0.25, 0.25), ["spike"]);
    assert!(days(&mut meter, 12, 1, 0.8, 0.8).is_empty());
    assert_eq!(days(&mut meter, 13, 1, 0.04, 0.04), ["high"]);
    assert_eq!(days(&mut meter, 14, 1, 0.25, 0.25), ["low"]);
}

#[test]
fn voltages_are_held_against_en_50160() {
    let volts = |n: i64, volts: f64| quarter(n, json!({ "kwh": 0.25, "voltage": volts }));
    let mut meter = tester(json!({ "late_s": 0, "stuck": 0 }));
    let seen: Vec<String> = [207.0, 253.0, 206.9, 195.4, 253.1]
        .into_iter()
        .zip(0..)
        .map(|(v, n)| found(&meter.run(volts(n, v))))
        .collect();
    assert_eq!(seen, ["", "", "voltage", "voltage_critical", "voltage_critical"]);
    let mut meter = tester(json!({ "late_s": 0, "stuck": 0 }));
    // One mean in ten is below the band, in every week.
    let weeks = (0..2 * 7 * 96).map(|n| if n % 10 == 0 { 200.0 } else { 230.0 });
    let seen: Vec<String> = weeks.zip(0..).map(|(v, n)| found(&meter.run(volts(n, v)))).collect();
    assert!(seen.iter().any(|seen| seen.starts_with("voltage_week")));
}

#[test]
fn short_gaps_are_filled_along_a_line_once_what_is_missing_had_the_time_to_come() {
    let mut meter = only(json!({}));
    meter.run(kwh(0, 0.1));
    meter.run(kwh(5, 0.6));
    assert!(meter.pass(Duration::from_secs(3500)).is_empty());
    meter.run(kwh(2, 0.9));
    let estimates = emitted(&meter.pass(Duration::from_secs(100)), "estimates");
    let energies: Vec<&Value> = estimates.iter().map(|estimate| &estimate["kwh"]).collect();
    assert_eq!(energies, [&json!(0.2), &json!(0.4), &json!(0.5)]);
    assert!(estimates.iter().all(|estimate| estimate["q"] == "E" && estimate["meter"] == "m-1"));
    assert_eq!(estimates[0]["ts"], "2026-01-01T00:30:00Z");
}

#[test]
fn long_gaps_are_filled_by_the_same_hours_of_the_week() {
    let mut meter = only(json!({}));
    // Each hour of the week has an energy of its own.
    let usual = |n: i64| ((n / 4) % 168) as f64 / 1000.0;
    for n in 0..7 * 96 {
        meter.run(kwh(n, usual(n)));
    }
    meter.run(kwh(7 * 96 + 52, 0.5));
    let passed = meter.pass(Duration::from_secs(3600));
    let estimates = emitted(&passed, "estimates");
    assert_eq!(estimates.len(), 52);
    for (estimate, n) in estimates.iter().zip(7 * 96..) {
        assert_eq!(estimate["kwh"], usual(n), "{n}");
    }
    assert_eq!(passed[0].emissions[0].text_header("quality"), Some("E"));
    assert!(meter.state_bytes("m-1") < 1000, "{}", meter.state_bytes("m-1"));
}

#[test]
fn what_a_register_rose_by_over_a_gap_is_spread_to_the_last_watt_hour() {
    let mut meter = only(json!({}));
    meter.run(register(0, 10.0));
    let outcome = meter.run(register(4, 11.003));
    let estimates = emitted([&outcome], "estimates");
    assert_eq!(estimates.iter().map(|e| &e["kwh"]).collect::<Vec<_>>(), [0.25; 3]);
    assert_eq!((energy(&outcome), quality(&outcome)), (Some(253), "E"));
    assert!(meter.pass(Duration::from_secs(7200)).is_empty());
}

/// A reading that says its energy and its register.
fn both(n: i64, kwh: f64, register: f64) -> Input {
    quarter(n, json!({ "kwh": kwh, "obis": { "1.8.0": register } }))
}

/// Interval and watt hours of the estimates, the last of each.
fn estimated<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Vec<(i64, i64)> {
    let outcomes = outcomes.into_iter().flat_map(|outcome| &outcome.emissions);
    let mut last = std::collections::BTreeMap::new();
    for told in outcomes.filter(|emitted| emitted.output == "estimates") {
        let number = |name| match told.header(name) {
            Some(sluicegate_sdk::Value::I64(number)) => number,
            other => panic!("{name}: {other:?}"),
        };
        last.insert((number("interval-start") - NOW) / QUARTER, number("energy-wh"));
    }
    last.into_iter().collect()
}

#[test]
fn what_is_estimated_of_a_gap_adds_up_to_what_the_register_rose_by() {
    let mut meter = only(json!({}));
    meter.run(both(0, 0.1, 10.0));
    // 2,007 Wh are missing; one of four comes in time, and one when the others are estimated.
    meter.run(both(5, 0.4, 12.407));
    meter.run(both(2, 0.9, 11.2));
    let first = meter.pass(Duration::from_secs(3600));
    assert_eq!(estimated(&first).iter().map(|(_, wh)| wh).sum::<i64>(), 1107);
    assert_eq!(estimated(&first), [(1, 227), (3, 397), (4, 483)]);
    let late = meter.run(both(3, 0.007, 11.207));
    assert_eq!(estimated([&late]), [(1, 352), (4, 748)], "1,100 Wh are left");
    let again = meter.run(both(3, 0.007, 11.207));
    assert!(estimated([&again]).is_empty(), "what comes twice changes nothing");
    assert_eq!(estimated([&meter.run(both(4, 0.708, 12.0))]), [(1, 392)]);
    // It comes in the place of its estimate, and nothing else is changed by it.
    assert!(estimated([&meter.run(both(1, 0.392, 10.392))]).is_empty());
}

#[test]
fn gaps_of_a_bad_day_are_all_estimated_anew_when_a_part_of_them_comes() {
    let mut meter = only(json!({}));
    meter.run(both(0, 0.1, 10.0));
    // Two of three are missing again and again, 500 Wh of them each time.
    for n in 1..=4 {
        meter.run(both(3 * n, 0.1, 10.0 + 0.6 * n as f64));
        meter.pass(Duration::from_secs(3600));
    }
    assert!(meter.state_bytes("m-1") < 1000, "{}", meter.state_bytes("m-1"));
    for n in 1..=4 {
        let late = meter.run(both(3 * n - 2, 0.123, 0.0));
        assert_eq!(estimated([&late]), [(3 * n - 1, 377)], "gap {n}");
    }
}

#[test]
fn nothing_is_estimated_for_a_meter_that_was_without_power() {
    let mut meter = only(json!({}));
    meter.run(both(0, 0.5, 10.0));
    meter.run(both(20, 0.5, 10.5));
    let estimates = estimated(&meter.pass(Duration::from_secs(3600)));
    assert_eq!(estimates, (1..20).map(|n| (n, 0)).collect::<Vec<_>>());
    // A register that can't be believed is not.
    let config = json!({ "rules": {}, "estimates": true, "max_kwh": 5.0 });
    let mut meter =
        Tester::<Validate>::new(&config).unwrap().at(Duration::from_secs(NOW as u64 + DAY));
    meter.run(both(0, 0.5, 10.0));
    meter.run(both(3, 0.5, 99.0));
    assert_eq!(estimated(&meter.pass(Duration::from_secs(3600))), [(1, 500), (2, 500)]);
}

#[test]
fn thresholds_that_make_no_sense_are_refused() {
    let error = |rules: Value| {
        Tester::<Validate>::new(&json!({ "rules": rules })).err().unwrap().to_string()
    };
    assert_eq!(error(json!({ "spike": -1 })), "`rules.spike`: must be 0 or more");
    assert_eq!(error(json!({ "interval_s": 5 })), "`rules.interval_s`: must be 60 to 86400");
    assert!(error(json!({ "spikes": 1 })).contains("unknown field `spikes`"));
    let mut meters = Tester::<Validate>::new(&json!({ "rules": {} })).unwrap();
    let keyless = Input::json(&json!({ "meter": "m-1", "ts": NOW, "kwh": 1 })).kind("reading");
    assert_eq!(meters.run(keyless).rejected(), Some("no_key"));
}
