//! A synthetic fleet: load curves of a quarter of an hour, by the day, the week and the year, of several kinds of
//! customers. Deterministic by seed. It is made up, not measured: what it says is indicative only.

use std::f64::consts::TAU;

use fastrand::Rng;

/// Readings of a day.
pub const DAY: usize = 96;

/// Who uses the energy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Out by day, home in the evening.
    Working,
    /// A family: mornings, evenings, full weekends.
    Family,
    /// Home all day.
    Retired,
    /// Heats with a heat pump: most of the load is the weather's.
    Heating,
    /// Charges a car some nights.
    Car,
    /// Hardly lived in but at weekends.
    Weekend,
    /// A shop: open hours on weekdays.
    Shop,
}

/// All kinds, as often as they come up.
pub const KINDS: [Kind; 10] = [
    Kind::Working,
    Kind::Working,
    Kind::Family,
    Kind::Family,
    Kind::Retired,
    Kind::Retired,
    Kind::Heating,
    Kind::Car,
    Kind::Weekend,
    Kind::Shop,
];

/// What a meter measured, a value for each quarter of an hour.
#[derive(Clone, Debug)]
pub struct Curve {
    /// Who uses the energy.
    pub kind: Kind,
    /// Energy, in kWh.
    pub kwh: Vec<f64>,
    /// Voltage, in V.
    pub volts: Vec<f64>,
    /// Days in which nobody is there, as a range.
    pub away: std::ops::Range<usize>,
}

/// An appliance that is used now and then.
#[derive(Clone, Copy)]
struct Appliance {
    kw: f64,
    quarters: usize,
    /// How often a day, about.
    uses: f64,
}

/// The weather and what it does to a meter, day by day.
struct Weather {
    /// Degrees that it is colder than 15 °C, by day.
    cold: Vec<f64>,
}

/// The curve of a meter: kWh in steps of `resolution`, a stay away of 5 to 14 days where `leaves`.
#[must_use]
pub fn curve(
    random: &mut Rng,
    kind: Kind,
    (days, resolution): (usize, f64),
    leaves: bool,
) -> Curve {
    let weather = Weather::new(random, days);
    let base = between(random, 0.06, 0.3);
    let size = between(random, 0.6, 1.6);
    let shift = between(random, -1.5, 1.5);
    let noise = between(random, 0.05, 0.25);
    let appliances = appliances(random, kind);
    let away = if leaves {
        let long = random.usize(5..=14).min(days / 4);
        let first = random.usize(20.min(days / 4)..days - long);
        first..first + long
    } else {
        0..0
    };
    let mut kw = vec![0.0; days * DAY];
    for day in 0..days {
        let home = if away.contains(&day) { 0.0 } else { presence(random, kind, day % 7) };
        let lively = size * home * between(random, 0.8, 1.2);
        for quarter in 0..DAY {
            let hour = quarter as f64 / 4.0 - shift;
            let chance = (1.0 + noise * normal(random)).max(0.1);
            let heat = if kind == Kind::Heating { 0.09 * weather.cold[day] } else { 0.0 };
            kw[day * DAY + quarter] +=
                (base + lively * daily(kind, hour) + heat * (0.7 + 0.3 * home)) * chance;
        }
        for appliance in &appliances {
            use_it(random, &mut kw, day, *appliance, home * size.sqrt());
        }
    }
    let kwh = kw.iter().map(|kw| (kw / 4.0 / resolution).round() * resolution).collect();
    let volts = volts(random, &kw);
    Curve { kind, kwh, volts, away }
}

/// How much of a usual day there is on that day of the week, 0 to 1 and a little more.
fn presence(random: &mut Rng, kind: Kind, weekday: usize) -> f64 {
    let weekend = weekday >= 5;
    match kind {
        Kind::Shop => f64::from(u8::from(weekday < 6)) * if weekday == 5 { 0.6 } else { 1.0 },
        Kind::Weekend => f64::from(u8::from(weekend && random.f64() < 0.7)),
        Kind::Family if weekend => 1.3,
        Kind::Working if weekend => 1.2,
        _ if random.f64() < 0.04 => 0.3,
        _ => 1.0,
    }
}

