//! What is found in the synthetic fleet: how many of the anomalies planted, how soon; and what is told where
//! nothing was planted.

use std::collections::BTreeMap;

use fastrand::Rng;
use meter_detector::{Judged, Moment, Series, Settings};

use crate::fleet::{self, Curve, DAY, KINDS, Kind};

/// Milliseconds of a reading.
const QUARTER_MS: i64 = 900_000;
/// Days after which something is planted, at the least.
const LEARN_DAYS: usize = 45;
/// Days before the end until which something is planted.
const TO_SEE_DAYS: usize = 40;

/// What is planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// One reading ten times the highest so far.
    SpikeOfHighest,
    /// One reading ten times the mean of the meter's day.
    SpikeOfMean,
    /// 60 % less from one reading on, for good.
    Drop,
    /// The same, coming on over fourteen days.
    SlowDrop,
    /// The same value for good.
    Stuck,
    /// A register that doesn't count any more: nothing for good.
    Zero,
}

/// All of them.
pub const PLANTS: [Plant; 6] = [
    Plant::SpikeOfHighest,
    Plant::SpikeOfMean,
    Plant::Drop,
    Plant::SlowDrop,
    Plant::Stuck,
    Plant::Zero,
];

/// Something that was told.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// The reading's place.
    pub at: usize,
    /// By what: `unusual`, `changed`, `stuck`.
    pub what: &'static str,
    /// Bits, where it is unusual.
    pub bits: f32,
}

/// What came of the meters that something was planted in.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Meters.
    pub meters: usize,
    /// Readings from what was planted to what was told, of each meter where it was.
    pub delays: Vec<usize>,
    /// Meters, and those where it was told, by kind.
    pub kinds: BTreeMap<Kind, (usize, usize)>,
}

/// Meters, how long, and what they start from.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Meters.
    pub meters: usize,
    /// Days.
    pub days: usize,
    /// The seed.
    pub seed: u64,
    /// The step of registers, in kWh.
    pub resolution: f64,
}

/// What a meter's series of consumption, or of voltage, tells.
#[must_use]
pub fn told(values: &[f64], settings: &Settings) -> Vec<Told> {
    let mut series = Series::default();
    let mut told = Vec::new();
    for (at, value) in values.iter().enumerate() {
        let unix_ms = 1_767_225_600_000 + i64::try_from(at).unwrap_or(0) * QUARTER_MS;
        let Some(Judged { alarm, change, stuck, .. }) =
            series.judge(Moment { unix_ms, ahead_s: 0 }, *value, settings)
        else {
            continue;
        };
        let bits = alarm.unwrap_or(0.0);
        told.extend(alarm.map(|bits| Told { at, what: "unusual", bits }));
        told.extend(change.map(|_| Told { at, what: "changed", bits }));
        told.extend(stuck.map(|_| Told { at, what: "stuck", bits }));
    }
    told
}

/// Curves of a fleet. Those of one size and seed are the same.
pub fn fleet(size: Size, leaves: bool) -> impl Iterator<Item = Curve> {
    let mut seeds = Rng::with_seed(size.seed);
    (0..size.meters).map(move |meter| {
        let mut random = Rng::with_seed(seeds.u64(..));
        let kind = KINDS[meter % KINDS.len()];
        fleet::curve(&mut random, kind, (size.days, size.resolution), leaves)
    })
}

/// Plants something in each meter's consumption, and looks for what is told of it. A spike must be told at that
/// reading, everything else at any time after.
#[must_use]
pub fn find(size: Size, plant: Plant, settings: &Settings, bits_min: f32) -> Found {
    let mut random = Rng::with_seed(size.seed ^ 0x5eed);
    let mut found = Found { meters: size.meters, ..Found::default() };
    for mut curve in fleet(size, false) {
        let at = random.usize(LEARN_DAYS * DAY..(size.days - TO_SEE_DAYS) * DAY);
        plant.into_values(&mut curve.kwh, at);
        let told = told(&curve.kwh, settings);
        let is_it = |told: &&Told| {
            let loud = match plant {
                // A surprise on the way, which may be a chance one, doesn't say that something has changed.
                Plant::Drop | Plant::SlowDrop => told.what == "changed",
                _ => told.what != "unusual" || told.bits >= bits_min,
            };
            loud && told.at >= at && (!plant.is_spike() || told.at == at)
        };
        let first = told.iter().find(is_it);
        found.delays.extend(first.map(|told| told.at - at));
        let (meters, of_them) = found.kinds.entry(curve.kind).or_default();
        *meters += 1;
        *of_them += usize::from(first.is_some());
    }
    found.delays.sort_unstable();
    found
}

impl Plant {
    fn is_spike(self) -> bool {
        matches!(self, Self::SpikeOfHighest | Self::SpikeOfMean)
    }

    fn into_values(self, kwh: &mut [f64], at: usize) {
        let before = &kwh[..at];
        let highest = before.iter().copied().fold(0.0, f64::max);
        let mean = before.iter().sum::<f64>() / at.max(1) as f64;
        let stands = before.iter().rev().copied().find(|kwh| *kwh > 0.0).unwrap_or(0.1);
        for (after, kwh) in kwh[at..].iter_mut().enumerate() {
            let coming = (after as f64 / (14 * DAY) as f64).min(1.0);
            match self {
                Self::SpikeOfHighest if after == 0 => *kwh = 10.0 * highest,
                Self::SpikeOfMean if after == 0 => *kwh = 10.0 * mean,
                Self::SpikeOfHighest | Self::SpikeOfMean => {}
                Self::Drop => *kwh = (*kwh * 0.4 * 1000.0).round() / 1000.0,
                Self::SlowDrop => *kwh = (*kwh * (1.0 - 0.6 * coming) * 1000.0).round() / 1000.0,
                Self::Stuck => *kwh = stands,
                Self::Zero => *kwh = 0.0,
            }
        }
    }
}

#[cfg(test)]
mod tests;
