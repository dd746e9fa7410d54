//! Days of a town, with the example's config and a clock that goes as the meters' does: whether what is billed adds
//! up to what the registers say, and what is found of what was planted.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use sluicegate::broker::Outgoing;
use sluicegate::message::Message;
use sluicegate::simulate::town::{Planted, Settings, Town, Truth};

use super::Utility;

/// 2026-03-27T00:00:00Z: the days of Berlin on the way have 24, 24 and 23 hours.
const START_S: i64 = 1_774_569_600;
const DAY_S: i64 = 86_400;
/// A message is there so many seconds after its interval.
const DELAY_S: i64 = 5;
/// Intervals after the last within which all is told.
const LOOKS: usize = 200;

/// What came out of it.
#[derive(Default)]
struct Told {
    truths: Vec<Truth>,
    meters: BTreeMap<String, Registers>,
    /// By meter or region, and date: revision, watt hours and estimated intervals.
    days: BTreeMap<(String, String), (u64, i64, i64)>,
    /// The region that a meter is in.
    regions: BTreeMap<String, String>,
    /// By meter: what was found, and when.
    found: BTreeMap<String, Vec<(String, i64)>>,
    now_s: i64,
}

/// What a meter's readings say that came, by their ends.
#[derive(Default)]
struct Registers {
    /// The end of the first that came.
    first_s: i64,
    /// Register and energy, in watt hours.
    readings: BTreeMap<i64, (i64, i64)>,
}

// === impl Registers ===

impl Registers {
    fn take(&mut self, reading: &Value) {
        let ends_s = at_s(&reading["ts"]);
        #[expect(clippy::cast_possible_truncation, reason = "watt hours of a household")]
        let wh = |code: &str| (reading["obis"][code].as_f64().unwrap() * 1000.0).round() as i64;
        if self.readings.is_empty() {
            self.first_s = ends_s;
        }
        self.readings.insert(ends_s, (wh("1-0:1.8.0"), wh("1-0:1.29.0")));
    }

    /// All that was used from the first reading that came to the last, and what came of the time before.
    fn used_wh(&self) -> i64 {
        let before = self.readings.range(..self.first_s).map(|(_, (_, wh))| wh).sum::<i64>();
        let (first, wh) = self.readings[&self.first_s];
        let (last, _) = self.readings.values().next_back().unwrap();
        before + last - first + wh
    }
}

// === impl Told ===

impl Told {
    fn note(&mut self, utility: &Utility) {
        for total in utility.rest("billing") {
            self.bill(&body(&total));
        }
        for exception in utility.rest("data-quality") {
            let told = body(&exception);
            let rule = exception.routing_key.split('.').take(2).collect::<Vec<_>>().join(".");
            let rules = told["findings"].as_array().map_or(vec![rule], |findings| {
                findings
                    .iter()
                    .map(|found| format!("vee.{}", found["rule"].as_str().unwrap()))
                    .collect()
            });
            for rule in rules {
                self.find(&told["meter"], rule);
            }
        }
        for change in utility.rest("fleet-status") {
            let told = body(&change);
            if told["aspect"].is_string() {
                let what = |name: &str| told[name].as_str().unwrap().to_owned();
                self.find(&told["meter"], format!("{}.{}", what("aspect"), what("level")));
            }
        }
        for queue in ["head-end", "field-service", "revenue-protection", "control-room"] {
            utility.rest(queue);
        }
    }

    fn find(&mut self, meter: &Value, what: String) {
        let meter = meter.as_str().unwrap_or_default().to_owned();
        self.found.entry(meter).or_default().push((what, self.now_s));
    }

    fn bill(&mut self, total: &Value) {
        let Some(revision) = total["revision"].as_u64().filter(|_| total["period"] == "day") else {
            return;
        };
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let of = text(total.get("meter").unwrap_or(&total["region"]));
        if total["meter"].is_string() {
            self.regions.insert(of.clone(), text(&total["region"]));
        }
        let day = self.days.entry((of, text(&total["date"]))).or_default();
        if revision >= day.0 {
            *day = (revision, total["wh"].as_i64().unwrap(), total["estimated"].as_i64().unwrap());
        }
    }

