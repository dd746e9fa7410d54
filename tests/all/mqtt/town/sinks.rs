//! What the desks got, beside what the simulator says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::BasicConsumeOptions;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::Value;
use tokio::time::timeout;

use super::PATIENCE;
use crate::rabbit::{RabbitNode, Raw};

/// What comes within is together.
const QUIET: Duration = Duration::from_millis(300);
const HOUR_S: i64 = 3600;
const DAY_S: i64 = 24 * HOUR_S;

/// The queues of the example that nobody in it consumes.
const DESKS: [&str; 10] = [
    "billing",
    "control-room",
    "field-service",
    "head-end",
    "revenue-protection",
    "data-quality",
    "fleet-status",
    "meters.unread",
    "meters.unknown",
    "meters.dead",
];

/// What the simulator says.
#[derive(Default)]
pub(super) struct Truth {
    /// Watt hours by meter and hour.
    hours: BTreeMap<(String, i64), u64>,
    /// Readings that came, by meter and day.
    days: BTreeMap<(String, i64), u64>,
    /// Transformers that failed.
    outages: BTreeSet<String>,
    twice: usize,
    late: usize,
    lost: usize,
}

/// What the desks got.
#[derive(Default)]
pub(super) struct Sinks {
    /// Watt hours of a meter's interval.
    readings: BTreeMap<(String, i64), u64>,
    /// When the last of them was there.
    pub(super) at: Option<Instant>,
    /// Messages beyond one for each of them.
    more_readings: usize,
    /// By meter and hour: the last revision, watt hours, and whether any is estimated.
    totals: BTreeMap<(String, i64), (u64, u64, bool)>,
    incidents: BTreeSet<String>,
    /// Messages by queue.
    counts: BTreeMap<String, usize>,
    letters: BTreeMap<String, usize>,
}

// === impl Truth ===

impl Truth {
    pub(super) fn of(text: &str) -> Self {
        let mut truth = Self::default();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            match line["truth"].as_str().unwrap() {
                "planted" if line["what"] == "outage" => {
                    truth.outages.insert(line["of"].as_str().unwrap().to_owned());
                }
                "twice" => truth.twice += 1,
                "late" => truth.late += 1,
                "lost" => truth.lost += 1,
                "day" => truth.day(&line),
                _ => {}
            }
        }
        truth
    }

    fn day(&mut self, line: &Value) {
        let (meter, start) = (line["meter"].as_str().unwrap(), line["start"].as_i64().unwrap());
        self.days.insert((meter.to_owned(), start), line["intervals"].as_u64().unwrap());
        for (hour, wh) in (0_i64..).zip(line["wh"].as_array().unwrap()) {
            let place = (meter.to_owned(), start + hour * HOUR_S);
            self.hours.insert(place, wh.as_u64().unwrap());
        }
    }
}

// === impl Sinks ===

impl Sinks {
    /// Takes what there is, once all readings are through.
    pub(super) async fn drain(node: &RabbitNode, truth: &Truth) -> Self {
        let raw = node.raw().await;
        let mut sinks = Self::default();
        let wanted = usize::try_from(truth.days.values().sum::<u64>()).unwrap();
        let mut readings = consume(&raw, "all.readings").await;
        while sinks.readings.len() < wanted {
            let next = timeout(PATIENCE, readings.next()).await;
            let Ok(Some(Ok(message))) = next else { break };
            sinks.reading(&message);
        }
        sinks.at = Some(Instant::now());
        sinks.settle(node, &raw).await;
        while let Some(Some(Ok(message))) = futures_util::FutureExt::now_or_never(readings.next()) {
            sinks.reading(&message);
        }
        for queue in DESKS {
            sinks.take(&raw, queue).await;
        }
        // What came late corrects the totals that were told, a little later.
        let mut since = Instant::now();
        let mut right = sinks.totals_of(truth);
        while right.0 < right.1 && since.elapsed() < PATIENCE {
            sinks.take(&raw, "billing").await;
            let now = sinks.totals_of(truth);
            if now != right {
                (right, since) = (now, Instant::now());
            }
        }
        sinks
    }

    /// Takes what is in a desk's queue, until nothing comes for a moment.
    async fn take(&mut self, raw: &Raw, queue: &str) {
        let mut messages = consume(raw, queue).await;
        while let Ok(Some(Ok(message))) = timeout(QUIET, messages.next()).await {
            self.count(queue, &message);
        }
        let options = lapin::options::BasicCancelOptions::default();
        raw.channel.basic_cancel(queue.into(), options).await.unwrap();
        // What came in that moment after all.
        while let Some(Ok(message)) = messages.next().await {
            self.count(queue, &message);
        }
    }

    fn count(&mut self, queue: &str, message: &Delivery) {
        *self.counts.entry(queue.to_owned()).or_default() += 1;
        self.note(queue, message);
    }

