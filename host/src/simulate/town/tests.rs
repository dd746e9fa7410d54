#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Planted, Settings, Town, Truth};
use crate::broker::Outgoing;

fn settings() -> Settings {
    Settings { meters: 60, days: 10, planted: 0.5, ..Settings::default() }
}

fn body(message: &Outgoing) -> Value {
    match message.properties.content_type.as_deref() {
        Some("application/json") => serde_json::from_slice(&message.body).unwrap(),
        _ => rmp_serde::from_slice(&message.body).unwrap(),
    }
}

fn is(message: &Outgoing, kind: &str) -> bool {
    message.properties.kind.as_deref() == Some(kind)
}

/// Messages and truths of all of it.
fn all(settings: Settings) -> (Vec<Outgoing>, Vec<Truth>) {
    let mut town = Town::new(settings);
    let messages: Vec<Outgoing> = town.by_ref().collect();
    let truths = town.truths().collect();
    (messages, truths)
}

#[test]
fn the_same_seed_gives_the_same_messages_and_another_gives_others() {
    let (first, truths) = all(settings());
    assert_eq!((first.clone(), truths), all(settings()));
    assert_ne!(first, all(Settings { seed: 2, ..settings() }).0);
}

#[test]
fn what_comes_is_what_the_truth_says_it_is() {
    let (messages, truths) = all(settings());
    let mut came: BTreeMap<(String, i64), u64> = BTreeMap::new();
    let mut twice = 0;
    for message in messages.iter().filter(|message| is(message, "reading")) {
        let reading = body(message);
        let kwh = reading["obis"]["1-0:1.29.0"].as_f64().unwrap();
        let id = message.properties.message_id.clone().unwrap();
        if id.ends_with("-again") {
            twice += 1;
        } else {
            let meter = reading["meter"].as_str().unwrap().to_owned();
            let seq = reading["seq"].as_i64().unwrap();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a few kWh"
            )]
            let wh = (kwh * 1000.0).round() as u64;
            assert_eq!(came.insert((meter, seq), wh), None);
        }
    }
    let count = |which: fn(&Truth) -> bool| truths.iter().filter(|truth| which(truth)).count();
    assert_eq!(count(|truth| matches!(truth, Truth::Twice { .. })), twice);
    let (mut intervals, mut energy) = (0, 0);
    for truth in &truths {
        if let Truth::Day { wh, intervals: of_day, .. } = truth {
            intervals += *of_day;
            energy += wh.iter().sum::<u64>();
        }
    }
    assert_eq!((intervals, energy), (came.len() as u64, came.values().sum()));
    let all = 60.0 * 10.0 * 96.0;
    let lost = count(|truth| matches!(truth, Truth::Lost { .. })) as f64 / all;
    let late = count(|truth| matches!(truth, Truth::Late { .. })) as f64 / all;
    assert!((0.007..0.013).contains(&lost) && (0.04..0.06).contains(&late), "{lost} {late}");
}

#[test]
fn it_goes_step_by_step_as_it_goes_message_by_message() {
    let mut town = Town::new(settings());
    let steps: Vec<(i64, Vec<Outgoing>)> = std::iter::from_fn(|| town.step()).collect();
    assert!(steps.is_sorted_by(|a, b| a.0 < b.0));
    let by_step: Vec<Outgoing> = steps.into_iter().flat_map(|(_, messages)| messages).collect();
    assert!(by_step == all(settings()).0, "the same messages in the same order");
}