    /// Region and date: what the days of its meters came to, and its own; where these differ.
    fn differences(&self) -> Vec<(String, i64, i64)> {
        let mut sums: BTreeMap<(&str, &str), i64> = BTreeMap::new();
        for ((of, date), (_, wh, _)) in &self.days {
            if let Some(region) = self.regions.get(of) {
                *sums.entry((region, date)).or_default() += wh;
            }
        }
        let of_region = |region: &str, date: &str| {
            self.days.get(&(region.to_owned(), date.to_owned())).map_or(0, |day| day.1)
        };
        let all = sums
            .into_iter()
            .map(|((region, date), wh)| (format!("{region} {date}"), wh, of_region(region, date)));
        all.filter(|(_, wh, told)| wh != told).collect()
    }

    /// Meters whose days don't add up to what they used.
    fn wrong(&self) -> Vec<(&str, i64, i64)> {
        let billed = |meter: &str| {
            let of = self.days.iter().filter(|((of, _), _)| of == meter);
            of.map(|(_, (_, wh, _))| wh).sum::<i64>()
        };
        let all = self.meters.iter().map(|(id, meter)| (id.as_str(), meter.used_wh(), billed(id)));
        all.filter(|(_, used, billed)| used != billed).collect()
    }

    /// Of a kind of what was planted: how many there are, and seconds until each was found, by what finds it.
    fn delays(&self, kind: Planted, finds: &[&str], until_s: i64) -> (usize, Vec<i64>) {
        let planted = self.truths.iter().filter_map(|truth| match truth {
            Truth::Planted { what, of, from, to } if *what == kind => Some((of, *from, *to)),
            _ => None,
        });
        let (mut count, mut delays) = (0, Vec::new());
        for (meter, from, to) in planted {
            count += 1;
            let found = self.found.get(meter).into_iter().flatten();
            let when = found.filter(|(what, _)| finds.contains(&what.as_str())).map(|(_, at)| *at);
            delays.extend(
                when.filter(|at| (from..=to + until_s).contains(at)).min().map(|at| at - from),
            );
        }
        delays.sort_unstable();
        (count, delays)
    }
}

fn at_s(ts: &Value) -> i64 {
    let ts: jiff::Timestamp = ts.as_str().unwrap().parse().unwrap();
    ts.as_second()
}

fn body(message: &Message) -> Value {
    decode(message.properties.content_type.as_deref(), &message.body)
}

fn decode(content_type: Option<&str>, body: &[u8]) -> Value {
    match content_type {
        Some("application/msgpack") => rmp_serde::from_slice(body).unwrap(),
        _ => serde_json::from_slice(body).unwrap(),
    }
}

/// A town, with the example's config for meters that are read so often.
async fn begin(settings: Settings, now_s: i64) -> (Town, Utility, Told) {
    let interval_s = settings.interval_s;
    let town = Town::new(settings);
    let change = |text: &str| {
        let zone = "time_zone = \"Europe/Berlin\"";
        text.replace("interval_s = 900", &format!("interval_s = {interval_s}"))
            .replace(zone, &format!("{zone}, interval_s = {interval_s}"))
    };
    let utility = Utility::start_at(now_s.unsigned_abs(), &town.table(), change).await;
    (town, utility, Told { now_s, ..Told::default() })
}

/// Lives through these days.
async fn live(settings: Settings) -> Told {
    let interval_s = settings.interval_s;
    let start_s = settings.start_s;
    let (mut town, utility, mut told) = begin(settings, start_s).await;
    while let Some((ends_s, messages)) = town.step() {
        told.until(&utility, ends_s + DELAY_S).await;
        messages.iter().for_each(|message| told.take(message));
        utility.publish_as_is(&messages).await;
        told.note(&utility);
    }
    told.truths.extend(town.truths());
    told.close(&utility, interval_s).await;
    assert_eq!(utility.broker.queue_depth("meters.dead"), (0, 0));
    told
}

impl Told {
    /// Lets time pass.
    async fn until(&mut self, utility: &Utility, at_s: i64) {
        let passed_s = (at_s - self.now_s).max(0).unsigned_abs();
        utility.clock.advance(Duration::from_secs(passed_s));
        self.now_s = self.now_s.max(at_s);
        utility.settled().await;
        self.note(utility);
    }

