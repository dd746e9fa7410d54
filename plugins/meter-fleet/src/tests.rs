#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use serde_json::{Value, json};
use sluicegate_sdk::testing::{Input, Outcome, Tester};

use super::Fleet;

fn change(aspect: &str, area: &str, before: &str, level: &str) -> Input {
    let body = json!({ "aspect": aspect, "area": area, "before": before, "level": level });
    Input::json(&body).kind("status.change").key("north")
}

fn figures(outcomes: &[Outcome]) -> Vec<Value> {
    outcomes.iter().flat_map(|outcome| &outcome.emissions).map(|told| told.json()).collect()
}

#[test]
fn a_regions_meters_are_counted_and_its_worst_areas_told_once_a_minute() {
    let mut region = Tester::<Fleet>::new(&json!({ "worst": 2 })).unwrap();
    for n in 0..30 {
        region.run(change("connection", &format!("t-{}", n % 3), "unknown", "ok"));
    }
    for (area, before, level) in [
        ("t-0", "ok", "minor"),
        ("t-0", "minor", "major"),
        ("t-1", "ok", "minor"),
        ("t-1", "ok", "minor"),
        ("t-2", "ok", "minor"),
        ("t-2", "minor", "ok"),
    ] {
        region.run(change("connection", area, before, level));
    }
    region.run(change("battery", "t-0", "ok", "minor"));
    region.run(change("battery", "t-0", "minor", "major"));
    region.run(change("signal", "t-0", "ok", "minor"));
    let told = figures(&region.pass(Duration::from_secs(60)));
    let expected = json!({
        "region": "north", "meters": 30, "online": 27, "online_permille": 900, "silent": 2, "lost": 1,
        "battery_minor": 0, "battery_major": 1,
        "worst": [
            { "area": "t-1", "meters": 10, "offline": 2 },
            { "area": "t-0", "meters": 10, "offline": 1 },
        ],
    });
    assert_eq!(told, [expected]);
    assert!(figures(&region.pass(Duration::from_secs(3600))).is_empty(), "nothing changed");
}

#[test]
fn a_meter_that_is_gone_counts_no_more() {
    let mut region = Tester::<Fleet>::new(&json!({ "areas_max": 1 })).unwrap();
    region.run(change("connection", "t-1", "unknown", "ok"));
    region.run(change("connection", "t-2", "unknown", "ok"));
    region.run(change("connection", "t-1", "ok", "unknown"));
    let told = figures(&region.pass(Duration::from_secs(60)));
    assert_eq!((&told[0]["meters"], &told[0]["online_permille"]), (&json!(1), &json!(1000)));
    assert!(Tester::<Fleet>::new(&json!({ "every_s": 0 })).is_err());
}
