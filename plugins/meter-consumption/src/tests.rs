#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use sluicegate_sdk::testing::{Emitted, Input, Outcome, Tester};

use super::Consumption;

/// 2026-03-28T23:00:00Z, midnight in Berlin before the day that has 23 hours.
const SPRING: i64 = 1_774_738_800;
/// 2026-10-24T22:00:00Z, midnight before the one of 25.
const AUTUMN: i64 = 1_792_879_200;
const QUARTER: i64 = 900;
const DAY: i64 = 86_400;

fn tester(config: &Value, now_s: i64) -> Tester<Consumption> {
    let now = Duration::from_secs(now_s.unsigned_abs());
    Tester::<Consumption>::new(config).unwrap().at(now)
}

fn berlin(now_s: i64) -> Tester<Consumption> {
    tester(&json!({ "time_zone": "Europe/Berlin" }), now_s)
}

/// A reading of the interval that starts then.
fn reading(start_s: i64, wh: i64) -> Input {
    let body = json!({ "meter": "m-1", "ts": start_s + QUARTER, "kwh": wh as f64 / 1000.0 });
    Input::json(&body).kind("reading").key("m-1").routing_key("meter.north.m-1.reading")
}

fn estimate(start_s: i64, wh: i64) -> Input {
    reading(start_s, wh).header("quality", "E")
}

fn told<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Vec<&'a Emitted> {
    outcomes.into_iter().flat_map(|outcome| &outcome.emissions).collect()
}

