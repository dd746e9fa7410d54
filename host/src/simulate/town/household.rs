//! Who lives behind a meter, and what they use.

use fastrand::Rng;

use super::weather::Weather;
use super::{SECONDS_OF_DAY, chance};

/// Kinds of households.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Single,
    Family,
    /// Heated by a pump, the more the colder it is.
    HeatPump,
    /// With the sun on its roof.
    Solar,
    /// Open from Monday to Saturday.
    Shop,
    /// Heats and charges at night, when it is cheap.
    Night,
}

/// What is behind a meter, drawn once from its number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Household {
    pub(super) kind: Kind,
    size: f64,
    /// Hours by which its people live earlier or later.
    shift: f64,
    noise: f64,
}

/// Energy of an interval, in watt hours.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    pub(super) import_wh: u64,
    pub(super) export_wh: u64,
}

impl Household {
    pub(super) fn new(seed: u64, meter: usize) -> Self {
        let mut rng = chance(seed, 3, meter as u64);
        let kind = match rng.u32(..100) {
            0..30 => Kind::Single,
            30..65 => Kind::Family,
            65..77 => Kind::HeatPump,
            77..87 => Kind::Solar,
            87..93 => Kind::Shop,
            _ => Kind::Night,
        };
        let (size, shift) = (0.6 + 0.9 * rng.f64(), 3.0 * rng.f64() - 1.5);
        Self { kind, size, shift, noise: 0.05 + 0.1 * rng.f64() }
    }

    pub(super) fn exports(&self) -> bool {
        self.kind == Kind::Solar
    }

    pub(super) fn tariff(&self) -> &'static str {
        match self.kind {
            Kind::Night => "night",
            Kind::Shop => "business",
            Kind::HeatPump => "heating",
            Kind::Single | Kind::Family | Kind::Solar => "single",
        }
    }

    /// What it is connected with, in kVA.
    pub(super) fn rated_kva(&self) -> f64 {
        match self.kind {
            Kind::Single | Kind::Family | Kind::Solar => 14.5,
            Kind::HeatPump | Kind::Shop | Kind::Night => 24.0,
        }
    }

    /// Energy of the interval that ends at that second.
    pub(super) fn uses(&self, at_s: i64, interval_s: i64, weather: Weather, rng: &mut Rng) -> Used {
        let hour = at_s.rem_euclid(SECONDS_OF_DAY) as f64 / 3600.0 - self.shift;
        // 1970 began on a Thursday.
        let weekday = (at_s.div_euclid(SECONDS_OF_DAY) + 3).rem_euclid(7);
        let weekend = weekday >= 5;
        let evening = peak(hour, 19.5, 2.2);
        let morning = peak(hour, if weekend { 9.5 } else { 7.0 }, 1.3);
        let home = if weekend { peak(hour, 14.0, 3.5) * 0.4 } else { 0.0 };
        let cold = (15.0 - weather.celsius).max(0.0);
        let kw = match self.kind {
            Kind::Single => 0.12 + 0.25 * morning + 0.6 * evening + home * 0.5,
            Kind::Family | Kind::Solar => 0.25 + 0.6 * morning + 1.3 * evening + home,
            Kind::HeatPump => 0.25 + 0.5 * morning + 1.0 * evening + home + 0.13 * cold,
            Kind::Shop if weekday < 6 => 0.4 + 2.2 * peak(hour, 13.5, 3.6),
            Kind::Shop => 0.4,
            Kind::Night => 0.2 + 0.8 * evening + (1.5 + 0.1 * cold) * peak(hour, 2.5, 2.0),
        };
        let even: f64 = (0..4).map(|_| rng.f64()).sum::<f64>() - 2.0;
        let kw = kw * self.size * (1.0 + self.noise * even * 1.73).max(0.2);
        let sun_kw = if self.exports() { 5.0 * self.size * weather.sun } else { 0.0 };
        let wh = |kw: f64| (kw.max(0.0) * interval_s as f64 / 3.6).round();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to some kWh"
        )]
        let used =
            Used { import_wh: wh(kw - sun_kw).max(1.0) as u64, export_wh: wh(sun_kw - kw) as u64 };
        used
    }
}

/// A bell around an hour of the day, across midnight too.
fn peak(hour: f64, at: f64, width: f64) -> f64 {
    let apart = (hour - at).rem_euclid(24.0);
    let apart = apart.min(24.0 - apart) / width;
    (-0.5 * apart * apart).exp()
}
