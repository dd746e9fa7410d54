//! A town's meters over days or years, for load and for figures: weather, several kinds of households, the week
//! and the seasons; anomalies, faults and outages planted; clocks that drift; messages that come late, twice or
//! never. The same seed gives the same messages to the letter, and [`Town::truths`] says what was done to them.
//!
//! Every value is drawn from the seed, the meter and the interval alone, so that a town of any size needs some
//! hundred bytes of memory per meter.

mod household;
mod message;
mod meter;
mod truth;
mod weather;

use std::collections::{BTreeMap, VecDeque};

use fastrand::Rng;

use self::household::Used;
use self::message::Parts;
use self::meter::{Meter, Plan};
pub use self::truth::{Planted, Truth};
use super::meter::REGIONS;
use crate::broker::Outgoing;

const SECONDS_OF_DAY: i64 = 86_400;
/// Meters of a transformer.
const TRANSFORMER_METERS: usize = 25;
/// Seconds within which the meters of a dead transformer gasp.
const GASPS_S: i64 = 40;

/// What a town is like.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The same seed, the same messages.
    pub seed: u64,
    /// Meters, at least one.
    pub meters: usize,
    /// Seconds from one reading to the next.
    pub interval_s: i64,
    /// When the first interval begins, in seconds since 1970; a whole interval.
    pub start_s: i64,
    /// How long it goes.
    pub days: u32,
    /// The share of readings that come late, up to a day.
    pub late: f64,
    /// The share that comes twice.
    pub twice: f64,
    /// The share that never comes.
    pub lost: f64,
    /// The share of meters that something is planted in.
    pub planted: f64,
    /// The share of meters whose clock drifts, by up to 20 seconds a day.
    pub drifting: f64,
    /// Transformers that fail, each once.
    pub outages: usize,
}

/// A town. An iterator over the messages of its meters, as they come.
#[derive(Debug)]
pub struct Town {
    settings: Settings,
    meters: Vec<Meter>,
    outages: Vec<Outage>,
    /// The interval that is read next, and the meter whose turn it is.
    interval: i64,
    turn: usize,
    due: VecDeque<Outgoing>,
    /// Messages by the interval in which they come.
    later: BTreeMap<i64, Vec<Outgoing>>,
    truths: VecDeque<Truth>,
}

#[derive(Clone, Copy, Debug)]
struct Outage {
    transformer: usize,
    from: i64,
    to: i64,
}

/// Chance for one purpose and number, the same for the same seed.
fn chance(seed: u64, purpose: u64, number: u64) -> Rng {
    let mixed = seed
        ^ purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ number.wrapping_mul(0xd1b5_4a32_d192_ed03);
    let mut rng = Rng::with_seed(mixed);
    // Neighbouring seeds begin alike.
    rng.u64(..);
    rng
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 1,
            meters: 1000,
            interval_s: 900,
            start_s: 1_767_225_600,
            days: 30,
            late: 0.05,
            twice: 0.02,
            lost: 0.01,
            planted: 0.05,
            drifting: 0.02,
            outages: 1,
        }
    }
}

// === impl Town ===

