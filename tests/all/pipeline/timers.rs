//! Timers on a host whose clock is held: set by the thousand, or as many as one likes as `cargo xtask timers`,
//! over a restart; and the absence of messages, told by a plugin.

#![allow(clippy::cast_possible_truncation, reason = "figures of a test: small ones")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;
use sluicegate::broker::Outgoing;
use sluicegate::message::{Message, Properties, Table};

use super::world::{NOON_US, SINK, WORK, World, json, until};

/// What `cargo xtask timers` says.
const VARIABLE: &str = "SLUICEGATE_TIMERS";
/// Timers where nobody says how many.
const TIMERS: u64 = 3000;
/// Messages that are on their way at once.
const GROUP: u64 = 5000;
const SECOND: Duration = Duration::from_secs(1);

/// One shard, so that all timers have one order.
const WAKER: &str = r##"
[[plugin]]
name = "waker"
file = "waker.wasm"
limits = { call = "2s" }

[[pipeline]]
name = "main"
queue = "work"
key = { header = "key" }
stages = ["waker"]
prefetch = 5000
outputs.out = { exchange = "out" }

[service]
shards = 1
"##;

const ABSENCE: &str = r##"
[[plugin]]
name = "absence"
file = "builtin:meter-absence"
config = { after_s = 900 }

[[pipeline]]
name = "main"
queue = "work"
key = { header = "key" }
stages = ["absence"]
outputs.alerts = { exchange = "out" }
"##;

fn of(key: &str, body: String) -> Outgoing {
    Outgoing {
        exchange: "in".to_owned(),
        routing_key: "reading".to_owned(),
        properties: Properties {
            content_type: Some("application/json".to_owned()),
            headers: Table::from_iter([("key", key)]),
            ..Properties::default()
        },
        body: body.into(),
    }
}

/// When the timer of that key is due: neighbours far from each other, pairs at the same moment.
fn due_us(key: u64, all: u64) -> u64 {
    let scattered = key.wrapping_mul(7919) % all;
    NOON_US + 60_000_000 + (scattered / 2) * 1000
}

/// Resident memory now, in MiB.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() / 1024
}

/// Takes so many lines, in the order in which they came.
async fn lines(world: &World, count: usize) -> Vec<Value> {
    let mut lines = Vec::new();
    while lines.len() < count {
        let some = (count - lines.len()).min(2000);
        lines.extend(world.take("sink", some).await.iter().map(json));
    }
    lines
}

/// How many of those came before one that was due earlier.
fn disorder(lines: &[Value]) -> usize {
    let due: Vec<u64> = lines.iter().map(|line| line["due_us"].as_u64().unwrap()).collect();
    due.windows(2).filter(|pair| pair[0] > pair[1]).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn timers_by_the_thousand_outlast_a_restart_and_run_in_order_each_once() {
    let told = std::env::var(VARIABLE).ok();
    let all: u64 = told.as_deref().and_then(|n| n.parse().ok()).unwrap_or(TIMERS);
    let say = |text: String| {
        if told.is_some() {
            println!("{text}")
        }
    };
    let parts = [WORK, SINK, WAKER];
    let mut world = World::held(&parts).await;
    let begun = Instant::now();
    let mut set = 0;
    while set < all {
        let group = (set..all.min(set + GROUP))
            .map(|key| of(&format!("k{key:07}"), format!("{{\"due_us\":{}}}", due_us(key, all))));
        world.publish_raw(group.collect()).await;
        set = all.min(set + GROUP);
        world.settled("work").await;
    }
    say(format!("{all} timers set in {:.1?}, {} MiB", begun.elapsed(), resident_mib()));
    // What is acknowledged is kept; the index follows a moment later.
    let indexed = || world.metric("sluicegate_timer_keys");
    until("every key has its timer", || (indexed() - all as f64).abs() < 0.1).await;
    assert!(world.rest("sink").is_empty(), "none is due yet");

    // Half of them fall due while no host runs.
    let half = 60 * SECOND + Duration::from_millis(all / 4);
    let begun = Instant::now();
    world.restart(half, &parts).await;
    say(format!("stopped and started in {:.1?}, {} MiB", begun.elapsed(), resident_mib()));
    let now_us = world.clock.now_us();
    let due = (0..all).filter(|key| due_us(*key, all) <= now_us).count();
    let begun = Instant::now();
    let first = lines(&world, due).await;
    let took = begun.elapsed();
    say(format!("{due} that were due ran in {took:.1?}, {} MiB", resident_mib()));
    assert_eq!(disorder(&first), 0);
    for line in &first {
        let late = now_us - line["due_us"].as_u64().unwrap();
        assert_eq!(line["late_us"].as_u64().unwrap(), late, "how late it is: {line}");
    }
    world.settled("work").await;
    assert!(world.rest("sink").is_empty(), "the others aren't due");

    world.clock.advance(Duration::from_secs(3600 * 24));
    let begun = Instant::now();
    let last = lines(&world, all as usize - due).await;
    say(format!("the other {} in {:.1?}, {} MiB", last.len(), begun.elapsed(), resident_mib()));
    assert_eq!(disorder(&last), 0);
    let keys: BTreeSet<&str> =
        first.iter().chain(&last).map(|line| line["key"].as_str().unwrap()).collect();
    assert_eq!(keys.len() as u64, all, "each key once");
    assert!(first.iter().chain(&last).all(|line| line["counted"] == 1));
    until("none is left", || world.metric("sluicegate_timer_keys") < 0.1).await;
    world.end().await;
}

/// Who an alert of which kind is about.
fn alert(message: &Message) -> (String, String) {
    let kind = message.properties.kind.clone().unwrap_or_default();
    (kind, json(message).as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meter_that_falls_silent_is_told_of_once_and_others_never() {
    let world = World::held(&[WORK, SINK, ABSENCE]).await;
    let reading = |meter: &str, n: u32| of(meter, format!("{{\"n\":{n}}}"));
    world.publish_raw(vec![reading("silent", 0), reading("talks", 0)]).await;
    world.settled("work").await;
    for n in 1..5 {
        world.clock.advance(600 * SECOND);
        world.publish_raw(vec![reading("talks", n)]).await;
        world.settled("work").await;
    }
    let told = |kind: &str, meter: &str| (kind.to_owned(), meter.to_owned());
    assert_eq!(alert(&world.take("sink", 1).await[0]), told("meter.silent", "silent"));
    world.clock.advance(600 * SECOND);
    world.publish_raw(vec![reading("silent", 1), reading("talks", 5)]).await;
    assert_eq!(alert(&world.take("sink", 1).await[0]), told("meter.back", "silent"));
    world.settled("work").await;
    assert!(world.rest("sink").is_empty(), "once, and of nobody else");
    world.clock.advance(900 * SECOND);
    let mut last: Vec<_> = world.take("sink", 2).await.iter().map(alert).collect();
    last.sort();
    assert_eq!(last, [told("meter.silent", "silent"), told("meter.silent", "talks")]);
    world.end().await;
}