    /// Days end by the clock where nothing comes. Interval by interval: a timer that is much too late is taken for
    /// one of a host that was down.
    async fn close(&mut self, utility: &Utility, interval_s: i64) {
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        for _ in 0..LOOKS {
            looks.tick().await;
            self.until(utility, self.now_s + interval_s).await;
            if self.wrong().is_empty() && self.differences().is_empty() {
                break;
            }
        }
    }

    fn take(&mut self, message: &Outgoing) {
        if message.properties.kind.as_deref() == Some("reading") {
            let reading = decode(message.properties.content_type.as_deref(), &message.body);
            let meter = reading["meter"].as_str().unwrap().to_owned();
            self.meters.entry(meter).or_default().take(&reading);
        }
    }
}

/// What finds what was planted, and how long after its end it may.
const FINDS: [(Planted, &[&str], i64); 6] = [
    (Planted::Silent, &["connection.minor"], 0),
    (Planted::Reverse, &["vee.reverse"], 0),
    (Planted::Stuck, &["vee.stuck"], 3600),
    (Planted::Spike, &["anomaly.info", "anomaly.minor", "anomaly.major"], 3600),
    (Planted::Drop, &["anomaly.info", "anomaly.minor", "anomaly.major", "vee.low"], 7 * DAY_S),
    (Planted::Battery, &["battery.minor", "battery.major"], 7 * DAY_S),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_towns_days_add_up_to_its_registers_and_who_is_silent_or_reversed_is_found() {
    // As large and as long as one likes: SLUICEGATE_TOWN="METERS DAYS SECONDS-OF-AN-INTERVAL".
    let asked = std::env::var("SLUICEGATE_TOWN").unwrap_or_else(|_| "100 4 3600".to_owned());
    let numbers: Vec<u32> = asked.split(' ').map(|number| number.parse().unwrap()).collect();
    let [meters, days, interval_s] = numbers[..] else { panic!("{asked:?}") };
    let settings = Settings {
        meters: meters as usize,
        days,
        interval_s: interval_s.into(),
        start_s: START_S,
        planted: 0.2,
        drifting: 0.0,
        ..Settings::default()
    };
    let told = live(settings).await;
    assert_eq!(told.meters.len(), meters as usize);
    let estimated: i64 = told.days.values().map(|(_, _, estimated)| estimated).sum();
    println!(
        "{} days, {} of them corrected, {estimated} intervals estimated",
        told.days.len(),
        told.days.values().filter(|(revision, ..)| *revision > 1).count()
    );
    for (kind, finds, until_s) in FINDS {
        let (count, delays) = told.delays(kind, finds, until_s);
        let at = |percent: usize| delays.get(delays.len() * percent / 100).copied().unwrap_or(0);
        println!(
            "{kind:?}: {} of {count}, after {} s (median), {} s (95 %)",
            delays.len(),
            at(50),
            at(95)
        );
        let all = matches!(kind, Planted::Silent | Planted::Reverse);
        assert!(!all || (count > 0 && delays.len() == count), "{kind:?}");
    }
    assert_eq!(told.wrong(), [], "meter, by its register, billed");
    assert_eq!(told.differences(), [], "region, sum of its meters, its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_days_that_are_replayed_those_that_a_silent_meter_left_open_are_closed_by_the_clock() {
    let settings = Settings {
        meters: 100,
        days: 3,
        interval_s: 3600,
        start_s: START_S,
        planted: 0.2,
        drifting: 0.0,
        ..Settings::default()
    };
    let (mut town, utility, mut told) = begin(settings, START_S + 10 * DAY_S).await;
    while let Some((_, messages)) = town.step() {
        messages.iter().for_each(|message| told.take(message));
        utility.publish_as_is(&messages).await;
    }
    // Longer than corrections are gathered, shorter than is waited for what is missing.
    told.until(&utility, told.now_s + 120).await;
    told.until(&utility, told.now_s + 120).await;
    let open = told.differences();
    println!("{open:?}");
    assert!(!open.is_empty() && open.iter().all(|(_, meters, region)| region > meters), "{open:?}");
    told.close(&utility, 3600).await;
    assert_eq!(told.differences(), [], "region, sum of its meters, its own");
    assert_eq!(told.wrong(), [], "meter, by its register, billed");
}
