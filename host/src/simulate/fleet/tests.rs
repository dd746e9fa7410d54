#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use super::{Fleet, OUTAGE_ROUNDS};
use crate::simulate::{Bad, Fault, Plant, Simulated};

fn decode(simulated: &Simulated) -> Option<Value> {
    let message = &simulated.message;
    match message.properties.content_type.as_deref() {
        Some("application/msgpack") => rmp_serde::from_slice(&message.body).ok(),
        Some("application/json") => serde_json::from_slice(&message.body).ok(),
        _ => None,
    }
}

fn sample() -> Vec<Simulated> {
    Fleet::new(7, 250).take(100_000).collect()
}

#[test]
fn the_same_seed_gives_the_same_messages_and_another_does_not() {
    let first = |seed| Fleet::new(seed, 50).take(2_000).collect::<Vec<_>>();
    assert_eq!(first(1), first(1));
    assert_ne!(first(1), first(2));
}

#[test]
fn a_message_says_of_itself_what_its_routing_key_says() {
    for simulated in sample().iter().filter(|one| !matches!(one.planted, Some(Plant::Bad(_)))) {
        let message = &simulated.message;
        let body = decode(simulated).unwrap();
        let (meter, region) = (body["meter"].as_str().unwrap(), body["region"].as_str().unwrap());
        let kind = message.properties.kind.as_deref().unwrap();
        assert_eq!(message.routing_key, format!("meter.{region}.{meter}.{kind}"));
        assert_eq!(message.properties.headers.text("meter-id"), Some(meter));
        assert_eq!(message.properties.priority, (kind == "event").then_some(4));
        body["ts"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    }
}

#[test]
fn ids_are_distinct_and_a_meters_numbers_rise() {
    let mut ids = HashSet::new();
    let mut last = BTreeMap::new();
    for simulated in sample() {
        let id = simulated.message.properties.message_id.clone().unwrap();
        let (meter, seq) = id.rsplit_once('-').unwrap();
        let seq: u64 = seq.parse().unwrap();
        assert!(last.insert(meter.to_owned(), seq).unwrap_or(0) < seq);
        assert!(ids.insert(id));
    }
}

#[test]
fn everything_is_planted_and_counted() {
    let mut fleet = Fleet::new(7, 250);
    let mut planted = BTreeMap::<Plant, u64>::new();
    for _ in 0..100_000 {
        if let Some(plant) = fleet.next_message().planted {
            *planted.entry(plant).or_default() += 1;
        }
    }
    let sent = fleet.sent();
    for bad in Bad::ALL {
        assert!(planted[&Plant::Bad(bad)] > 20, "{bad:?}");
    }
    for fault in Fault::LONE.into_iter().chain([Fault::PowerLoss, Fault::PowerRestore]) {
        assert!(planted[&Plant::Fault(fault)] > 10, "{fault:?}");
    }
    assert_eq!(planted[&Plant::Spike], sent.spikes);
    assert_eq!(sent.messages, 100_000);
    assert_eq!(sent.readings + sent.events + sent.statuses, sent.messages);
    assert_eq!(sent.events, sent.faults);
}

#[test]
fn readings_are_plausible_and_spikes_stand_out() {
    let mut usual = BTreeMap::<String, f64>::new();
    for simulated in sample() {
        if simulated.message.properties.kind.as_deref() != Some("reading") {
            continue;
        }
        let Some(body) = decode(&simulated) else { continue };
        let (Some(kwh), Some(meter)) = (body["kwh"].as_f64(), body["meter"].as_str()) else {
            continue;
        };
        match simulated.planted {
            None => {
                assert!((0.0..2.0).contains(&kwh), "{kwh}");
                let voltage = body["voltage"].as_f64().unwrap();
                assert!((215.0..245.0).contains(&voltage), "{voltage}");
                let mean = usual.entry(meter.to_owned()).or_insert(kwh);
                *mean += 0.05 * (kwh - *mean);
            }
            Some(Plant::Spike) => assert!(kwh > 2.0 * usual[meter], "{kwh} after {}", usual[meter]),
            Some(_) => {}
        }
    }
}

#[test]
fn meters_without_power_are_silent_until_it_is_back() {
    let mut dark = HashSet::new();
    let mut outages = 0;
    for simulated in sample() {
        let meter = simulated.message.properties.headers.text("meter-id").unwrap().to_owned();
        match simulated.planted {
            Some(Plant::Fault(Fault::PowerLoss)) => {
                outages += 1;
                assert!(dark.insert(meter));
            }
            Some(Plant::Fault(Fault::PowerRestore)) => assert!(dark.remove(&meter)),
            _ => assert!(!dark.contains(&meter), "{meter} for {OUTAGE_ROUNDS} rounds"),
        }
    }
    assert!(outages >= 25);
}
