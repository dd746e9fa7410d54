//! Consumption, counted by a host that is killed: the totals are those of a reference to the last watt hour.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::Value;

use super::process::Site;
use super::traffic::{Traffic, broker, id};
use crate::rabbit::{node, unique};

/// 2026-03-27T23:00:00Z: midnight in Berlin, before a day of 24 hours, one of 23, and others of 24.
const START: u64 = 1_774_652_400;

/// Between two looks at a queue.
const POLL: Duration = Duration::from_millis(20);

/// How much there is of it.
#[derive(Clone, Copy)]
struct Size {
    meters: u64,
    days: u64,
    /// Seconds of an interval.
    seconds: u64,
}

fn config(n: &str, seconds: u64) -> String {
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
kind = "topic"
alternate = "{n}.rest"
[[exchange]]
name = "{n}.rest"
kind = "fanout"
[[queue]]
name = "{n}.rest"
max_length = 100
bind = [{{ exchange = "{n}.rest" }}]
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
bind = [{{ exchange = "{n}.totals", key = "*.day.#" }}]
[[plugin]]
name = "meters"
file = "builtin:meter-consumption"
config = {{ time_zone = "Europe/Berlin", interval_s = {seconds}, correction_s = 1, contributions = true }}
[[plugin]]
name = "regions"
file = "builtin:meter-consumption"
config = {{ time_zone = "Europe/Berlin", interval_s = {seconds}, correction_s = 1, of = "region" }}
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

/// A reading: meter, interval since the start, watt hours.
#[derive(Clone, Copy)]
struct Reading(u64, u64, u64);

// === impl Size ===

impl Size {
    /// Fifty meters for three days, or what is asked for: SLUICEGATE_TOTALS="METERS DAYS SECONDS-OF-AN-INTERVAL".
    fn asked() -> Self {
        let asked = std::env::var("SLUICEGATE_TOTALS").unwrap_or_else(|_| "50 3 900".to_owned());
        let numbers: Vec<u64> = asked.split(' ').map(|number| number.parse().unwrap()).collect();
        let [meters, days, seconds] = numbers[..] else { panic!("{asked:?}") };
        Self { meters, days, seconds }
    }

    /// Intervals that a day's first is after the start; the second day has 23 hours.
    fn first_of(self, day: u64) -> u64 {
        (day * 24 - u64::from(day >= 2)) * 3600 / self.seconds
    }

    /// All of them in the order of their coming: one in twenty up to a day late, one in fifty twice, one in a
    /// hundred never. Then what closes the last day.
    fn readings(self) -> Vec<Reading> {
        let mut random = 11_u64;
        let mut next = |below: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        let (end, of_day) = (self.first_of(self.days), 86_400 / self.seconds);
        let mut coming = Vec::new();
        for interval in 0..end {
            for meter in 0..self.meters {
                let reading = Reading(meter, interval, next(2000));
                let late = if next(20) == 0 { 1 + next(of_day) } else { 0 };
                if next(100) == 0 {
                    continue;
                }
                coming.push((interval + late, reading));
                if next(50) == 0 {
                    coming.push((interval + late + next(of_day / 2), reading));
                }
            }
        }
        let closes = |meter| (2 * end, Reading(meter, end + 2 * 3600 / self.seconds, 0));
        coming.extend((0..self.meters).map(closes));
        coming.sort_by_key(|(at, _)| *at);
        coming.into_iter().map(|(_, reading)| reading).collect()
    }

    /// The date that an interval lies in.
    fn date(self, interval: u64) -> Option<String> {
        let day = (0..self.days).find(|day| interval < self.first_of(day + 1))?;
        let first = jiff::civil::date(2026, 3, 28);
        Some((first + jiff::Span::new().days(i64::try_from(day).unwrap())).to_string())
    }

    /// Energy of each day of each meter, and of each region, which have two meters in five and the rest.
    fn reference(self, readings: &[Reading]) -> BTreeMap<(String, String), u64> {
        let all = readings.iter().map(|Reading(meter, interval, wh)| ((*meter, *interval), *wh));
        let mut totals = BTreeMap::new();
        for ((meter, interval), wh) in all.collect::<BTreeMap<_, _>>() {
            let Some(date) = self.date(interval) else { continue };
            for of in [format!("m-{meter}"), region(meter).to_owned()] {
                *totals.entry((of, date.clone())).or_insert(0) += wh;
            }
        }
        totals
    }
}

fn region(meter: u64) -> &'static str {
    if meter % 5 < 2 { "north" } else { "south" }
}

