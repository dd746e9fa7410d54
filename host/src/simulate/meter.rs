//! One meter: where it is, how much is used there over a day, how it writes.

use fastrand::Rng;

/// Where meters are.
pub const REGIONS: [&str; 4] = ["north", "east", "south", "west"];

/// Meters on one transformer.
pub(super) const TRANSFORMER_METERS: usize = 25;

/// Meters of ten that write MessagePack instead of JSON.
const PACKING_OF_TEN: usize = 2;

/// How a meter writes its bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// JSON.
    Json,
    /// MessagePack.
    MessagePack,
}

/// A meter and what is used behind it.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    pub(super) id: String,
    pub(super) region: &'static str,
    pub(super) transformer: usize,
    pub(super) encoding: Encoding,
    /// Messages so far.
    pub(super) seq: u64,
    /// Readings since the last spike, or since the start.
    pub(super) calm: u32,
    /// Always on, in kWh per hour.
    base: f64,
    morning: f64,
    evening: f64,
    /// When its people get up, as hours from seven.
    shift: f64,
    /// The share of a reading that is chance.
    noise: f64,
    battery_v: f64,
}

// === impl Meter ===

impl Meter {
    /// The meter of that number, from 1.
    pub(super) fn new(number: usize, rng: &mut Rng) -> Self {
        let transformer = (number - 1) / TRANSFORMER_METERS;
        Self {
            id: format!("m-{number:04}"),
            region: REGIONS[transformer % REGIONS.len()],
            transformer,
            encoding: if number % 10 < PACKING_OF_TEN {
                Encoding::MessagePack
            } else {
                Encoding::Json
            },
            seq: 0,
            calm: 0,
            base: between(rng, 0.15, 0.45),
            morning: between(rng, 0.2, 0.9),
            evening: between(rng, 0.5, 1.8),
            shift: between(rng, -1.5, 1.5),
            noise: between(rng, 0.05, 0.15),
            battery_v: between(rng, 3.3, 3.65),
        }
    }

    /// Energy used in the interval that ends at that second since 1970, in kWh.
    pub(super) fn kwh(&self, at_s: i64, interval_s: i64, rng: &mut Rng) -> f64 {
        let hour = hours(at_s) - self.shift;
        let kw =
            self.base + self.morning * peak(hour, 7.0, 1.5) + self.evening * peak(hour, 19.5, 2.5);
        let chance = 1.0 + self.noise * normal(rng);
        round((kw * interval_s as f64 / 3600.0 * chance.max(0.2)).max(0.001), 1000.0)
    }

    /// Volts at that second: lower where much is used, a little chance.
    pub(super) fn voltage(&self, at_s: i64, rng: &mut Rng) -> f64 {
        let load = peak(hours(at_s), 19.0, 3.0);
        round(231.5 - 3.0 * load + 0.7 * normal(rng), 10.0)
    }

    /// Volts of its battery, which fall with its age in messages.
    pub(super) fn battery_v(&self) -> f64 {
        round((self.battery_v - self.seq as f64 * 1e-6).max(2.9), 100.0)
    }
}

/// Hour of the day.
fn hours(at_s: i64) -> f64 {
    at_s.rem_euclid(86_400) as f64 / 3600.0
}

/// A bell around an hour of the day, across midnight too.
fn peak(hour: f64, at: f64, width: f64) -> f64 {
    let apart = (hour - at).rem_euclid(24.0);
    let apart = apart.min(24.0 - apart) / width;
    (-0.5 * apart * apart).exp()
}

pub(super) fn between(rng: &mut Rng, low: f64, high: f64) -> f64 {
    low + rng.f64() * (high - low)
}

/// About normally distributed: the sum of four even ones, scaled to a deviation of 1.
fn normal(rng: &mut Rng) -> f64 {
    let sum: f64 = (0..4).map(|_| rng.f64()).sum();
    (sum - 2.0) * 3.0_f64.sqrt()
}

pub(super) fn round(value: f64, places: f64) -> f64 {
    (value * places).round() / places
}