impl Town {
    /// A town as the settings say.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let intervals = i64::from(settings.days) * SECONDS_OF_DAY / settings.interval_s;
        let first = settings.start_s / settings.interval_s;
        let meters: Vec<Meter> = (0..settings.meters.max(1))
            .map(|n| Meter::new(n, &settings, first, intervals))
            .collect();
        let mut rng = chance(settings.seed, 4, 0);
        let transformers = meters.len().div_ceil(TRANSFORMER_METERS);
        let outages: Vec<Outage> = (0..settings.outages.min(transformers))
            .map(|_| {
                let from = first + intervals / 4 + rng.i64(0..(intervals / 2).max(1));
                Outage { transformer: rng.usize(..transformers), from, to: from + rng.i64(2..9) }
            })
            .collect();
        let at = |interval: i64| interval * settings.interval_s;
        let mut truths = VecDeque::new();
        for Outage { transformer, from, to } in &outages {
            let of = message::transformer(*transformer);
            truths.push_back(Truth::Planted {
                what: Planted::Outage,
                of,
                from: at(*from),
                to: at(*to),
            });
        }
        for meter in &meters {
            if let Some(Plan { what, from, to }) = meter.plan {
                let of = meter.id.clone();
                truths.push_back(Truth::Planted { what, of, from: at(from), to: at(to) });
            }
        }
        Self {
            meters,
            outages,
            interval: first,
            turn: 0,
            due: VecDeque::new(),
            later: BTreeMap::new(),
            truths,
            settings,
        }
    }

    /// What was planted, and what became of the messages so far; what was taken is gone.
    pub fn truths(&mut self) -> impl Iterator<Item = Truth> {
        self.truths.drain(..)
    }

    /// The rows that a table of these meters has, as CSV.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = "meter,region,transformer,tariff,rated_kva,export\n".to_owned();
        for (n, meter) in self.meters.iter().enumerate() {
            let row = [
                meter.id.clone(),
                region(n).to_owned(),
                message::transformer(n / TRANSFORMER_METERS),
                meter.household.tariff().to_owned(),
                meter.household.rated_kva().to_string(),
                meter.household.exports().to_string(),
            ];
            text.push_str(&row.join(","));
            text.push('\n');
        }
        text
    }

    /// The messages that come while the next interval is read, and the second at which it ends. For whoever
    /// holds the clock; where it was iterated, what is left of the interval.
    pub fn step(&mut self) -> Option<(i64, Vec<Outgoing>)> {
        let mut interval = self.interval;
        if interval < self.end() {
            self.due.extend(self.later.remove(&interval).unwrap_or_default());
            for n in std::mem::take(&mut self.turn)..self.meters.len() {
                self.take_turn(n);
            }
            self.interval += 1;
        } else {
            // What is late comes when all else has come.
            let (at, late) = self.later.pop_first()?;
            interval = at;
            self.due.extend(late);
        }
        Some(((interval + 1) * self.settings.interval_s, self.due.drain(..).collect()))
    }

    fn end(&self) -> i64 {
        let intervals = i64::from(self.settings.days) * SECONDS_OF_DAY / self.settings.interval_s;
        self.settings.start_s / self.settings.interval_s + intervals
    }

    /// A meter's turn: its reading, and what else it says.
    fn take_turn(&mut self, n: usize) {
        let ends_s = (self.interval + 1) * self.settings.interval_s;
        let outage = self.outages.iter().find(|outage| {
            outage.transformer == n / TRANSFORMER_METERS
                && (outage.from..=outage.to).contains(&self.interval)
        });
        let mut rng =
            chance(self.settings.seed ^ (n as u64) << 20, 5, self.interval.unsigned_abs());
        match outage {
            Some(outage) if outage.from == self.interval => {
                let at_s = ends_s - self.settings.interval_s + rng.i64(0..GASPS_S);
                self.say_event(n, "last_gasp", at_s);
            }
            Some(outage) if outage.to == self.interval => {
                self.say_event(n, "power_restored", ends_s - rng.i64(0..GASPS_S));
            }
            Some(_) => {}
            // Nothing is heard of it; what is used is counted all the same.
            None if self.meters[n].is_planted(Planted::Silent, self.interval) => {
                self.count(n, ends_s, &mut rng);
            }
            None => {
                self.read(n, ends_s, &mut rng);
                let intervals_of_day = SECONDS_OF_DAY / self.settings.interval_s;
                let own = i64::try_from(n).unwrap_or(0) % intervals_of_day;
                if self.interval % intervals_of_day == own {
                    self.say_status(n, ends_s, &mut rng);
                }
            }
        }
        if ends_s.rem_euclid(SECONDS_OF_DAY) == 0 {
            self.day_over(n, ends_s - SECONDS_OF_DAY);
        }
    }

    /// What is used in an interval, and the sun that there was.
    fn count(&mut self, n: usize, ends_s: i64, rng: &mut Rng) -> (Used, f64) {
        let Settings { seed, interval_s, .. } = self.settings;
        let meter = &mut self.meters[n];
        let weather = weather::at(seed, ends_s);
        let used = meter.household.uses(ends_s, interval_s, weather, rng);
        let used = meter.planted(used, self.interval, SECONDS_OF_DAY / interval_s);
        meter.count(used);
        (used, weather.sun)
    }

    fn read(&mut self, n: usize, ends_s: i64, rng: &mut Rng) {
        let Settings { interval_s, start_s, late, twice, lost, .. } = self.settings;
        let (used, sun) = self.count(n, ends_s, rng);
        let meter = &mut self.meters[n];
        let drift = meter.drift * (ends_s - start_s) as f64 / SECONDS_OF_DAY as f64;
        #[expect(clippy::cast_possible_truncation, reason = "seconds")]
        let ts = ends_s + drift as i64;
        let volts = 231.5 + 2.0 * (rng.f64() - 0.5) - 2.0 * sun;
        let parts = Parts { n, meter, region: region(n) };
        let (id, start) = (meter.id.clone(), ends_s - interval_s);
        let reading = parts.reading(ts, interval_s, used, volts);
        let fate = rng.f64();
        if fate < lost {
            self.truths.push_back(Truth::Lost { meter: id, start });
            return;
        }
        meter.arrives(start, used.import_wh);
        let intervals = if fate < lost + late {
            let intervals = rng.i64(1..=SECONDS_OF_DAY / interval_s);
            let seconds = intervals * interval_s;
            self.truths.push_back(Truth::Late { meter: id.clone(), start, seconds });
            intervals
        } else {
            0
        };
        if rng.f64() < twice {
            let mut again = reading.clone();
            again.properties.message_id =
                again.properties.message_id.map(|id| format!("{id}-again"));
            self.truths.push_back(Truth::Twice { meter: id, start });
            let at = self.interval + intervals + rng.i64(1..5);
            self.later.entry(at).or_default().push(again);
        }
        if intervals == 0 {
            self.due.push_back(reading);
        } else {
            self.later.entry(self.interval + intervals).or_default().push(reading);
        }
    }

    fn say_event(&mut self, n: usize, event: &str, at_s: i64) {
        let meter = &mut self.meters[n];
        meter.seq += 1;
        let parts = Parts { n, meter, region: region(n) };
        self.due.push_back(parts.event(event, at_s));
    }

    fn say_status(&mut self, n: usize, at_s: i64, rng: &mut Rng) {
        let meter = &mut self.meters[n];
        meter.seq += 1;
        let falls = match meter.plan {
            Some(Plan { what: Planted::Battery, from, .. }) => {
                let days = (self.interval - from) * self.settings.interval_s / SECONDS_OF_DAY;
                days.max(0) as f64 * 0.02
            }
            _ => 0.0,
        };
        let volts = 3.55 - falls + 0.01 * (rng.f64() - 0.5);
        let rssi = -70.0 - 30.0 * chance(self.settings.seed, 6, n as u64).f64() - 4.0 * rng.f64();
        let parts = Parts { n, meter, region: region(n) };
        self.due.push_back(parts.status(at_s, volts, rssi));
    }

    fn day_over(&mut self, n: usize, start: i64) {
        let meter = &mut self.meters[n];
        let (wh, intervals) =
            (std::mem::take(&mut meter.day), std::mem::take(&mut meter.intervals));
        self.truths.push_back(Truth::Day { meter: meter.id.clone(), start, wh, intervals });
    }
}

impl Iterator for Town {
    type Item = Outgoing;

    fn next(&mut self) -> Option<Outgoing> {
        loop {
            if let Some(message) = self.due.pop_front() {
                return Some(message);
            }
            if self.turn == 0
                && let Some(late) = self.later.remove(&self.interval)
            {
                self.due.extend(late);
                continue;
            }
            if self.interval >= self.end() {
                // What is late comes when all else has come.
                let (_, late) = self.later.pop_first()?;
                self.due.extend(late);
                continue;
            }
            self.take_turn(self.turn);
            self.turn += 1;
            if self.turn == self.meters.len() {
                (self.turn, self.interval) = (0, self.interval + 1);
            }
        }
    }
}

fn region(meter: usize) -> &'static str {
    REGIONS[meter / TRANSFORMER_METERS % REGIONS.len()]
}

#[cfg(test)]
mod tests;