async fn publish(traffic: &Traffic, n: &str, seconds: u64, part: &[Reading], from: usize) {
    let queue = format!("{n}.in");
    for (group, begin) in part.chunks(500).zip((from..).step_by(500)) {
        let mut confirms = Vec::new();
        for (Reading(meter, interval, wh), number) in group.iter().zip(begin..) {
            let mut headers = FieldTable::default();
            let of = |text: String| AMQPValue::LongString(text.into());
            headers.insert("meter-id".into(), of(format!("m-{meter}")));
            headers.insert("region".into(), of(region(*meter).to_owned()));
            let properties =
                id(number).with_headers(headers).with_content_type("application/json".into());
            let ts = START + (interval + 1) * seconds;
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

/// Revision and watt hours of a day, by meter or region and date.
type Days = BTreeMap<(String, String), (u64, u64)>;

/// Takes a total in, where it is of a day, and says of which: the last revision counts.
fn note(days: &mut Days, total: &Value) -> Option<(String, String)> {
    let revision = total["revision"].as_u64().filter(|_| total["period"] == "day")?;
    let of = total["meter"].as_str().or(total["region"].as_str()).unwrap();
    let of = (of.to_owned(), total["date"].as_str().unwrap().to_owned());
    let day = days.entry(of.clone()).or_default();
    if revision >= day.0 {
        *day = (revision, total["wh"].as_u64().unwrap());
    }
    Some(of)
}

#[tokio::test(flavor = "multi_thread")]
async fn daily_totals_of_a_host_that_is_killed_each_day_are_right_to_the_last_watt_hour() {
    let size = Size::asked();
    let n = unique("totals");
    let site = Site::new(&config(&n, size.seconds));
    let mut host = site.run();
    let traffic = Traffic::on(node()).await;
    let all = size.readings();
    let reference = size.reference(&all);
    let (input, begun) = (format!("{n}.in"), Instant::now());
    let of_day = all.len() / usize::try_from(size.days).unwrap() + 1;
    for (part, from) in all.chunks(of_day).zip((0..).step_by(of_day)) {
        publish(&traffic, &n, size.seconds, part, from).await;
        // In the middle of the day, wherever that is then.
        while traffic.raw.depth(&input).await as usize > of_day / 2 {
            tokio::time::sleep(POLL).await;
        }
        host.kill9();
        host = site.run();
    }
    let mut days = BTreeMap::new();
    let mut wrong: BTreeSet<_> = reference.keys().cloned().collect();
    while !wrong.is_empty() {
        let message = traffic.next(&format!("{n}.out")).await;
        if let Some(of) = note(&mut days, &serde_json::from_slice(&message.delivery.data).unwrap())
        {
            let is_right = reference.get(&of) == days.get(&of).map(|(_, wh)| wh);
            _ = if is_right { wrong.remove(&of) } else { wrong.insert(of) };
        }
    }
    println!(
        "{} readings, {} days of meters and regions, {} kills, {:.0} s",
        all.len(),
        days.len(),
        size.days,
        begun.elapsed().as_secs_f64()
    );
    assert!(days.values().any(|(revision, _)| *revision > 1), "what was late corrected something");
    host.stop();
    assert!(traffic.take_all(&format!("{n}.dead")).await.is_empty());
}