/// The shape of a day, in kW.
fn daily(kind: Kind, hour: f64) -> f64 {
    let peak = |at: f64, width: f64| {
        let apart = (hour - at).rem_euclid(24.0);
        let apart = apart.min(24.0 - apart) / width;
        (-0.5 * apart * apart).exp()
    };
    match kind {
        Kind::Working | Kind::Car => 0.3 * peak(7.0, 0.8) + 0.7 * peak(20.0, 2.0),
        Kind::Family => 0.5 * peak(7.0, 1.0) + 0.3 * peak(12.5, 1.5) + 0.9 * peak(19.0, 2.2),
        Kind::Retired | Kind::Heating => {
            0.3 * peak(8.5, 1.5) + 0.4 * peak(12.5, 1.5) + 0.4 * peak(18.5, 2.5)
        }
        Kind::Weekend => 0.2 * peak(10.0, 2.0) + 0.5 * peak(19.0, 2.5),
        Kind::Shop => 1.5 * f64::from(u8::from((8.0..18.5).contains(&hour.rem_euclid(24.0)))),
    }
}

fn appliances(random: &mut Rng, kind: Kind) -> Vec<Appliance> {
    let mut all = vec![
        Appliance { kw: between(random, 1.5, 2.5), quarters: 1, uses: between(random, 1.0, 4.0) },
        Appliance { kw: between(random, 0.6, 1.2), quarters: 6, uses: between(random, 0.2, 0.8) },
        Appliance { kw: between(random, 1.5, 3.0), quarters: 3, uses: between(random, 0.2, 1.0) },
    ];
    if kind == Kind::Car {
        let (kw, uses) = (between(random, 3.6, 11.0), between(random, 0.25, 0.6));
        all.push(Appliance { kw, quarters: random.usize(6..20), uses });
    }
    all
}

/// Switches an appliance on, as often as chance has it, when people are up; the car at night.
fn use_it(random: &mut Rng, kw: &mut [f64], day: usize, appliance: Appliance, home: f64) {
    let times = appliance.uses * home.min(1.5);
    let times = times.floor() + f64::from(u8::from(random.f64() < times.fract()));
    for _ in 0..count(times) {
        let night = appliance.kw > 3.5;
        let start = if night { random.usize(76..92) } else { random.usize(26..90) };
        for quarter in 0..appliance.quarters {
            let chance = 1.0 + 0.05 * normal(random);
            if let Some(kw) = kw.get_mut(day * DAY + start + quarter) {
                *kw += appliance.kw * chance;
            }
        }
    }
}

/// Lower where much is used, with a slow drift of the grid's and a little chance; in steps of 0.1 V.
fn volts(random: &mut Rng, kw: &[f64]) -> Vec<f64> {
    let (level, drop) = (between(random, 226.0, 236.0), between(random, 0.2, 0.8));
    let mut drift = 0.0;
    let mut volts = Vec::with_capacity(kw.len());
    for (at, kw) in kw.iter().enumerate() {
        drift = 0.97 * drift + 0.25 * normal(random);
        let evening = (TAU * ((at % DAY) as f64 / DAY as f64 - 0.8)).cos();
        let value = level - drop * kw - 1.2 * evening + drift + 0.4 * normal(random);
        volts.push((value * 10.0).round() / 10.0);
    }
    volts
}

impl Weather {
    /// From any day of the year on.
    fn new(random: &mut Rng, days: usize) -> Self {
        let first = random.f64() * 365.0;
        let mut whim = 0.0;
        let cold = (0..days).map(|day| {
            whim = 0.8 * whim + 1.8 * normal(random);
            let year = (TAU * (first + day as f64) / 365.0).cos();
            (5.0 + 9.0 * year + whim).max(0.0)
        });
        Self { cold: cold.collect() }
    }
}

/// Even between two numbers.
pub fn between(random: &mut Rng, low: f64, high: f64) -> f64 {
    low + random.f64() * (high - low)
}

/// About normal: the sum of twelve even ones.
fn normal(random: &mut Rng) -> f64 {
    (0..12).map(|_| random.f64()).sum::<f64>() - 6.0
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few")]
fn count(times: f64) -> usize {
    times.clamp(0.0, 1000.0) as usize
}
