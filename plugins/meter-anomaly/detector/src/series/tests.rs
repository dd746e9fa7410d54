#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::{Moment, Series, Settings};
use crate::{Alarms, Reader, Tuning, Writer};

fn settings() -> Settings {
    Settings {
        tuning: Tuning::default(),
        alarms: Alarms::default(),
        channels: [true; 3],
        quiet_days: 0,
        lasting_days: 15,
        stuck: 8,
        register: false,
    }
}

fn at(s: i64) -> Moment {
    Moment { unix_ms: 1000 * s, ahead_s: 0 }
}

fn bytes(series: &Series) -> Vec<u8> {
    let mut to = Writer::default();
    series.write(&mut to);
    to.into_bytes()
}

/// What meters send, and what no meter should.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => 0.0..2.0,
        2 => -10.0..1000.0,
        1 => prop::sample::select(vec![0.0, -0.0, 1e12, -1e12, 1e-300, 5e-324]),
        1 => any::<f64>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_comes_all_that_is_told_is_a_number_and_the_state_is_read_back_as_it_was(
        values in prop::collection::vec((1..20_000i64, value()), 1..600),
        register: bool,
    ) {
        let settings = Settings { register, ..settings() };
        let (mut series, mut s) = (Series::default(), 0);
        for (after_s, value) in values {
            s += after_s;
            if let Some(judged) = series.judge(at(s), value, &settings) {
                let bits = judged.surprise.bits;
                prop_assert!(bits.iter().all(|bits| bits.is_finite() && *bits >= 0.0), "{bits:?}");
                prop_assert!(judged.seen.is_finite() && judged.surprise.expected.is_finite());
            }
        }
        let bytes = bytes(&series);
        let mut from = Reader::new(&bytes);
        prop_assert_eq!(Series::read(&mut from), Some(series));
        prop_assert!(from.is_empty());
        prop_assert!(bytes.len() <= 1228, "{} bytes", bytes.len());
    }

    #[test]
    fn bytes_that_are_no_series_are_refused_or_one_that_can_be_used(
        noise in prop::collection::vec(any::<u8>(), 0..1200),
        flips in prop::collection::vec((0..1000usize, any::<u8>()), 0..4),
    ) {
        prop_assert!(Series::read(&mut Reader::new(&noise)).is_none_or(use_it));
        let mut series = Series::default();
        for n in 0..300 {
            series.judge(at(900 * n), (n % 7) as f64, &settings());
        }
        let mut bytes = bytes(&series);
        for (place, to) in flips {
            let place = place % bytes.len();
            bytes[place] = to;
        }
        prop_assert!(Series::read(&mut Reader::new(&bytes)).is_none_or(use_it));
    }

    #[test]
    fn a_level_is_no_news(level in -1e6..1e6f64, noise in prop::collection::vec(0.0..1.0f64, 400)) {
        // The same shape at another level is as surprising, but for rounding.
        let settings = settings();
        let totals = |level: f64| -> Vec<f32> {
            let mut series = Series::default();
            let judge = |(n, x): (usize, &f64)| {
                series.judge(at(900 * n as i64), level + 1e4 * x, &settings).unwrap().surprise.total()
            };
            noise.iter().enumerate().map(judge).collect()
        };
        let (here, there) = (totals(0.0), totals(level));
        let close = here.iter().zip(&there).filter(|(a, b)| (*a - *b).abs() < 1.0).count();
        prop_assert!(close >= 390, "{close}");
    }
}

/// Nothing panics, whatever was read.
fn use_it(mut series: Series) -> bool {
    for n in 1..50 {
        series.judge(at(i64::MAX / 4000 + n), n as f64, &settings());
    }
    true
}

#[test]
fn a_registers_first_value_and_one_below_its_last_are_only_where_it_counts_from() {
    let settings = Settings { register: true, ..settings() };
    let mut series = Series::default();
    assert_eq!(series.judge(at(0), 500.0, &settings), None);
    assert!((series.judge(at(1800), 501.0, &settings).unwrap().seen - 2.0).abs() < 1e-6);
    assert_eq!(series.judge(at(3600), 3.0, &settings), None);
    assert!((series.judge(at(7200), 4.0, &settings).unwrap().seen - 1.0).abs() < 1e-6);
}

#[test]
fn another_shape_begins_anew_and_the_rest_stays() {
    let (mut series, settings) = (Series::default(), settings());
    for n in 0..300 {
        series.judge(at(900 * n), (n % 7) as f64, &settings);
    }
    let tuning = Tuning { parts: 24, ..settings.tuning };
    let other = Settings { tuning, ..settings };
    series.judge(at(900 * 300), 1.0, &other);
    assert_eq!((series.known.values(), series.last_ms), (1, 270_000_000));
    assert!(series.slow != super::Slow::default());
}
