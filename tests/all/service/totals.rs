//! Consumption, counted by a host that is killed: the totals are those of a reference to the last watt hour.

use std::collections::BTreeMap;

use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::Value;

use super::process::Site;
use super::traffic::{Traffic, broker, id};
use crate::rabbit::{node, unique};

const METERS: u64 = 50;
/// 2026-03-27T23:00:00Z: midnight in Berlin, before a day of 24 hours, one of 23, and one of 24.
const START: u64 = 1_774_652_400;
const DAYS: [(&str, u64); 3] = [("2026-03-28", 24), ("2026-03-29", 23), ("2026-03-30", 24)];
const QUARTERS: u64 = (24 + 23 + 24) * 4;
const SECONDS: u64 = 900;

fn config(n: &str) -> String {
    format!(
        r#"
{broker}
[failures]
exchange = "{n}.failures"
[[exchange]]
name = "{n}.regional"
kind = "fanout"
[[exchange]]
name = "{n}.totals"
kind = "fanout"
[[queue]]
name = "{n}.in"
kind = "quorum"
dead_letter = {{ queue = "{n}.dead" }}
[[queue]]
name = "{n}.regions"
kind = "quorum"
bind = [{{ exchange = "{n}.regional" }}]
dead_letter = {{ queue = "{n}.dead" }}
[[queue]]
name = "{n}.out"
bind = [{{ exchange = "{n}.totals" }}]
[[plugin]]
name = "meters"
file = "builtin:meter-consumption"
config = {{ time_zone = "Europe/Berlin", correction_s = 1, contributions = true }}
[[plugin]]
name = "regions"
file = "builtin:meter-consumption"
config = {{ time_zone = "Europe/Berlin", correction_s = 1, of = "region" }}
[[pipeline]]
name = "{n}"
queue = "{n}.in"
key = {{ header = "meter-id" }}
stages = ["meters"]
outputs.contributions = {{ exchange = "{n}.regional" }}
outputs.totals = {{ exchange = "{n}.totals" }}
[[pipeline]]
name = "{n}.regions"
queue = "{n}.regions"
key = {{ header = "region" }}
stages = ["regions"]
outputs.totals = {{ exchange = "{n}.totals" }}
"#,
        broker = broker(node())
    )
}

/// A reading: meter, quarter of an hour since the start, watt hours.
#[derive(Clone, Copy)]
struct Reading(u64, u64, u64);

/// All of them in the order of their coming: one in twenty up to a day late, one in fifty twice. Then what closes
/// the last day.
fn readings() -> Vec<Reading> {
    let mut random = 11_u64;
    let mut next = |below: u64| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let mut coming = Vec::new();
    for quarter in 0..QUARTERS {
        for meter in 0..METERS {
            let reading = Reading(meter, quarter, next(2000));
            let late = if next(20) == 0 { 1 + next(96) } else { 0 };
            coming.push((quarter + late, reading));
            if next(50) == 0 {
                coming.push((quarter + late + next(50), reading));
            }
        }
    }
    let closes = |meter| (2 * QUARTERS, Reading(meter, QUARTERS + 8, 0));
    coming.extend((0..METERS).map(closes));
    coming.sort_by_key(|(at, _)| *at);
    coming.into_iter().map(|(_, reading)| reading).collect()
}

/// The date that a quarter lies in.
fn date(quarter: u64) -> Option<&'static str> {
    let ends = DAYS.iter().scan(0, |end, (date, hours)| {
        *end += hours * 4;
        Some((*end, *date))
    });
    ends.into_iter().find(|(end, _)| quarter < *end).map(|(_, date)| date)
}

/// Energy of each day of each meter, and of each region, which have two meters in five and the rest.
fn reference() -> BTreeMap<(String, String), u64> {
    let mut seen = BTreeMap::new();
    for Reading(meter, quarter, wh) in readings() {
        seen.insert((meter, quarter), wh);
    }
    let mut totals = BTreeMap::new();
    for ((meter, quarter), wh) in seen {
        let Some(date) = date(quarter) else { continue };
        for of in [format!("m-{meter}"), region(meter).to_owned()] {
            *totals.entry((of, date.to_owned())).or_insert(0) += wh;
        }
    }
    totals
}

fn region(meter: u64) -> &'static str {
    if meter % 5 < 2 { "north" } else { "south" }
}

async fn publish(traffic: &Traffic, n: &str, part: &[Reading], from: usize) {
    let queue = format!("{n}.in");
    for (group, begin) in part.chunks(500).zip((from..).step_by(500)) {
        let mut confirms = Vec::new();
        for (Reading(meter, quarter, wh), number) in group.iter().zip(begin..) {
            let mut headers = FieldTable::default();
            let of = |text: String| AMQPValue::LongString(text.into());
            headers.insert("meter-id".into(), of(format!("m-{meter}")));
            headers.insert("region".into(), of(region(*meter).to_owned()));
            let properties =
                id(number).with_headers(headers).with_content_type("application/json".into());
            let ts = START + (quarter + 1) * SECONDS;
            let kwh = *wh as f64 / 1000.0;
            let body = format!(r#"{{"meter":"m-{meter}","ts":{ts},"kwh":{kwh}}}"#);
            let options = BasicPublishOptions::default();
            let channel = &traffic.raw.channel;
            let sent = channel.basic_publish(
                "".into(),
                queue.as_str().into(),
                options,
                body.as_bytes(),
                properties,
            );
            confirms.push(sent.await.unwrap());
        }
        for confirm in confirms {
            confirm.await.unwrap();
        }
    }
}

/// Takes a total in, where it is of a day: the last revision counts.
fn note(days: &mut BTreeMap<(String, String), (u64, u64)>, total: &Value) {
    let revision = total["revision"].as_u64().filter(|_| total["period"] == "day");
    let Some(revision) = revision else { return };
    let of = total["meter"].as_str().or(total["region"].as_str()).unwrap().to_owned();
    let day = days.entry((of, total["date"].as_str().unwrap().to_owned())).or_default();
    if revision >= day.0 {
        *day = (revision, total["wh"].as_u64().unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn daily_totals_of_a_host_that_is_killed_are_right_to_the_last_watt_hour() {
    let n = unique("totals");
    let site = Site::new(&config(&n));
    let mut host = site.run();
    let traffic = Traffic::on(node()).await;
    let all = readings();
    let reference = reference();
    // Killed at each third, in the middle of what was published.
    let third = all.len() / 3 + 1;
    for (part, from) in all.chunks(third).zip((0..).step_by(third)) {
        publish(&traffic, &n, part, from).await;
        host.kill9();
        host = site.run();
    }
    let mut days = BTreeMap::new();
    let right = |days: &BTreeMap<(String, String), (u64, u64)>| {
        let of_days = days.iter().map(|(day, (_, wh))| (day.clone(), *wh));
        of_days.collect::<BTreeMap<_, _>>() == reference
    };
    while !right(&days) {
        let message = traffic.next(&format!("{n}.out")).await;
        note(&mut days, &serde_json::from_slice(&message.delivery.data).unwrap());
    }
    assert!(days.values().any(|(revision, _)| *revision > 1), "what was late corrected something");
    host.stop();
    assert!(traffic.take_all(&format!("{n}.dead")).await.is_empty());
}