    /// Waits until nothing waits in front of a pipeline.
    async fn settle(&self, node: &RabbitNode, raw: &Raw) {
        let between =
            ["consumption", "regions", "fleet", "incidents"].map(|it| format!("meters.{it}"));
        let mut quiet = 0;
        while quiet < 3 {
            let listed = node.ctl_alongside(&["list_queues", "-q", "name", "messages"]).await;
            let busy = listed.lines().any(|line| {
                let mut words = line.split_whitespace();
                let (name, count) = (words.next().unwrap_or_default(), words.next());
                let intake = ["collected", "profiles", "readings", "events", "watch"];
                let intake = intake.iter().any(|it| name == format!("meters.{it}"));
                (intake || between.iter().any(|it| it == name)) && count != Some("0")
            });
            quiet = if busy { 0 } else { quiet + 1 };
            // A word with the broker in between: what is under way gets on.
            raw.depth("billing").await;
        }
    }

    fn reading(&mut self, message: &Delivery) {
        let body = decode(&message.data);
        let number = |name: &str| number(message, name).unwrap();
        let place = (body["meter"].as_str().unwrap().to_owned(), number("interval-start"));
        let wh = u64::try_from(number("energy-wh")).unwrap();
        if self.readings.insert(place, wh).is_some() {
            self.more_readings += 1;
        }
    }

    fn note(&mut self, queue: &str, message: &Delivery) {
        let key = message.routing_key.as_str();
        if queue == "meters.dead" {
            let code = text(message, "sluicegate-code").unwrap_or_default();
            *self.letters.entry(code).or_default() += 1;
        } else if queue == "billing" && key.contains(".hour.meter.") {
            let total = decode(&message.data);
            let start: jiff::Timestamp = total["start"].as_str().unwrap().parse().unwrap();
            let place = (total["meter"].as_str().unwrap().to_owned(), start.as_second());
            let revision = total["revision"].as_u64().unwrap();
            let estimated = total["estimated"].as_u64() != Some(0);
            let told = (revision, total["wh"].as_u64().unwrap(), estimated);
            let known = self.totals.entry(place).or_insert(told);
            if revision >= known.0 {
                *known = told;
            }
        } else if queue == "control-room" && key.starts_with("incident.outage.") {
            let incident = decode(&message.data);
            self.incidents.insert(incident["incident"].as_str().unwrap().to_owned());
        }
    }

    pub(super) fn agree_with(&self, truth: &Truth) {
        let (mut hours, mut days) = (BTreeMap::new(), BTreeMap::new());
        for ((meter, start), wh) in &self.readings {
            let place = |of: i64| (meter.clone(), start.div_euclid(of) * of);
            *hours.entry(place(HOUR_S)).or_insert(0) += wh;
            *days.entry(place(DAY_S)).or_insert(0) += 1;
        }
        let differ = |(place, count): &(&(String, i64), &u64)| {
            days.get(*place) != Some(*count) && **count > 0
        };
        let missing: Vec<_> = truth.days.iter().filter(differ).take(5).collect();
        assert!(missing.is_empty(), "readings of {missing:?}, of {}", days.len());
        let wrong = truth.hours.iter().filter(|(place, wh)| hours.get(*place).unwrap_or(&0) != *wh);
        let wrong: Vec<_> = wrong.map(|it| (it, hours.get(it.0))).take(5).collect();
        assert!(wrong.is_empty(), "energy of {wrong:?}");
        assert_eq!(self.incidents.len(), truth.outages.len(), "{:?}", self.incidents);
        assert_eq!(self.counts.get("meters.unknown"), None);
        assert_eq!(self.letters, BTreeMap::new());
        let (right, all) = self.totals_of(truth);
        assert_eq!(right, all, "totals of hours without an estimate");
    }

    /// Totals of hours that nothing was estimated in, and how many of them are right.
    fn totals_of(&self, truth: &Truth) -> (usize, usize) {
        let measured = || self.totals.iter().filter(|(_, (_, _, estimated))| !estimated);
        let right = |(place, (_, wh, _)): &(&(String, i64), &(u64, u64, bool))| {
            truth.hours.get(*place) == Some(wh)
        };
        (measured().filter(right).count(), measured().count())
    }
}

impl fmt::Display for Sinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} readings, {} messages more", self.readings.len(), self.more_readings)?;
        writeln!(f, "{} totals of hours, {:?}", self.totals.len(), self.incidents)?;
        write!(f, "{:?}; dead letters {:?}", self.counts, self.letters)
    }
}

async fn consume(raw: &Raw, queue: &str) -> lapin::Consumer {
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let consuming =
        raw.channel.basic_consume(queue.into(), queue.into(), options, FieldTable::default());
    consuming.await.unwrap()
}

fn header<'m>(message: &'m Delivery, name: &str) -> Option<&'m AMQPValue> {
    message.properties.headers().as_ref()?.inner().get(name)
}

fn number(message: &Delivery, name: &str) -> Option<i64> {
    match header(message, name)? {
        AMQPValue::LongLongInt(number) => Some(*number),
        AMQPValue::LongInt(number) => Some((*number).into()),
        AMQPValue::LongUInt(number) => Some((*number).into()),
        AMQPValue::ShortInt(number) => Some((*number).into()),
        AMQPValue::ShortShortInt(number) => Some((*number).into()),
        _ => None,
    }
}

fn text(message: &Delivery, name: &str) -> Option<String> {
    match header(message, name)? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        _ => None,
    }
}

/// JSON or MessagePack.
fn decode(body: &[u8]) -> Value {
    let decoded = serde_json::from_slice(body).ok();
    decoded.unwrap_or_else(|| rmp_serde::from_slice(body).unwrap())
}
