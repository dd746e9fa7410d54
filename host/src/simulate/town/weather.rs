//! The weather over a town: the same for all of it, and the same for the same seed.

use super::{SECONDS_OF_DAY, chance};

/// What matters to who uses energy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    /// Degrees Celsius.
    pub(super) celsius: f64,
    /// Power of the sun, from 0 at night to 1 on a clear noon in June.
    pub(super) sun: f64,
}

/// The weather at that second since 1970: of the season, of the hour, and of the day's own making.
pub(super) fn at(seed: u64, at_s: i64) -> Weather {
    let day = at_s.div_euclid(SECONDS_OF_DAY);
    let hour = at_s.rem_euclid(SECONDS_OF_DAY) as f64 / 3600.0;
    // The year's middle is warmest three weeks after its longest day.
    let season = ((day % 365) as f64 - 20.0) / 365.0 * std::f64::consts::TAU;
    let own = |day: i64, what: u64| chance(seed, what, day.unsigned_abs()).f64();
    // A day takes after those before it.
    let front = (0..4).map(|ago| own(day - ago, 1) - 0.5).sum::<f64>() * 5.0;
    let clear = 0.25 + 0.75 * own(day, 2);
    let daytime = (std::f64::consts::PI * (hour - 6.0) / 12.0).sin().max(0.0);
    let height = 0.6 - 0.4 * season.cos();
    Weather {
        celsius: 9.5 - 9.0 * season.cos() + front + 4.0 * clear * (daytime - 0.4),
        sun: daytime * height * clear,
    }
}