/// Period, start, energy and revision of all totals.
fn totals<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Vec<(String, String, i64, u64)> {
    let totals = told(outcomes).into_iter().filter(|total| total.kind() != Some("trend"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    totals
        .filter(|total| total.output == "totals")
        .map(|total| total.json())
        .map(|t| {
            let wh = t["wh"].as_i64().unwrap();
            (text(&t["period"]), text(&t["start"]), wh, t["revision"].as_u64().unwrap())
        })
        .collect()
}

/// A whole day of quarters of so many watt hours, then what else has to pass for it to close.
fn a_day(meter: &mut Tester<Consumption>, start_s: i64, hours: i64, wh: i64) -> Vec<Outcome> {
    let quarters = (0..hours * 4).map(|n| reading(start_s + n * QUARTER, wh));
    let mut outcomes: Vec<Outcome> = quarters.map(|quarter| meter.run(quarter)).collect();
    outcomes.extend(meter.pass(Duration::from_secs(7200)));
    outcomes
}

#[test]
fn an_hour_is_published_once_its_quarters_are_in_and_the_lateness_has_passed() {
    let mut meter = berlin(SPRING + DAY);
    let early: Vec<_> = (0..7).map(|n| meter.run(reading(SPRING + n * QUARTER, 250))).collect();
    assert!(told(&early).is_empty(), "{early:?}");
    let closing = meter.run(reading(SPRING + 7 * QUARTER, 1));
    let hour = told([&closing])[0];
    assert_eq!(hour.routing_key, "total.hour.meter.north");
    assert_eq!(hour.text_header("region"), Some("north"));
    assert_eq!(
        hour.json(),
        json!({
            "meter": "m-1", "region": "north", "period": "hour", "date": "2026-03-29",
            "start": "2026-03-29T00:00:00+01:00", "end": "2026-03-29T01:00:00+01:00",
            "wh": 1000, "intervals": 4, "expected": 4, "estimated": 0, "revision": 1,
        })
    );
}

#[test]
fn days_have_23_and_25_hours_where_clocks_change() {
    for (start_s, hours, from, to) in [
        (SPRING, 23, "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"),
        (AUTUMN, 25, "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"),
        (SPRING - DAY, 24, "2026-03-28T00:00:00+01:00", "2026-03-29T00:00:00+01:00"),
    ] {
        let mut meter = berlin(start_s + hours * 3600);
        let outcomes = a_day(&mut meter, start_s, hours, 100);
        let told = told(&outcomes);
        let day = told.iter().map(|t| t.json()).find(|t| t["period"] == "day").unwrap();
        assert_eq!((&day["start"], &day["end"]), (&json!(from), &json!(to)));
        assert_eq!((&day["wh"], &day["expected"]), (&json!(hours * 400), &json!(hours * 4)));
        let of_hours = totals(&outcomes).into_iter().filter(|total| total.0 == "hour").count();
        assert_eq!(of_hours as i64, hours);
    }
}

#[test]
fn a_zone_is_a_name_or_a_rule() {
    let rule = json!({ "time_zone": "CET-1CEST,M3.5.0,M10.5.0/3" });
    let mut meter = tester(&rule, SPRING + 23 * 3600);
    let outcomes = a_day(&mut meter, SPRING, 23, 100);
    assert!(totals(&outcomes).iter().any(|total| total.0 == "day" && total.2 == 9200));
    let refused = Tester::<Consumption>::new(&json!({ "time_zone": "Mars/Olympus" })).err();
    assert!(refused.unwrap().to_string().starts_with("`time_zone`: no time zone is called"));
}

#[test]
fn an_interval_that_comes_twice_counts_once() {
    let mut meter = berlin(SPRING + DAY);
    for n in [0, 1, 1, 0, 2, 3, 3] {
        meter.run(reading(SPRING + n * QUARTER, 100));
    }
    let closing = meter.run(reading(SPRING + 8 * QUARTER, 1));
    assert_eq!(totals([&closing])[0].2, 400);
}

#[test]
fn what_is_late_is_published_as_a_correction_together_with_what_else_is() {
    let mut meter = berlin(SPRING + 23 * 3600 + 7200);
    let late = [5, 6, 50];
    let on_time = (0..92).filter(|n| !late.contains(n));
    let first: Vec<_> = on_time.map(|n| meter.run(reading(SPRING + n * QUARTER, 10))).collect();
    let closing = meter.run(reading(SPRING + 23 * 3600 + 3600, 1));
    assert!(totals(first.iter().chain([&closing])).iter().any(|t| t.0 == "day" && t.2 == 890));
    for n in late {
        assert!(told([&meter.run(reading(SPRING + n * QUARTER, 1000))]).is_empty());
    }
    let corrected = meter.pass(Duration::from_secs(60));
    let expected = [("01", 2020, 2), ("13", 1030, 2)].map(|(hour, wh, revision)| {
        let offset = if hour == "01" { "+01:00" } else { "+02:00" };
        ("hour".to_owned(), format!("2026-03-29T{hour}:00:00{offset}"), wh, revision)
    });
    let got = totals(&corrected);
    assert_eq!(got[..2], expected);
    assert_eq!((got[2].0.as_str(), got[2].2, got[2].3), ("day", 3890, 2));
    let day = told(&corrected)[2];
    assert_eq!((day.kind(), &day.json()["previous_wh"]), (Some("correction"), &json!(890)));
    assert_eq!(day.routing_key, "correction.day.meter.north");
    assert!(meter.pass(Duration::from_secs(3600)).iter().all(|o| o.emissions.is_empty()));
}

#[test]
fn what_comes_after_all_corrections_is_rejected() {
    let mut meter = berlin(SPRING + 10 * DAY);
    meter.run(reading(SPRING, 10));
    meter.run(reading(SPRING + 5 * DAY, 10));
    assert_eq!(meter.run(reading(SPRING + QUARTER, 10)).rejected(), Some("too_late"));
    assert!(meter.run(reading(SPRING + 3 * DAY, 10)).is_next());
    assert_eq!(meter.run(reading(SPRING + 12 * DAY, 10)).rejected(), Some("ahead"));
}

#[test]
fn an_estimate_gives_way_to_what_was_measured_and_never_the_other_way() {
    let mut meter = berlin(SPRING + DAY);
    meter.run(estimate(SPRING, 500));
    meter.run(estimate(SPRING + QUARTER, 500));
    meter.run(reading(SPRING + QUARTER, 300));
    meter.run(estimate(SPRING + QUARTER, 700));
    let closing = meter.run(reading(SPRING + 8 * QUARTER, 1));
    let hour = told([&closing])[0].json();
    assert_eq!((&hour["wh"], &hour["intervals"]), (&json!(800), &json!(2)));
    assert_eq!(hour["estimated"], 1);
}

#[test]
fn what_the_validation_found_is_believed() {
    let mut meter = berlin(SPRING + DAY);
    let found = |start_s: i64, wh: i64| {
        let headers = [("energy-wh", wh), ("interval-start", start_s), ("interval-s", 900)];
        let input = Input::json(&json!({ "meter": "m-1" })).key("m-1").header("region", "south");
        headers.into_iter().fold(input, |input, (name, value)| input.header(name, value))
    };
    meter.run(found(SPRING + 2, 123));
    let closing = meter.run(found(SPRING + 8 * QUARTER, 1));
    let hour = told([&closing])[0].json();
    assert_eq!((&hour["wh"], &hour["region"]), (&json!(123), &json!("south")));
    let other = reading(SPRING, 1).header("interval-s", 60_i64);
    assert_eq!(meter.run(other).rejected(), Some("interval"));
}

#[test]
fn a_silent_meters_hours_close_by_the_clock_and_not_because_the_host_was_down() {
    let mut meter = berlin(SPRING + 3600);
    for n in 0..4 {
        meter.run(reading(SPRING + n * QUARTER, 100));
    }
    assert!(meter.passing(3599).is_empty());
    assert_eq!(totals(&meter.pass(Duration::from_secs(1)))[0].2, 400);
    let mut meter = berlin(SPRING + 3600);
    meter.run(reading(SPRING, 100));
    assert!(told(&meter.pass_down(Duration::from_secs(8000))).is_empty());
    meter.run(reading(SPRING + QUARTER, 100));
    assert_eq!(totals(&meter.pass(Duration::from_secs(7200)))[0].2, 200);
}

#[test]
fn a_day_that_was_forgotten_while_its_meter_was_silent_is_not_begun_anew() {
    let mut meter = berlin(SPRING + 3600);
    meter.run(reading(SPRING, 100));
    let told = meter.pass(Duration::from_secs(6 * DAY as u64));
    assert!(totals(&told).iter().any(|total| total.0 == "day" && total.2 == 100));
    assert_eq!(meter.run(reading(SPRING + QUARTER, 7)).rejected(), Some("too_late"));
}

/// What a pass of so many seconds tells.
trait Telling {
    fn passing(&mut self, seconds: u64) -> Vec<Value>;
}

impl Telling for Tester<Consumption> {
    fn passing(&mut self, seconds: u64) -> Vec<Value> {
        told(&self.pass(Duration::from_secs(seconds))).iter().map(|told| told.json()).collect()
    }
}

#[test]
fn a_day_is_compared_with_those_before_it() {
    let mut meter = berlin(AUTUMN - 29 * DAY);
    let start_s = AUTUMN - 30 * DAY;
    let mut trends = Vec::new();
    for (day, wh) in [100, 100, 100, 100, 100, 100, 100, 150].into_iter().enumerate() {
        let outcomes = a_day(&mut meter, start_s + day as i64 * DAY, 24, wh);
        let told = told(&outcomes);
        trends.extend(told.iter().filter(|t| t.kind() == Some("trend")).map(|t| t.json()));
        meter.pass(Duration::from_secs(DAY as u64 - 7200));
    }
    assert_eq!(trends.len(), 7, "the first day has nothing before it");
    assert_eq!(trends[0]["change_permille"], 0);
    assert_eq!(
        trends[6],
        json!({
            "meter": "m-1", "region": "north", "date": "2026-10-02", "wh": 14_400, "mean_wh": 9600,
            "days": 7, "change_permille": 500, "week_ago_wh": 9600,
        })
    );
}

#[test]
fn a_regions_totals_are_the_sums_of_its_meters_whatever_comes_late_or_twice() {
    let now_s = SPRING + 2 * DAY;
    let mut meters = tester(&json!({ "time_zone": "Europe/Berlin", "contributions": true }), now_s);
    let config = json!({ "time_zone": "Europe/Berlin", "of": "region" });
    let mut region = tester(&config, now_s);
    let mut expected = BTreeMap::new();
    let mut random = 7_u64;
    let mut regional = Vec::new();
    for turn in 0..4000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (meter, n) = (random >> 60, i64::try_from(random >> 33).unwrap() % 92);
        let wh = i64::try_from(meter).unwrap() * 100 + n;
        // One in three is estimated, and may be measured later.
        let input = reading(SPRING + n * QUARTER, wh).key(&format!("m-{meter}"));
        let input = if turn % 3 == 0 { input.header("quality", "E") } else { input };
        expected.insert((meter, n), wh);
        let outcome = meters.run(input);
        for contribution in outcome.emissions.iter().filter(|e| e.output == "contributions") {
            let input = Input::json(&contribution.json()).kind("contribution").key("north");
            regional.push(region.run(input));
        }
    }
    regional.extend(region.pass(Duration::from_secs(2 * 86_400)));
    let day = totals(&regional).into_iter().rfind(|total| total.0 == "day").unwrap();
    assert_eq!(day.2, expected.values().sum::<i64>());
}

#[test]
fn a_meters_state_is_small_and_a_config_that_asks_for_too_much_is_refused() {
    let mut meter = berlin(SPRING + DAY);
    for day in 0..5 {
        a_day(&mut meter, SPRING + day * DAY, 24, 12_345);
    }
    let bytes = meter.state_bytes("m-1");
    assert!((1000..3000).contains(&bytes), "{bytes} bytes");
    for (config, field) in [
        (json!({ "interval_s": 700 }), "interval_s"),
        (json!({ "correct_days": 60 }), "correct_days"),
        (json!({ "correct_days": -1 }), "correct_days"),
        (json!({ "lateness_s": -1 }), "lateness_s"),
        (json!({ "correction_s": 3601 }), "correction_s"),
    ] {
        let refused = Tester::<Consumption>::new(&config).err().unwrap().to_string();
        assert!(refused.starts_with(&format!("`{field}`")), "{refused}");
    }
}

#[test]
fn events_pass_by_and_readings_without_energy_are_rejected() {
    let mut meter = berlin(SPRING + DAY);
    assert!(meter.run(Input::json(&json!({})).kind("event").key("m-1")).is_next());
    assert!(meter.state("m-1").is_none());
    let unbelieved = reading(SPRING, 1).header("interval-start", SPRING);
    assert!(meter.run(unbelieved).is_next() && meter.state("m-1").is_none());
    let without = Input::json(&json!({ "ts": SPRING })).kind("reading").key("m-1");
    assert_eq!(meter.run(without).rejected(), Some("missing_kwh"));
}