#[test]
fn the_register_of_a_silent_meter_goes_on_and_that_of_one_without_power_stands() {
    let quiet =
        Settings { late: 0.0, lost: 0.0, twice: 0.0, drifting: 0.0, days: 20, ..settings() };
    let (messages, truths) = all(Settings { meters: 200, ..quiet });
    let readings = |of: &str| -> Vec<Value> {
        let of = messages.iter().filter(|message| message.routing_key.contains(of));
        of.filter(|message| is(message, "reading")).map(body).collect()
    };
    // What the register rose by over the longest gap, beside the interval that ended it.
    let missing = |readings: &[Value]| {
        let code = |n: usize, code: &str| readings[n]["obis"][code].as_f64().unwrap();
        let at = |n: usize| {
            let ts = readings[n]["ts"].as_str().unwrap().parse::<jiff::Timestamp>();
            ts.unwrap().as_second()
        };
        let n = (1..readings.len()).max_by_key(|n| at(*n) - at(n - 1)).unwrap();
        code(n, "1-0:1.8.0") - code(n - 1, "1-0:1.8.0") - code(n, "1-0:1.29.0")
    };
    let planted = |truth: &Truth, kind: Planted| match truth {
        Truth::Planted { what, of, to, .. } if *what == kind => Some((of.clone(), *to)),
        _ => None,
    };
    let (silent, _) = truths.iter().find_map(|truth| planted(truth, Planted::Silent)).unwrap();
    assert!(missing(&readings(&silent)) > 1.0);
    let (transformer, _) = truths.iter().find_map(|t| planted(t, Planted::Outage)).unwrap();
    let gasps = messages.iter().filter(|message| is(message, "event")).map(body);
    let dark =
        gasps.filter(|event| event["transformer"] == *transformer).map(|e| e["meter"].clone());
    let dark: BTreeSet<String> = dark.map(|id| id.as_str().unwrap().to_owned()).collect();
    let other = |id: &&String| {
        !truths.iter().any(|t| planted(t, Planted::Silent).is_some_and(|(of, _)| of == **id))
    };
    for meter in dark.iter().filter(other) {
        assert!(missing(&readings(meter)).abs() < 1e-6, "{meter}");
    }
}

#[test]
fn planted_anomalies_are_in_the_readings_of_their_meters() {
    let (messages, truths) =
        all(Settings { late: 0.0, lost: 0.0, twice: 0.0, meters: 200, ..settings() });
    let mut kinds = BTreeSet::new();
    for truth in &truths {
        let Truth::Planted { what, of, from, to } = truth else { continue };
        kinds.insert(format!("{what:?}"));
        let within: Vec<Value> = messages
            .iter()
            .filter(|message| is(message, "reading") && message.routing_key.contains(of.as_str()))
            .map(body)
            .filter(|reading| {
                let ends = reading["ts"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
                // Its clock may be off by some minutes.
                (*from + 450..=*to + 450).contains(&ends.as_second())
            })
            .collect();
        let kwh = |reading: &Value| reading["obis"]["1-0:1.29.0"].as_f64().unwrap();
        match what {
            Planted::Spike => {
                assert!(within.iter().any(|reading| kwh(reading) >= 3.0), "{truth:?}")
            }
            Planted::Silent => assert!(within.len() <= 1, "{truth:?}"),
            Planted::Stuck => {
                let values: BTreeSet<String> = within.iter().map(|r| kwh(r).to_string()).collect();
                assert!(values.len() <= 2, "{truth:?} {values:?}");
            }
            Planted::Reverse | Planted::Drop | Planted::Battery | Planted::Outage => {}
        }
    }
    assert_eq!(kinds.len(), 7, "{kinds:?}");
}

#[test]
fn a_transformer_that_fails_takes_its_meters_along() {
    let (messages, truths) = all(settings());
    let outage = truths.iter().find_map(|truth| match truth {
        Truth::Planted { what: Planted::Outage, of, .. } => Some(of.clone()),
        _ => None,
    });
    let events = |what: &str| {
        let events = messages.iter().filter(|message| is(message, "event")).map(body);
        events
            .filter(|event| event["event"] == what)
            .map(|e| e["transformer"].clone())
            .collect::<Vec<_>>()
    };
    let gasps = events("last_gasp");
    assert!(gasps.len() >= 10 && gasps.iter().all(|of| *of == *outage.as_ref().unwrap()));
    assert_eq!(events("power_restored"), gasps);
}

#[test]
fn weeks_and_seasons_show_in_what_is_used() {
    let quiet = Settings { planted: 0.0, outages: 0, late: 0.0, meters: 200, ..settings() };
    let energy = |start_s: i64| -> f64 {
        let (messages, _) = all(Settings { start_s, days: 3, ..quiet.clone() });
        let readings = messages.iter().filter(|message| is(message, "reading")).map(body);
        readings.map(|reading| reading["obis"]["1-0:1.29.0"].as_f64().unwrap()).sum()
    };
    let (january, july) = (energy(1_768_435_200), energy(1_784_073_600));
    assert!(january > 1.2 * july, "{january} {july}");
    let table = Town::new(quiet).table();
    assert_eq!(table.lines().count(), 201);
    assert!(table.lines().nth(1).unwrap().starts_with("m-000001,north,t-0001,"));
}
